// Package connectjson is the JSON of Driftless's APIs: fields have the names of the contracts, which are Stripe's,
// and one that the contract does not know is refused instead of dropped.
package connectjson

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Codec replaces Connect's own JSON codec (connect.WithCodec).
type Codec struct{}

// Name is how Connect knows the codec.
func (Codec) Name() string { return "json" }

// Marshal writes a message.
func (Codec) Marshal(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message", v)
	}
	return protojson.MarshalOptions{UseProtoNames: true}.Marshal(m) //nolint:wrapcheck // names the field
}

// Unmarshal reads a message; an empty body is an empty message.
func (Codec) Unmarshal(data []byte, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no message", v)
	}
	if len(data) == 0 {
		return nil
	}
	return protojson.Unmarshal(data, m) //nolint:wrapcheck // names the field
}
