package auth

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Entry is a token as the settings have it.
type Entry struct {
	Name string
	Role Role
	Hash Hash
	// Delegate lets the holder act on behalf of others, with HeaderActor and HeaderRole.
	Delegate bool
	// Expires is when the token stops working. Zero means never.
	Expires time.Time
}

// Entries are the tokens of the setting DRIFTLESS_TOKENS. The text has an entry in each line, or several with commas
// between them: "name=ci role=operate hash=sha256:... expires=2027-02-25". Lines that begin with # are comments.
type Entries []Entry

// entryName has no character that separates fields or entries, and none that a terminal or a log would have to escape.
var entryName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$`)

// Operator is the name of the token in DRIFTLESS_TOKEN, and of callers of an API that asks for no token.
const Operator = "operator"

// services are names that mean a service in the audit trail, and that nobody else may have.
var services = []string{"ingestion", "push", "pull", "reconciliation"}

// CheckName returns why a token cannot have a name, nil if it can.
func CheckName(name string) error {
	switch {
	case !entryName.MatchString(name):
		return fmt.Errorf("the name %.80q must have 1 to 64 letters, digits and . _ @ + -, and begin with a letter "+
			"or digit", name)
	case name == Operator || slices.Contains(services, name):
		return fmt.Errorf("the name %s is reserved: the audit trail has it for Driftless itself; choose another", name)
	default:
		return nil
	}
}

// String returns the entries as UnmarshalText reads them, separated by commas.
func (e Entries) String() string {
	parts := make([]string, len(e))
	for i, entry := range e {
		parts[i] = entry.String()
	}
	return strings.Join(parts, ",")
}

func (e *Entry) String() string {
	text := "name=" + e.Name + " role=" + e.Role.String() + " hash=" + e.Hash.String()
	if e.Delegate {
		text += " delegate=true"
	}
	if !e.Expires.IsZero() {
		text += " expires=" + e.Expires.UTC().Format(time.RFC3339)
	}
	return text
}

// MarshalText returns String.
func (e Entries) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads entries. Names and hashes must be unique.
func (e *Entries) UnmarshalText(text []byte) error {
	*e = nil
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "#") {
			continue
		}
		for part := range strings.SplitSeq(line, ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			entry, err := parseEntry(part)
			if err != nil {
				return fmt.Errorf("entry %d: %w", len(*e)+1, err)
			}
			*e = append(*e, entry)
		}
	}
	return e.check()
}

func (e Entries) check() error {
	for i, entry := range e {
		for _, other := range e[:i] {
			switch {
			case other.Name == entry.Name:
				return fmt.Errorf("entry %d: there are two tokens named %s: give each its own name", i+1, entry.Name)
			case other.Hash == entry.Hash:
				return fmt.Errorf("entry %d: %s and %s have the same hash: give each its own token", i+1, other.Name,
					entry.Name)
			}
		}
	}
	return nil
}

// parseEntry reads "name=ci role=operate hash=sha256:...". Errors do not have the values of unknown fields: a token may
// have been pasted there.
func parseEntry(text string) (entry Entry, err error) {
	seen := map[string]bool{}
	for field := range strings.FieldsSeq(text) {
		key, value, ok := strings.Cut(field, "=")
		if !ok || seen[key] {
			return entry, errors.New("must be name=NAME role=ROLE hash=HASH, each once; delegate=true and expires=DATE " +
				"may follow")
		}
		seen[key] = true
		if err := entry.Set(key, value); err != nil {
			return entry, err
		}
	}
	err = entry.Check()
	return entry, err
}

// Set sets a field by its name in the settings.
func (e *Entry) Set(key, value string) (err error) {
	switch key {
	case "name":
		e.Name, err = value, CheckName(value)
	case "role":
		e.Role, err = ParseRole(value)
	case "hash":
		e.Hash, err = ParseHash(value)
	case "delegate":
		if value != "true" && value != "false" {
			return errors.New("delegate: must be true or false")
		}
		e.Delegate = value == "true"
	case "expires":
		e.Expires, err = parseExpiry(value)
	default:
		return errors.New("a token has the fields name, role, hash, delegate and expires, and no others")
	}
	return err
}

// Check returns an error if a required field is missing.
func (e *Entry) Check() error {
	switch {
	case e.Name == "":
		return errors.New("a token has no name: set name=NAME")
	case e.Role == 0:
		return fmt.Errorf("the token %s has no role: set role to one of %s", e.Name, strings.Join(RoleNames(), ", "))
	case e.Hash == Hash{}:
		return fmt.Errorf("the token %s has no hash: make token and hash with `driftless token new %s --role %s`",
			e.Name, e.Name, e.Role)
	default:
		return nil
	}
}

// parseExpiry reads a time, or a date, which is the last day (UTC) on which the token works.
func parseExpiry(text string) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, errors.New("expires: must be a date such as 2027-02-25, or a time such as " +
			"2027-02-25T12:00:00Z")
	}
	return at, nil
}

// hashPrefix names the algorithm.
const hashPrefix = "sha256:"

// ParseHash reads the hash of a token. Its errors do not have the text, which may be the token itself.
func ParseHash(text string) (h Hash, err error) {
	digits, ok := strings.CutPrefix(text, hashPrefix)
	sum, err := hex.DecodeString(digits)
	if !ok || err != nil || len(sum) != len(h) {
		return h, errors.New("hash: must be sha256: and 64 hexadecimal digits; make token and hash with " +
			"`driftless token new NAME --role ROLE`, or the hash of a token that exists with `driftless token hash`")
	}
	copy(h[:], sum)
	return h, nil
}
