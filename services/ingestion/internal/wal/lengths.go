package wal

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/jackc/pglogrepl"
)

// errLength means that a length in a message goes beyond the message's end.
var errLength = errors.New("malformed message: a length in it goes beyond its end")

// checkLengths refuses a message whose length fields go beyond its end. pglogrepl allocates these lengths before it
// checks them: 13 bytes can request a gigabyte. pglogrepl detects everything else that is malformed.
func checkLengths(data []byte) error {
	if len(data) == 0 {
		return errors.New("malformed message: it is empty")
	}
	r := lengths{rest: data[1:]}
	switch pglogrepl.MessageType(data[0]) {
	case pglogrepl.MessageTypeInsert:
		r.skip(4 + 1)
		r.tuple()
	case pglogrepl.MessageTypeUpdate:
		r.skip(4)
		if kind := r.byte(); kind == pglogrepl.UpdateMessageTupleTypeKey ||
			kind == pglogrepl.UpdateMessageTupleTypeOld {
			r.tuple()
			r.skip(1)
		}
		r.tuple()
	case pglogrepl.MessageTypeDelete:
		r.skip(4 + 1)
		r.tuple()
	case pglogrepl.MessageTypeMessage:
		r.skip(1 + 8)
		r.skip(int64(bytes.IndexByte(r.rest, 0) + 1))
		r.skip(int64(r.uint32()))
	case pglogrepl.MessageTypeTruncate:
		relations := r.uint32()
		r.skip(1)
		r.skip(4 * int64(relations))
	default:
	}
	if r.short {
		return errLength
	}
	return nil
}

// lengths reads a message field by field. At the end of the message it stays there.
type lengths struct {
	rest  []byte
	short bool
}

func (r *lengths) skip(n int64) (skipped []byte) {
	if n > int64(len(r.rest)) {
		r.rest, r.short = nil, true
		return nil
	}
	skipped, r.rest = r.rest[:n], r.rest[n:]
	return skipped
}

func (r *lengths) byte() byte {
	if b := r.skip(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *lengths) uint32() uint32 {
	if b := r.skip(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *lengths) tuple() {
	b := r.skip(2)
	if b == nil {
		return
	}
	for range binary.BigEndian.Uint16(b) {
		if kind := r.byte(); kind == pglogrepl.TupleDataTypeText || kind == pglogrepl.TupleDataTypeBinary {
			r.skip(int64(r.uint32()))
		}
		if r.short {
			return
		}
	}
}
