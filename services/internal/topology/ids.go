package topology

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// FitID is an id that Postgres can index. One that it cannot becomes its beginning and the hash of the whole, so that
// distinct ids stay distinct. It leaves its own results as they are.
func FitID(id string) string {
	if len(id) <= longestID && PlainText(id) == id {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	hash := "…" + hex.EncodeToString(sum[:])
	return CutText(PlainText(CutText(id, longestID)), longestID-len(hash)) + hash
}

// CutText is the beginning of a text, which ends between two characters.
func CutText(text string, limit int) string {
	limit = max(limit, 0)
	for limit > 0 && limit < len(text) && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:min(limit, len(text))]
}

// PlainText replaces what is not UTF-8, and removes NUL, which Postgres refuses.
func PlainText(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, string(utf8.RuneError)), "\x00", "")
}

// longestID is the length of the longest id that Stripe takes, 255 characters, in bytes. Postgres refuses index entries
// of more than 2,704 bytes.
const longestID = 4 * 255
