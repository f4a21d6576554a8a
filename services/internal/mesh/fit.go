package mesh

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// Limits of a dead letter, in bytes. The texts come from Stripe, Postgres and the operator's tables, and may be of any
// length and content.
const (
	longestMessage = 8 << 10
	longestField   = 1000
	// longestID is that of an id that Stripe takes: 255 characters. Postgres refuses index entries of more than 2,704 bytes.
	longestID = 4 * 255
	// largestPayload keeps a letter small enough for every server and every row of the ledger.
	largestPayload = 512 << 10
)

const cutMark = "… (cut)"

// FitLetter makes a letter one that NATS and the ledger store, whatever it says: each text is valid UTF-8 without NUL and
// of a sensible length, and the payload is dropped if the letter would be larger than so many bytes. It leaves a letter
// that fits as it is.
func FitLetter(letter *meshv1.DeadLetter, most int) {
	letter.ProductId = fitID(letter.GetProductId())
	if len(letter.GetPayload()) > largestPayload {
		letter.Payload = nil
	}
	fitTexts(letter, longestField, longestMessage)
	if proto.Size(letter) > most {
		letter.Payload = nil
	}
	// A server whose max_payload is tiny gets the beginning of each text.
	for limit := longestField; proto.Size(letter) > most && limit > 2*len(cutMark); limit /= 2 {
		fitTexts(letter, limit, limit)
	}
}

func fitTexts(letter *meshv1.DeadLetter, field, message int) {
	m := letter.ProtoReflect()
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Kind() != protoreflect.StringKind || fd.Name() == "product_id" {
			return true
		}
		limit := field
		if fd.Name() == "message" {
			limit = message
		}
		if text := fitText(v.String(), limit); text != v.String() {
			m.Set(fd, protoreflect.ValueOfString(text))
		}
		return true
	})
}

// fitText is a text that Postgres and protobuf take, of at most so many bytes.
func fitText(text string, limit int) string {
	if len(text) > limit {
		text = cutText(text, limit-len(cutMark)) + cutMark
	}
	if text = plainText(text); len(text) > limit {
		// What stands for a byte that is no text is longer than that.
		text = cutText(text, limit-len(cutMark)) + cutMark
	}
	return text
}

// cutText is the beginning of a text, which ends between two characters.
func cutText(text string, limit int) string {
	limit = max(limit, 0)
	for limit > 0 && limit < len(text) && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:min(limit, len(text))]
}

// plainText replaces what is not UTF-8, and removes NUL, which Postgres refuses.
func plainText(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, string(utf8.RuneError)), "\x00", "")
}

// fitID is an id that Postgres can index. One that it cannot becomes its beginning and the hash of the whole, so that
// distinct ids stay distinct. It leaves its own results as they are.
func fitID(id string) string {
	if len(id) <= longestID && plainText(id) == id {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	hash := "…" + hex.EncodeToString(sum[:])
	return cutText(plainText(cutText(id, longestID)), longestID-len(hash)) + hash
}
