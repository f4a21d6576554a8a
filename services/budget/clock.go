package budget

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/mesh"
)

// clock tells the time of the NATS server: the processes' own clocks may differ.
type clock struct {
	// ahead is how far the server's clock is ahead of ours.
	ahead    time.Duration
	measured time.Time
}

// measureEvery is how often the clocks are compared.
const measureEvery = time.Minute

func (c *clock) now() int64 { return time.Now().Add(c.ahead).UnixNano() }

func (c *clock) local(at int64) time.Time { return time.Unix(0, at).Add(-c.ahead) }

// observe compares the clocks by a record that was written between two moments of ours.
func (c *clock) observe(ctx context.Context, store Store, sent, stored time.Time) {
	// A slow write says little; better little than nothing.
	if time.Since(c.measured) < measureEvery || !c.measured.IsZero() && stored.Sub(sent) > 50*time.Millisecond {
		return
	}
	_, at, err := store.Load(ctx, &meshv1.Budget{})
	if err != nil || at.IsZero() {
		return
	}
	c.measured = time.Now()
	// Somebody else may have written after us: then the server's time is of a later moment than ours.
	middle := sent.Add(stored.Sub(sent) / 2)
	if offset := at.Sub(middle); offset.Abs() > 5*time.Millisecond {
		c.ahead = offset
		return
	}
	c.ahead = 0
}

// alone is a store that is shared with nobody.
type alone struct {
	mu       sync.Mutex
	record   *meshv1.Budget
	revision uint64
	at       time.Time
}

func (a *alone) Load(_ context.Context, into proto.Message) (uint64, time.Time, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.record != nil {
		proto.Merge(into, a.record)
	}
	return a.revision, a.at, nil
}

func (a *alone) Store(_ context.Context, record proto.Message, revision uint64) (uint64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if revision != a.revision {
		return 0, mesh.ErrMoved
	}
	a.record = proto.CloneOf(record.(*meshv1.Budget)) //nolint:forcetypeassert // the only record there is
	a.revision++
	a.at = time.Now()
	return a.revision, nil
}
