// Package redact removes secrets from texts that people see.
package redact

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Hidden is the text that replaces a secret.
const Hidden = "[redacted]"

// shownParameters are the parameters of a database address that only say where the database is.
var shownParameters = []string{"host", "hostaddr", "port", "user", "dbname", "sslmode"}

var (
	schemePattern  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://`)
	keywordPattern = regexp.MustCompile(`^\s*(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^'\\\s]|\\.)*)(?:\s+|$)`)
)

// URL returns the address of a server for messages. It hides passwords, tokens and all parameters but those that
// identify the server. It accepts URLs, several NATS URLs separated by commas, and Postgres' "host=... password=...".
// An address that it cannot parse is hidden completely.
func URL(s string) string {
	switch {
	case strings.HasPrefix(s, "postgres://"), strings.HasPrefix(s, "postgresql://"):
		return redactServer(s, true)
	case !schemePattern.MatchString(s) && strings.Contains(s, "="):
		return redactKeywords(s)
	}
	servers := strings.Split(s, ",")
	for i, server := range servers {
		servers[i] = redactServer(strings.TrimSpace(server), false)
	}
	return strings.Join(servers, ",")
}

// redactServer redacts one URL, which may lack its scheme. A user without a password is a name in a Postgres URL, and a
// token in a NATS URL.
func redactServer(s string, named bool) string {
	full := s
	if !schemePattern.MatchString(s) {
		full = "nats://" + s
	}
	u, err := url.Parse(full)
	// An unescaped "/", "?" or "#" in a password makes the rest of it look like a path. An unescaped "@" and ":" makes
	// it look like a user and a password.
	if err != nil || u.Fragment != "" || strings.Contains(u.Path, "@") || u.User == nil && strings.Contains(s, "@") ||
		strings.Contains(u.User.Username(), "@") {
		return Hidden
	}
	if _, has := u.User.Password(); u.User != nil && !has && !named {
		u.User = url.User("xxxxx")
	}
	query := u.Query()
	for name := range query {
		if !slices.Contains(shownParameters, name) {
			query.Del(name)
		}
	}
	u.RawQuery = query.Encode()
	out := u.Redacted()
	if full != s {
		out = strings.TrimPrefix(out, "nats://")
	}
	return out
}

func redactKeywords(s string) string {
	var parts []string
	for rest := strings.TrimSpace(s); rest != ""; {
		m := keywordPattern.FindStringSubmatch(rest)
		if m == nil {
			return Hidden
		}
		if slices.Contains(shownParameters, m[1]) {
			parts = append(parts, m[1]+"="+m[2])
		}
		rest = rest[len(m[0]):]
	}
	return strings.Join(parts, " ")
}
