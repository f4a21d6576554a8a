package view

import (
	"context"
	"math"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// PushProgress tracks the position in CATALOG up to which push is done and the ledger knows the results. Beyond it
// nobody can say whether a product has drifted. Not safe for concurrent use.
type PushProgress struct {
	position uint64
	// next becomes the position once the ledger has read what the streams held when it was made.
	next *checkpoint
}

// checkpoint is push's position at a moment, and the ends of the streams that the ledger follows.
type checkpoint struct {
	pushed            uint64
	idle              bool
	catalog, observed uint64
}

// allSequences is the position while nothing is in flight: push is done with all messages, and the ledger knows the
// results. It also covers messages that a stream held before it was created again.
const allSequences = math.MaxUint64

// Update returns the sequence of CATALOG up to which push is done with every message and the ledger knows the results.
func (p *PushProgress) Update(ctx context.Context, m *mesh.Mesh) (uint64, error) {
	// The order matters. Push may not have seen messages that arrive in CATALOG later. Push stores its results in
	// OBSERVED before it acknowledges messages.
	catalog, err := m.LastSequence(ctx, topology.StreamCatalog)
	if err != nil {
		return 0, err
	}
	now, err := m.Consumers(ctx)
	if err != nil {
		return 0, err
	}
	if p.next != nil {
		p.advance(now)
	}
	if p.next != nil {
		return p.position, nil
	}
	next := &checkpoint{catalog: catalog}
	next.pushed, next.idle = pushPosition(now)
	next.pushed = min(next.pushed, catalog)
	if next.observed, err = state.New(m).Observed().Revision(ctx); err != nil {
		return 0, err
	}
	p.next = next
	if now, err = m.Consumers(ctx); err != nil {
		return 0, err
	}
	if p.advance(now) && next.idle {
		if _, idle := pushPosition(now); idle {
			return allSequences, nil
		}
	}
	return p.position, nil
}

// advance reports whether the ledger has reached the checkpoint.
func (p *PushProgress) advance(now []mesh.ConsumerStatus) bool {
	for _, c := range now {
		var to uint64
		switch c.Consumer {
		case topology.ReconciliationCatalog:
			to = p.next.catalog
		case topology.ReconciliationObserved:
			to = p.next.observed
		default:
			continue
		}
		if c.AckFloor < to && c.Pending+c.InFlight > 0 {
			return false
		}
	}
	p.position, p.next = p.next.pushed, nil
	return true
}

// pushPosition returns the sequence of CATALOG up to which push is done with every message. idle reports whether it is
// done with all.
func pushPosition(now []mesh.ConsumerStatus) (sequence uint64, idle bool) {
	sequence, idle = allSequences, true
	for _, c := range now {
		if (c.Consumer == topology.PushLive || c.Consumer == topology.PushBulk) && c.Pending+c.InFlight > 0 {
			sequence, idle = min(sequence, c.AckFloor), false
		}
	}
	return sequence, idle
}
