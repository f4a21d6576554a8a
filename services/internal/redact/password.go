package redact

import (
	"net/url"
	"strings"
)

// WithoutPassword returns a Postgres address, a URL or "host=... password=...", without its password, and the password.
// The returned address may appear in the list of processes. ok is false if the address cannot be parsed.
func WithoutPassword(address string) (shown, password string, ok bool) {
	if !schemePattern.MatchString(address) {
		return keywordsWithoutPassword(address)
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", "", false
	}
	if u.Query().Has(keyPasswordKeyword) {
		return "", "", false
	}
	if given, has := u.User.Password(); has {
		u.User, password = url.User(u.User.Username()), given
	}
	if query := u.Query(); query.Has(passwordKeyword) {
		// libpq uses the password of the query.
		password = query.Get(passwordKeyword)
		query.Del(passwordKeyword)
		// libpq takes %20 for a space, and + for itself.
		u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	}
	return u.String(), password, true
}

const (
	passwordKeyword = "password"
	// keyPasswordKeyword is that of a client certificate's key, which libpq reads from no variable.
	keyPasswordKeyword = "sslpassword"
)

func keywordsWithoutPassword(address string) (shown, password string, ok bool) {
	var kept []string
	for rest := strings.TrimSpace(address); rest != ""; {
		m := keywordPattern.FindStringSubmatch(rest)
		if m == nil {
			return "", "", false
		}
		switch m[1] {
		case keyPasswordKeyword:
			return "", "", false
		case passwordKeyword:
			password = unquote(m[2])
		default:
			kept = append(kept, m[1]+"="+m[2])
		}
		rest = rest[len(m[0]):]
	}
	return strings.Join(kept, " "), password, true
}

// unquote decodes a value as libpq does: quotes around it, and a backslash before an escaped character.
func unquote(value string) string {
	if len(value) > 1 && strings.HasPrefix(value, "'") {
		value = value[1 : len(value)-1]
	}
	var out strings.Builder
	escaped := false
	for _, r := range value {
		if r == '\\' && !escaped {
			escaped = true
			continue
		}
		escaped = false
		out.WriteRune(r)
	}
	return out.String()
}
