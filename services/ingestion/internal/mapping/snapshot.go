package mapping

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/driftless-sync/driftless/services/catalog"
)

// Snapshot tells which transactions a reading saw (https://www.postgresql.org/docs/current/functions-info.html,
// pg_current_snapshot).
type Snapshot struct {
	xmax    uint64
	running map[uint64]bool
}

func parseSnapshot(s string) (Snapshot, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return Snapshot{}, fmt.Errorf("%q is no snapshot", s)
	}
	xmax, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return Snapshot{}, fmt.Errorf("%q is no snapshot: %w", s, err)
	}
	out := Snapshot{xmax: xmax, running: map[uint64]bool{}}
	for id := range strings.SplitSeq(parts[2], ",") {
		if id == "" {
			continue
		}
		xid, err := strconv.ParseUint(id, 10, 64)
		if err != nil {
			return Snapshot{}, fmt.Errorf("%q is no snapshot: %w", s, err)
		}
		out.running[xid] = true
	}
	return out, nil
}

// Saw says whether the reading saw a committed transaction, given by the 32 bits of its id that the log has. A
// commit is in the log, and may be decoded from there, a moment before other sessions see it.
func (s Snapshot) Saw(xid uint32) bool {
	full := s.xmax&^0xffffffff | uint64(xid)
	// The transaction is at most half the number space away from xmax: take the nearer epoch.
	switch {
	case full > s.xmax+1<<31 && full >= 1<<32:
		full -= 1 << 32
	case full+1<<31 < s.xmax:
		full += 1 << 32
	}
	return full < s.xmax && !s.running[full]
}

// fault names the field of a row that does not decode: the first whose value fails by itself.
func fault[R productRow | priceRow](path string, doc []byte, err error) catalog.Violation {
	var all map[string]json.RawMessage
	_ = json.Unmarshal(doc, &all)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		alone, encodeErr := json.Marshal(map[string]json.RawMessage{name: all[name]})
		var row R
		if encodeErr == nil {
			if fieldErr := json.Unmarshal(alone, &row); fieldErr != nil {
				return catalog.Violation{Field: path + name, Message: fmt.Sprintf("%s does not have the form of Stripe's field: %v", abridged(all[name]), fieldErr)}
			}
		}
	}
	return catalog.Violation{Field: strings.TrimSuffix(path, "."), Message: err.Error()}
}

func abridged(value json.RawMessage) string {
	const most = 60
	if len(value) > most {
		return string(value[:most]) + "..."
	}
	return string(value)
}

// rowIDs reads the id, and of a price the product, from a row of which something else does not decode.
func rowIDs(doc []byte) (id, product string) {
	var r struct {
		ID      scalar `json:"id"`
		Product scalar `json:"product"`
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(doc, &all) == nil {
		_ = r.ID.UnmarshalJSON(all["id"])
		_ = r.Product.UnmarshalJSON(all["product"])
	}
	return string(r.ID), string(r.Product)
}
