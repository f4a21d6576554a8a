// Package idsketch finds the ids that are in one of two large sets but not in the other, in memory that does not depend
// on the size of the sets.
//
// The package does no input or output. It knows ids only as texts.
package idsketch

import (
	"encoding/binary"
	"fmt"
	"maps"

	"github.com/cespare/xxhash/v2"
)

// Sketch summarizes two large sets of ids so that the ids in only one of them can be decoded. Its size depends on how
// much the sets differ, not on how large they are. It is an invertible Bloom lookup table (Eppstein et al., "What's the
// Difference? Efficient Set Reconciliation without Prior Context", 2011). The ids of one set are added, and those of
// the other are removed. Ids in both sets cancel out.
//
// If the sets differ by too much, smaller and smaller samples still yield some of the ids. The seed decides which ids
// are in a sample. It is not safe for concurrent use.
type Sketch struct {
	seed    uint64
	samples [sampleCount][]cell
}

// Every sample has an eighth of the ids of the previous one. The first has all. About 0.8 n ids can be decoded from a
// table of n cells, so the samples suffice for sets that differ by millions.
const (
	sampleCount = 5
	sampleBits  = 3
	firstCells  = 16384
	sampleCells = 2048
	// hashCount is the number of cells of a table that each id is in.
	hashCount = 4
)

// cell is the sum of the ids in it: their number, their keys and the keys' checksums.
type cell struct {
	count int32
	check uint32
	key   uint64
}

// New returns an empty sketch. The seed decides the keys of ids.
func New(seed uint64) *Sketch {
	s := &Sketch{seed: seed}
	for i := range s.samples {
		s.samples[i] = make([]cell, cellCount(i))
	}
	return s
}

func cellCount(sample int) int {
	if sample == 0 {
		return firstCells
	}
	return sampleCells
}

// Key returns the key of an id. kind separates the ids of products and prices.
func (s *Sketch) Key(kind, id string) uint64 {
	h := xxhash.NewWithSeed(s.seed)
	_, _ = h.WriteString(kind)
	_, _ = h.WriteString("/")
	_, _ = h.WriteString(id)
	return h.Sum64()
}

// Add counts an id of the first set.
func (s *Sketch) Add(key uint64) { s.count(key, 1) }

// Remove counts an id of the second set.
func (s *Sketch) Remove(key uint64) { s.count(key, -1) }

func (s *Sketch) count(key uint64, n int32) {
	for i := range s.samples {
		// The lowest bits choose the sample. Place and checksum are mixed from all bits.
		if key&(1<<(sampleBits*i)-1) != 0 {
			return
		}
		put(s.samples[i], key, n)
	}
}

func put(table []cell, key uint64, n int32) {
	part := uint64(len(table) / hashCount)
	check := checkSum(key)
	h := key
	for j := range uint64(hashCount) {
		h = mix(h + 0x9e3779b97f4a7c15)
		c := &table[j*part+h%part]
		c.count += n
		c.key ^= key
		c.check ^= check
	}
}

// mix is the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func checkSum(key uint64) uint32 { return uint32(mix(key ^ 0x2545f4914f6cdd1d)) }

// Missing returns keys that were removed and never added. more is how many others there are, about: 0 if these are all,
// and at least 1 if the sets differ by too much.
func (s *Sketch) Missing() (keys map[uint64]bool, more uint64) {
	keys, share := map[uint64]bool{}, 1.0
	for i := range s.samples {
		found, complete := decode(append([]cell(nil), s.samples[i]...))
		maps.Copy(keys, found)
		if complete && i == 0 {
			return keys, 0
		}
		if complete || i == sampleCount-1 {
			return keys, max(1, uint64(max(0, float64(len(found))/share-float64(len(keys)))))
		}
		share /= 1 << sampleBits
	}
	return nil, 1
}

// decode removes ids that are alone in a cell from the table until none is left. complete reports whether the table is
// then empty.
func decode(table []cell) (missing map[uint64]bool, complete bool) {
	missing = map[uint64]bool{}
	part := uint64(len(table) / hashCount)
	alone := func(i uint64) bool {
		return (table[i].count == 1 || table[i].count == -1) && table[i].check == checkSum(table[i].key)
	}
	var queue []uint64
	for i := range uint64(len(table)) {
		if alone(i) {
			queue = append(queue, i)
		}
	}
	for len(queue) > 0 {
		i := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if !alone(i) {
			continue
		}
		key, n := table[i].key, table[i].count
		if n < 0 {
			missing[key] = true
		}
		put(table, key, -n)
		h := key
		for j := range uint64(hashCount) {
			h = mix(h + 0x9e3779b97f4a7c15)
			if at := j*part + h%part; alone(at) {
				queue = append(queue, at)
			}
		}
	}
	for _, c := range table {
		if c != (cell{}) {
			return missing, false
		}
	}
	return missing, true
}

// cellBytes and sketchBytes are the encoded lengths of a cell and of a sketch.
const (
	cellBytes   = 16
	sketchBytes = 8 + cellBytes*(firstCells+(sampleCount-1)*sampleCells)
)

// Marshal encodes the sketch for Unmarshal.
func (s *Sketch) Marshal() []byte {
	out := binary.BigEndian.AppendUint64(make([]byte, 0, sketchBytes), s.seed)
	for _, table := range s.samples {
		for _, c := range table {
			out = binary.BigEndian.AppendUint32(out, uint32(c.count))
			out = binary.BigEndian.AppendUint32(out, c.check)
			out = binary.BigEndian.AppendUint64(out, c.key)
		}
	}
	return out
}

// Unmarshal decodes a sketch of Marshal. It returns an error for data of another length.
func Unmarshal(data []byte) (*Sketch, error) {
	if len(data) != sketchBytes {
		return nil, fmt.Errorf("a sketch has %d bytes, not %d", sketchBytes, len(data))
	}
	s := New(binary.BigEndian.Uint64(data))
	data = data[8:]
	for i := range s.samples {
		for j := range s.samples[i] {
			s.samples[i][j] = cell{
				count: int32(binary.BigEndian.Uint32(data)), check: binary.BigEndian.Uint32(data[4:]),
				key: binary.BigEndian.Uint64(data[8:]),
			}
			data = data[cellBytes:]
		}
	}
	return s, nil
}
