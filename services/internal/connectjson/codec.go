// Package connectjson is the JSON of Driftless's APIs: fields have the names of the contracts, which are Stripe's,
// and one that the contract does not know is refused instead of dropped.
package connectjson

import (
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Handler makes a handler speak this JSON, whether or not the caller names its character set, and bounds its requests:
// in bytes, and in objects. Connect has a codec for each of the two, and replacing one leaves the other as it was.
func Handler(maxBytes int) connect.HandlerOption {
	return connect.WithHandlerOptions(connect.WithCodec(bounded{}), connect.WithCodec(utf8Codec{}),
		connect.WithCodec(binary{}),
		connect.WithReadMaxBytes(maxBytes), withGzip(maxBytes))
}

// bounded is the codec for requests, which strangers may write.
type bounded struct{ Codec }

// Unmarshal reads a message of few objects.
func (c bounded) Unmarshal(data []byte, v any) error {
	if objectsInJSON(data) > maxObjects {
		return errTooMany
	}
	return c.Codec.Unmarshal(data, v)
}

// Codec replaces Connect's own JSON codec in a client (connect.WithCodec); a handler takes Handler.
type Codec struct{}

// Name is how Connect knows the codec.
func (Codec) Name() string { return "json" }

// Marshal writes a message.
func (Codec) Marshal(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message", v)
	}
	return protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
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
	if err := protojson.Unmarshal(data, m); err != nil {
		return errors.New(withoutPrefix(err.Error()))
	}
	return nil
}

// withoutPrefix is the position and the field's name: protojson puts its own name before, followed by one kind of
// space or the other so that nobody compares its errors.
func withoutPrefix(message string) string {
	return strings.TrimLeft(strings.TrimPrefix(message, "proto:"), " \u00a0")
}

type utf8Codec struct{ bounded }

func (utf8Codec) Name() string { return "json; charset=utf-8" }
