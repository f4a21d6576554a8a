package preview

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"slices"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// spool is a temporary file of states. It has no name, so nothing is left of it when the process ends.
type spool struct {
	file   *os.File
	buffer []byte
	// written is the size of the file without the buffer.
	written int64
}

// bufferSize is how much is written at once.
const bufferSize = 1 << 20

func newSpool() (*spool, error) {
	file, err := os.CreateTemp("", "driftless-preview-")
	if err != nil {
		return nil, fmt.Errorf("create a temporary file: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("create a temporary file: %w", err), file.Close())
	}
	return &spool{file: file}, nil
}

func (s *spool) close() { _ = s.file.Close() }

// place is where a record is.
type place struct {
	offset int64
	length int32
}

func (s *spool) add(record []byte) (place, error) {
	at := place{s.written + int64(len(s.buffer)), int32(len(record))}
	s.buffer = append(s.buffer, record...)
	if len(s.buffer) < bufferSize {
		return at, nil
	}
	return at, s.flush()
}

func (s *spool) flush() error {
	if _, err := s.file.Write(s.buffer); err != nil {
		return fmt.Errorf("write to the temporary file: %w", err)
	}
	s.written += int64(len(s.buffer))
	s.buffer = s.buffer[:0]
	return nil
}

func (s *spool) read(at place) ([]byte, error) {
	record := make([]byte, at.length)
	if at.offset >= s.written {
		copy(record, s.buffer[at.offset-s.written:])
		return record, nil
	}
	if _, err := s.file.ReadAt(record, at.offset); err != nil {
		return nil, fmt.Errorf("read the temporary file: %w", err)
	}
	return record, nil
}

// encode writes states. Equal states have equal records.
func encode(states ...State) ([]byte, error) {
	var out []byte
	for _, s := range states {
		change, err := proto.MarshalOptions{Deterministic: true}.Marshal(s.Change)
		if err != nil {
			return nil, fmt.Errorf("product %s: %w", s.Change.GetProductId(), err)
		}
		for _, part := range [][]byte{change, []byte(s.Refused)} {
			out = binary.AppendUvarint(out, uint64(len(part)))
			out = append(out, part...)
		}
	}
	return out, nil
}

func decode(record []byte) (states []State, err error) {
	next := func() []byte {
		n, size := binary.Uvarint(record)
		part := record[size : size+int(n)]
		record = record[size+int(n):]
		return part
	}
	for len(record) > 0 {
		s := State{Change: &catalogv1.ProductChange{}}
		if err := proto.Unmarshal(next(), s.Change); err != nil {
			return nil, fmt.Errorf("read the temporary file: %w", err)
		}
		s.Refused = string(next())
		states = append(states, s)
	}
	return states, nil
}

// entry is a product before the statements: 56 bytes, whatever the size of the product.
type entry struct {
	id    uint64
	state [sha256.Size / 2]byte
	place place
	seen  bool
}

// index finds products by their ids.
type index struct{ entries []entry }

func hashID(id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	return h.Sum64()
}

func hashState(record []byte) (out [sha256.Size / 2]byte) {
	sum := sha256.Sum256(record)
	copy(out[:], sum[:])
	return out
}

// sort must be called before find.
func (x *index) sort() {
	slices.SortFunc(x.entries, func(a, b entry) int { return cmp.Compare(a.id, b.id) })
}

// find returns the entries whose ids have a hash. There is hardly ever more than one.
func (x *index) find(id uint64) []entry {
	from, found := slices.BinarySearchFunc(x.entries, id, func(e entry, id uint64) int { return cmp.Compare(e.id, id) })
	if !found {
		return nil
	}
	to := from
	for to < len(x.entries) && x.entries[to].id == id {
		to++
	}
	return x.entries[from:to]
}
