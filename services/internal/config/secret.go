package config

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/redact"
)

// Secret is a setting that is never printed.
type Secret string

const redacted = redact.Hidden

// Reveal returns the value in the clear.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Format hides the value from every verb, %d and %#v included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue hides the value from logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the value from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Secrets is a setting of several secrets, separated by commas. It is never printed.
type Secrets string

// Reveal returns the values in the clear, without spaces around them. Empty ones are left out.
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

// Format hides the values from every verb.
func (s Secrets) Format(f fmt.State, verb rune) { Secret(s).Format(f, verb) }

// LogValue hides the values from logs.
func (s Secrets) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the values from encoders.
func (s Secrets) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
