package topology

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// FitID returns an id that Postgres can index. An id that it cannot index is cut and gets its hash appended, so
// distinct ids stay distinct. FitID does not change its own results.
func FitID(id string) string {
	if len(id) <= maxIDBytes && PlainText(id) == id {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	hash := "…" + hex.EncodeToString(sum[:])
	return CutText(PlainText(CutText(id, maxIDBytes)), maxIDBytes-len(hash)) + hash
}

// CutText returns the beginning of a text, at most limit bytes. It does not cut within a character.
func CutText(text string, limit int) string {
	limit = max(limit, 0)
	for limit > 0 && limit < len(text) && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:min(limit, len(text))]
}

// PlainText replaces invalid UTF-8, and removes NUL, which Postgres refuses.
func PlainText(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, string(utf8.RuneError)), "\x00", "")
}

// maxIDBytes is the size in bytes of the longest id that Stripe accepts, 255 characters. Postgres refuses index entries
// of more than 2,704 bytes.
const maxIDBytes = 4 * 255
