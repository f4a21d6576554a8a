package connectjson

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"reflect"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxObjects is how many objects a request may hold. An empty one has two bytes, and takes some hundred bytes of
// memory. A thousand products with twenty prices each, and four structures in each price, have as many.
const maxObjects = 100_000

var errTooManyObjects = fmt.Errorf("a request may hold at most %d objects: split it into several calls", maxObjects)

// countObjects counts the objects of a JSON text, which may be malformed.
func countObjects(data []byte) (n int) {
	text := false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case !text && c == '{':
			n++
		}
	}
	return n
}

// checkObjects returns an error if a message holds more other messages than left. It ignores malformed messages: the
// decoder refuses them.
func checkObjects(m protoreflect.MessageDescriptor, data []byte, left *int) error {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return nil
		}
		data = data[n:]
		if n = protowire.ConsumeFieldValue(number, kind, data); n < 0 {
			return nil
		}
		field := m.Fields().ByNumber(number)
		if kind == protowire.BytesType && field != nil && field.Message() != nil {
			// Entries with equal keys become one. Entries with different keys are as large in the message as in memory.
			if plain := field.IsMap() && field.MapValue().Message() == nil; !plain {
				if *left--; *left < 0 {
					return errTooManyObjects
				}
				inner, _ := protowire.ConsumeBytes(data)
				if err := checkObjects(field.Message(), inner, left); err != nil {
					return err
				}
			}
		}
		data = data[n:]
	}
	return nil
}

// binaryCodec is Protobuf's binary codec with the bound on objects.
type binaryCodec struct{}

func (binaryCodec) Name() string   { return "proto" }
func (binaryCodec) IsBinary() bool { return true }

func (binaryCodec) Marshal(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is not a protobuf message", v)
	}
	return proto.Marshal(m)
}

func (binaryCodec) MarshalStable(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is not a protobuf message", v)
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

func (binaryCodec) Unmarshal(data []byte, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is not a protobuf message", v)
	}
	left := maxObjects
	if err := checkObjects(m.ProtoReflect().Descriptor(), data, &left); err != nil {
		return err
	}
	if err := proto.Unmarshal(data, m); err != nil {
		return fmt.Errorf("decode %s: %w", reflect.TypeOf(v).Elem().Name(), err)
	}
	return nil
}

// gzipReader fails once a message exceeds the maximum size of a request. Connect's own reader continues to the end to
// report the size: for 16 MiB of gzip that is up to 16 GiB.
type gzipReader struct {
	gzip.Reader
	max, left int64
}

var errTooLong = errors.New("the message is too long")

func (r *gzipReader) Reset(src io.Reader) error {
	r.left = r.max
	return r.Reader.Reset(src)
}

func (r *gzipReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errTooLong
	}
	n, err := r.Reader.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, err
}

// withGzip is Connect's gzip compression for requests of at most maxBytes.
func withGzip(maxBytes int) connect.HandlerOption {
	return connect.WithCompression("gzip",
		// Connect reads one byte more, and then another to detect that there is more.
		func() connect.Decompressor { return &gzipReader{max: int64(maxBytes) + 2} },
		func() connect.Compressor { return gzip.NewWriter(io.Discard) },
	)
}
