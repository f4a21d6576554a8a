package mesh

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Limits of a dead letter, in bytes. Its texts come from Stripe, Postgres and the operator's tables, and may have any
// length and content.
const (
	maxMessageBytes = 8 << 10
	maxFieldBytes   = 1000
	// maxPayloadBytes keeps a letter small enough for every server and for a row of the ledger.
	maxPayloadBytes = 512 << 10
)

const truncationMark = "… (cut)"

// FitLetter shortens a letter so that NATS and the ledger can store it, whatever its content. Each text becomes valid
// UTF-8 without NUL, of limited length. The payload is dropped if the letter would exceed maxBytes. A letter that fits
// is not changed.
func FitLetter(letter *meshv1.DeadLetter, maxBytes int) {
	letter.ProductId = topology.FitID(letter.GetProductId())
	if len(letter.GetPayload()) > maxPayloadBytes {
		letter.Payload = nil
	}
	fitTexts(letter, maxFieldBytes, maxMessageBytes)
	if proto.Size(letter) > maxBytes {
		letter.Payload = nil
	}
	// A server with a tiny max_payload gets the beginning of each text.
	for limit := maxFieldBytes; proto.Size(letter) > maxBytes && limit > 2*len(truncationMark); limit /= 2 {
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

// fitText returns the text as Postgres and protobuf accept it, cut to at most limit bytes.
func fitText(text string, limit int) string {
	if len(text) > limit {
		text = topology.CutText(text, limit-len(truncationMark)) + truncationMark
	}
	if text = topology.PlainText(text); len(text) > limit {
		// The replacement of an invalid byte is longer than the byte.
		text = topology.CutText(text, limit-len(truncationMark)) + truncationMark
	}
	return text
}
