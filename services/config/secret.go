package config

import (
	"log/slog"
	"net/url"
	"strings"
)

// Secret is a setting that is never printed.
type Secret string

const redacted = "[redacted]"

// Reveal returns the value itself.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue hides the value from logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the value from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Secrets are several secrets in one setting, separated by commas.
type Secrets string

// Reveal returns the values themselves.
func (s Secrets) Reveal() []string {
	var out []string
	for part := range strings.SplitSeq(string(s), ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

func (s Secrets) String() string { return Secret(s).String() }

// GoString hides the values from %#v.
func (s Secrets) GoString() string { return s.String() }

// LogValue hides the values from logs.
func (s Secrets) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the values from encoders.
func (s Secrets) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// RedactURL hides the password in a URL, for messages.
func RedactURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		// A broken URL cannot be told apart from its password.
		return redacted
	}
	return u.Redacted()
}
