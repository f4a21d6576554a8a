package view

import (
	"context"
	"slices"
	"time"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// waitingRetries remembers which of push's scheduled retries wait without a failure, so that each is read once. An
// adoption may leave many thousands. Not safe for concurrent use.
type waitingRetries struct {
	// position is a sequence of RETRY: every retry up to it waits without a failure. This stays true: a product that
	// fails gets a later retry in the place of its earlier one.
	position uint64
	// created and last are the stream's at the latest look. Another stream has other retries at these sequences.
	created time.Time
	last    uint64
}

// readRetries returns the scheduled retries of push behind those that are known to wait without a failure, at most
// MaxRetries. It reports whether there are more.
func (r *Reader) readRetries(ctx context.Context) (retries []*meshv1.Retry, more bool, err error) {
	w := &r.waiting
	now, err := r.mesh.StreamState(ctx, topology.StreamRetry)
	if err != nil {
		return nil, false, err
	}
	if !now.Created.Equal(w.created) || now.Last < w.last {
		w.position = 0
	}
	w.created, w.last = now.Created, now.Last
	retries, next, err := r.mesh.RetriesAfter(ctx, topology.Push, r.account, w.position, MaxRetries)
	if err != nil {
		return nil, false, err
	}
	if next > 0 && !slices.ContainsFunc(retries, hasFailed) {
		w.position = next
	}
	return retries, next > 0, nil
}

// hasFailed reports whether a retry follows a failure. The others wait without one: creations are held, or an earlier
// push put off a change that the guard held.
func hasFailed(r *meshv1.Retry) bool { return r.GetAttempts() > 0 }
