package mapping

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Snapshot is the set of transactions that a read saw (https://www.postgresql.org/docs/current/functions-info.html,
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

// Saw reports whether the read saw a committed transaction, given by the 32 bits of its id that the log has. A commit
// is in the log, and can be decoded, slightly before other sessions see it.
func (s Snapshot) Saw(xid uint32) bool {
	full := s.xmax&^0xffffffff | uint64(xid)
	// The transaction is at most half the number space away from xmax, so the nearer epoch is right.
	switch {
	case full > s.xmax+1<<31 && full >= 1<<32:
		full -= 1 << 32
	case full+1<<31 < s.xmax:
		full += 1 << 32
	}
	return full < s.xmax && !s.running[full]
}

// CurrentSnapshot returns the snapshot of a read that begins now.
func CurrentSnapshot(ctx context.Context, pool *pgxpool.Pool) (Snapshot, error) {
	var text string
	if err := pool.QueryRow(ctx, "SELECT pg_current_snapshot()::text").Scan(&text); err != nil {
		return Snapshot{}, fmt.Errorf("read the current snapshot: %w", err)
	}
	return parseSnapshot(text)
}
