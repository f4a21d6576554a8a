package mesh

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Limits of a dead letter, in bytes. The texts come from Stripe, Postgres and the operator's tables, and may be of any
// length and content.
const (
	longestMessage = 8 << 10
	longestField   = 1000
	// largestPayload keeps a letter small enough for every server and every row of the ledger.
	largestPayload = 512 << 10
)

const cutMark = "… (cut)"

// FitLetter makes a letter one that NATS and the ledger store, whatever it says: each text is valid UTF-8 without NUL
// and of a sensible length, and the payload is dropped if the letter would be larger than so many bytes. It leaves a
// letter that fits as it is.
func FitLetter(letter *meshv1.DeadLetter, most int) {
	letter.ProductId = topology.FitID(letter.GetProductId())
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
		text = topology.CutText(text, limit-len(cutMark)) + cutMark
	}
	if text = topology.PlainText(text); len(text) > limit {
		// What stands for a byte that is no text is longer than that.
		text = topology.CutText(text, limit-len(cutMark)) + cutMark
	}
	return text
}
