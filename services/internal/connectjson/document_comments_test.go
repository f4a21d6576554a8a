package connectjson

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// contracts is the folder of the .proto files.
const contracts = "../../../proto"

var (
	packageLine = regexp.MustCompile(`^package ([\w.]+);`)
	scopeLine   = regexp.MustCompile(`^(message|enum|service|oneof) (\w+) \{(.*)$`)
	callLine    = regexp.MustCompile(`^rpc (\w+)\(`)
	fieldLine   = regexp.MustCompile(`^(?:(?:repeated|optional) )?(?:map<[^>]+>|[\w.]+) (\w+) = \d+`)
	valueLine   = regexp.MustCompile(`^(\w+) = \d+`)
)

// comments returns the comments of the contracts, by the full name of the message, field, call or value. The generated
// Go code has no comments. Contracts are formatted by buf, so a name and its comment are on lines of their own.
func comments(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	files, err := filepath.Glob(contracts + "/driftless/*/v1/*.proto")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		s := commentScanner{out: out}
		for line := range strings.Lines(string(text)) {
			s.line(strings.TrimSpace(line))
		}
		require.Empty(t, s.scopes, file)
	}
	return out
}

// commentScanner reads a contract line by line.
type commentScanner struct {
	out map[string]string
	// prefix is the package, and scopes are the messages, enums and services around the line.
	prefix string
	scopes []scope
	// braces counts the open braces of options.
	braces  int
	comment []string
}

type scope struct{ kind, name string }

func (s *commentScanner) line(text string) {
	if comment, ok := strings.CutPrefix(text, "//"); ok && s.braces == 0 {
		s.comment = append(s.comment, strings.TrimSpace(comment))
		return
	}
	switch m := scopeLine.FindStringSubmatch(text); {
	case s.braces > 0:
		s.braces += strings.Count(text, "{") - strings.Count(text, "}")
	case len(m) > 3 && strings.HasPrefix(m[3], "}"):
		s.note(m[2])
	case len(m) > 3:
		if m[1] != "oneof" {
			s.note(m[2])
		}
		s.scopes = append(s.scopes, scope{m[1], m[2]})
	case text == "}" && len(s.scopes) > 0:
		s.scopes = s.scopes[:len(s.scopes)-1]
	default:
		s.statement(text)
	}
	s.comment = nil
}

// statement notes the comment of a call, field or value.
func (s *commentScanner) statement(text string) {
	if m := packageLine.FindStringSubmatch(text); m != nil {
		s.prefix = m[1]
	}
	if len(s.scopes) == 0 {
		return
	}
	pattern := fieldLine
	switch s.scopes[len(s.scopes)-1].kind {
	case "service":
		pattern = callLine
	case "enum":
		pattern = valueLine
	}
	if m := pattern.FindStringSubmatch(text); m != nil {
		s.note(m[1])
	}
	s.braces += strings.Count(text, "{") - strings.Count(text, "}")
}

// note stores the comment before the line. Fields of a oneof belong to the message.
func (s *commentScanner) note(name string) {
	path := []string{s.prefix}
	for _, scope := range s.scopes {
		if scope.kind != "oneof" {
			path = append(path, scope.name)
		}
	}
	s.out[strings.Join(append(path, name), ".")] = strings.Join(s.comment, " ")
}
