package state

import (
	"context"
	"fmt"
	"time"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// ObservedPage is a part of an account's observed states, in the order of their revisions.
type ObservedPage struct {
	Entries []ObservedEntry
	// Last is the revision up to which the page has everything. The next page begins after it.
	Last uint64
	// More reports whether more states may follow at once.
	More bool
	// Undecodable has an error for each message that is not an observed state. The page skips it.
	Undecodable []error
}

// After returns the account's states with a revision above the given one. A state that is written later has a higher
// revision than all that were read, so a caller that repeats it misses none. It costs one request.
func (s *ObservedStore) After(ctx context.Context, account string, revision uint64) (ObservedPage, error) {
	out := ObservedPage{Last: revision}
	filter := "$KV." + topology.BucketObserved + "." + account + ".*"
	messages, left, err := s.bucket().Page(ctx, filter, revision+1)
	if err != nil {
		return out, fmt.Errorf("read bucket %s: %w", topology.BucketObserved, err)
	}
	out.More = left > 0
	for _, msg := range messages {
		out.Last = msg.Sequence
		if msg.Header.Get("KV-Operation") != "" {
			continue
		}
		o, err := decodeObserved(msg.Data, msg.Sequence)
		if err != nil {
			out.Undecodable = append(out.Undecodable, err)
			continue
		}
		out.Entries = append(out.Entries, ObservedEntry{Observed: o, Revision: msg.Sequence})
	}
	return out, nil
}

// State returns when the bucket was created, and the latest revision in it. Another bucket with the same name counts
// from 1 again.
func (s *ObservedStore) State(ctx context.Context) (created time.Time, revision uint64, err error) {
	stream, err := s.m.StreamState(ctx, "KV_"+topology.BucketObserved)
	return stream.Created, stream.Last, err
}
