package script

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// refusal refuses statements that begin with keywords.
type refusal struct {
	keywords string
	// anywhere is a keyword that must follow somewhere. It is empty if the statement is refused without one.
	anywhere string
	why      string
}

const (
	endsTransaction = "ends the transaction, and a preview must never commit: remove it"
	ownTransaction  = "begins a transaction, and the preview has its own: remove it, and what ends it"
	notInside       = "cannot run inside a transaction, so it cannot be previewed: remove it"
	needsClient     = "copies to or from the client, and a preview has no data for it: use INSERT"
)

var refusals = []refusal{
	{"commit", "", endsTransaction},
	{"end", "", endsTransaction},
	{"abort", "", endsTransaction},
	{"rollback", "", endsTransaction},
	{"prepare transaction", "", endsTransaction},
	{"begin", "", ownTransaction},
	{"start transaction", "", ownTransaction},
	{"set transaction", "", "changes the transaction, and the preview needs its own settings: remove it"},
	{"set session characteristics", "", "changes later transactions, which a preview cannot undo: remove it"},
	{"vacuum", "", notInside},
	{"create database", "", notInside},
	{"drop database", "", notInside},
	{"create tablespace", "", notInside},
	{"drop tablespace", "", notInside},
	{"alter system", "", notInside},
	{"create index", "concurrently", notInside},
	{"create unique index", "concurrently", notInside},
	{"drop index", "concurrently", notInside},
	{"reindex", "concurrently", notInside},
	{"alter table", "concurrently", notInside},
	{"create subscription", "", notInside},
	{"drop subscription", "", notInside},
	{"discard", "", notInside},
	{"copy", "stdin", needsClient},
	{"copy", "stdout", needsClient},
	{"load", "", "loads a library into the server, which a preview cannot undo: remove it"},
	{"checkpoint", "", "acts on the whole server: remove it"},
}

// check refuses a statement that cannot be previewed, and recognizes savepoints.
func (s Statement) check(text string) (Savepoint, error) {
	if len(s.tokens) > 0 && s.tokens[0].kind == word {
		point, err := s.savepoint()
		if err != nil {
			return Savepoint{}, err
		}
		if point.Verb != "" {
			return point, nil
		}
	}
	for _, r := range refusals {
		keywords := strings.Fields(r.keywords)
		rest, begins := after(s.tokens, keywords...)
		if !begins {
			continue
		}
		if r.anywhere == "" || slices.ContainsFunc(rest, func(t token) bool { return t.is(r.anywhere) }) {
			name := strings.ToUpper(strings.TrimSpace(r.keywords + " " + r.anywhere))
			return Savepoint{}, fmt.Errorf("%s %s", name, r.why)
		}
	}
	if slices.ContainsFunc(s.tokens, func(t token) bool { return t.is("standard_conforming_strings") }) ||
		strings.Contains(strings.ToLower(text[s.tokens[0].start:s.tokens[len(s.tokens)-1].end]),
			"'standard_conforming_strings'") {
		return Savepoint{},
			errors.New("standard_conforming_strings changes how the next statements are read: remove it")
	}
	return Savepoint{}, nil
}

func (t token) is(keyword string) bool { return t.kind == word && t.text == keyword }

// savepoint returns the command about a savepoint that the statement is, if it is one. Anything else behind the
// keywords is an error, so that the statement can be run from its parts alone.
func (s Statement) savepoint() (Savepoint, error) {
	for _, form := range []struct {
		verb     string
		keywords [][]string
	}{
		{"SAVEPOINT", [][]string{{"savepoint"}}},
		{"RELEASE SAVEPOINT", [][]string{{"release", "savepoint"}, {"release"}}},
		{"ROLLBACK TO SAVEPOINT", [][]string{
			{"rollback", "to", "savepoint"},
			{"rollback", "to"},
			{"rollback", "work", "to", "savepoint"},
			{"rollback", "work", "to"},
			{"rollback", "transaction", "to", "savepoint"},
			{"rollback", "transaction", "to"},
		}},
	} {
		for _, keywords := range form.keywords {
			rest, ok := after(s.tokens, keywords...)
			if !ok {
				continue
			}
			if len(rest) != 1 || rest[0].kind != word && rest[0].kind != quoted {
				return Savepoint{}, fmt.Errorf("%s needs the name of a savepoint, and nothing else", form.verb)
			}
			return Savepoint{Verb: form.verb, Name: rest[0].text}, nil
		}
	}
	return Savepoint{}, nil
}
