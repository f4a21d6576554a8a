package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"
)

// Postgres refuses the character U+0000 and bytes that are not UTF-8, in texts and in JSON. Stripe and the mesh may
// send both. Every parameter of every statement goes through cleanArgs: see database.

// maxKey is the maximum length, in bytes, of a text that is part of an index. Postgres refuses index entries of more
// than 2,704 bytes.
const maxKey = 1020

// isStorable reports whether Postgres stores a text as it is.
func isStorable(text string) bool {
	return utf8.ValidString(text) && strings.IndexByte(text, 0) < 0
}

// clean returns a text that Postgres stores. U+2400 replaces NUL, and U+FFFD replaces a byte that is not UTF-8. A
// changed text ends with a hash of the original, so that different texts stay different.
func clean(text string) string {
	if isStorable(text) {
		return text
	}
	shown := strings.ReplaceAll(strings.ToValidUTF8(text, string(utf8.RuneError)), "\x00", "\u2400")
	return shown + " (cleaned, sha256 " + hash(text) + ")"
}

// cleanKey is clean for a text that is part of an index: it also cuts a text that is too long.
func cleanKey(text string) string {
	shown := clean(text)
	if len(shown) <= maxKey {
		return shown
	}
	mark := " (cut, sha256 " + hash(text) + ")"
	end := maxKey - len(mark)
	for !utf8.RuneStart(shown[end]) {
		end--
	}
	return shown[:end] + mark
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// cleanJSON cleans the keys and values of JSON. jsonb also refuses the escapes of NUL and of unpaired surrogates. Other
// JSON is returned as it is.
func cleanJSON(data []byte) []byte {
	if utf8.Valid(data) && !hasRefusedEscape(data) {
		return data
	}
	out := make([]byte, 0, len(data)+64)
	for i := 0; i < len(data); {
		if data[i] != '"' {
			out = append(out, data[i])
			i++
			continue
		}
		end := i + 1
		for end < len(data) && data[end] != '"' {
			if data[end] == '\\' {
				end++
			}
			end++
		}
		end = min(end+1, len(data))
		out = append(out, cleanToken(data[i:end])...)
		i = end
	}
	return out
}

// cleanToken cleans a JSON string with its quotes and escapes.
func cleanToken(token []byte) []byte {
	if utf8.Valid(token) && !hasRefusedEscape(token) {
		return token
	}
	var text string
	if err := json.Unmarshal(token, &text); err != nil {
		return token
	}
	if isStorable(text) {
		if !strings.ContainsRune(text, utf8.RuneError) {
			// Its surrogates are paired.
			return token
		}
		// The decoder has replaced bytes that are not UTF-8. The hash distinguishes such texts.
		text += " (cleaned, sha256 " + hash(string(token)) + ")"
	}
	encoded, err := json.Marshal(clean(text))
	if err != nil {
		return token
	}
	return encoded
}

// hasRefusedEscape reports whether JSON may contain an escape that jsonb refuses: \u0000 or a surrogate. Paired
// surrogates match too, and survive cleaning.
func hasRefusedEscape(data []byte) bool {
	for {
		i := bytes.Index(data, []byte(`\u`))
		if i < 0 || len(data) < i+6 {
			return false
		}
		digits := strings.ToLower(string(data[i+2 : i+6]))
		if digits == "0000" || digits[0] == 'd' && digits[1] >= '8' {
			return true
		}
		data = data[i+2:]
	}
}

// cleanArgs cleans the parameters of a statement.
func cleanArgs(args []any) []any {
	out := args
	for i, arg := range args {
		cleaned, changed := cleanArg(arg)
		if !changed {
			continue
		}
		if &out[0] == &args[0] {
			out = append([]any(nil), args...)
		}
		out[i] = cleaned
	}
	return out
}

// cleanArg returns a parameter that Postgres stores, and reports whether it differs from the original. Bytes that begin
// like a JSON object or list are JSON. An encoded message never does: proto3 has no groups, whose tags these bytes
// would be.
func cleanArg(arg any) (cleaned any, changed bool) {
	switch v := arg.(type) {
	case nil:
		return nil, false
	case string:
		return clean(v), !isStorable(v)
	case []byte:
		if len(v) == 0 || v[0] != '{' && v[0] != '[' {
			return arg, false
		}
		data := cleanJSON(v)
		return data, !bytes.Equal(data, v)
	case []string:
		for _, text := range v {
			changed = changed || !isStorable(text)
		}
		if !changed {
			return arg, false
		}
		texts := make([]string, len(v))
		for i, text := range v {
			texts[i] = clean(text)
		}
		return texts, true
	}
	return cleanOther(arg)
}

// cleanOther cleans texts of named types and texts behind pointers.
func cleanOther(arg any) (cleaned any, changed bool) {
	v := reflect.ValueOf(arg)
	switch {
	case v.Kind() == reflect.String:
		return clean(v.String()), !isStorable(v.String())
	case v.Kind() == reflect.Pointer && !v.IsNil() && v.Elem().Kind() == reflect.String:
		return clean(v.Elem().String()), !isStorable(v.Elem().String())
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.String:
		texts := make([]string, v.Len())
		for i := range texts {
			texts[i] = v.Index(i).String()
		}
		if cleaned, changed = cleanArg(texts); changed {
			return cleaned, true
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		return cleanArg(v.Bytes())
	}
	return arg, false
}

// UnstorableError reports a change that the ledger can never store, however often it is tried.
type UnstorableError struct {
	Product string
	// Why is the reason in plain words.
	Why string
	err error
}

func (e *UnstorableError) Error() string {
	return fmt.Sprintf("the ledger cannot store what is known of product %s: %s", clean(e.Product), e.Why)
}

func (e *UnstorableError) Unwrap() error { return e.err }
