// Package connectjson is the JSON of Driftless's APIs. Fields have the names of the contracts, which are Stripe's. An
// unknown field is refused instead of dropped.
package connectjson

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Handler makes a handler use this JSON, with or without a character set in the request, and bounds its requests in
// bytes and in objects. Connect has a codec for each of the two content types, and replacing one does not change the
// other.
func Handler(maxBytes int) connect.HandlerOption {
	return connect.WithHandlerOptions(connect.WithCodec(boundedCodec{}), connect.WithCodec(utf8Codec{}),
		connect.WithCodec(binaryCodec{}),
		connect.WithReadMaxBytes(maxBytes), withGzip(maxBytes))
}

// boundedCodec is the codec for requests, which anyone may write.
type boundedCodec struct{ Codec }

// Unmarshal decodes a message of at most maxObjects objects. Decimal fields take numbers as well as texts, and up_to
// takes Stripe's "inf".
func (c boundedCodec) Unmarshal(data []byte, v any) error {
	if countObjects(data) > maxObjects {
		return errTooManyObjects
	}
	err := c.Codec.Unmarshal(data, v)
	m, ok := v.(proto.Message)
	// An "inf" decodes as any other text, but must be left out.
	isDone := err == nil && !bytes.Contains(data, []byte(strconv.Quote(Infinity)))
	if !ok || isDone || !hasDecimals(m.ProtoReflect().Descriptor()) {
		return err
	}
	rewritten, pieces, rewriteErr := withTexts(data, m.ProtoReflect().Descriptor())
	switch {
	case rewriteErr != nil:
		return rewriteErr
	case len(pieces) == 0:
		return err
	}
	if err := c.Codec.Unmarshal(rewritten, v); err != nil {
		return errors.New(atOriginal(err.Error(), data, pieces))
	}
	return nil
}

// Codec replaces Connect's own JSON codec in a client (connect.WithCodec). A handler uses Handler.
type Codec struct{}

// Name returns Connect's name of the codec.
func (Codec) Name() string { return "json" }

// Marshal encodes a message.
func (Codec) Marshal(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is not a protobuf message", v)
	}
	return protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
}

// Unmarshal decodes a message. An empty body is an empty message.
func (Codec) Unmarshal(data []byte, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is not a protobuf message", v)
	}
	if len(data) == 0 {
		return nil
	}
	if err := protojson.Unmarshal(data, m); err != nil {
		return errors.New(withoutPrefix(err.Error()))
	}
	return nil
}

// withoutPrefix returns an error's position and field name without protojson's prefix. protojson varies the space after
// the prefix, so that nobody compares its errors.
func withoutPrefix(message string) string {
	return strings.TrimLeft(strings.TrimPrefix(message, "proto:"), " \u00a0")
}

type utf8Codec struct{ boundedCodec }

func (utf8Codec) Name() string { return "json; charset=utf-8" }
