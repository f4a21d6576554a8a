package reconciliation

import (
	"context"
	"math"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// progress tells up to where push and the ledger have come. Of a product that push has yet to come to, or whose state
// after that the ledger has yet to read, nobody can say whether it has drifted. Not safe for concurrent use.
type progress struct {
	judged uint64
	// next is what judged becomes once the ledger has read what the streams held then.
	next *mark
}

// mark is how far push was at a moment, and what the streams held that the ledger follows.
type mark struct {
	pushed            uint64
	idle              bool
	catalog, observed uint64
}

// everything is the sequence of a mesh that is at rest: push has come to all that there is, and the ledger knows it. It
// holds also for what a stream held before it was made anew.
const everything = math.MaxUint64

// look returns the sequence of CATALOG up to which push is done with every message, and the ledger knows what came of
// it.
func (p *progress) look(ctx context.Context, m *mesh.Mesh) (uint64, error) {
	// In this order: of what comes into CATALOG later, push may have done nothing, and what push has stored about its
	// messages is in OBSERVED before they are done.
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
		return p.judged, nil
	}
	next := &mark{catalog: catalog}
	next.pushed, next.idle = pushed(now)
	next.pushed = min(next.pushed, catalog)
	if next.observed, err = m.Observed().Revision(ctx); err != nil {
		return 0, err
	}
	p.next = next
	if now, err = m.Consumers(ctx); err != nil {
		return 0, err
	}
	if p.advance(now) && next.idle {
		if _, idle := pushed(now); idle {
			return everything, nil
		}
	}
	return p.judged, nil
}

// advance says whether the ledger has come to the mark.
func (p *progress) advance(now []mesh.ConsumerStatus) bool {
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
	p.judged, p.next = p.next.pushed, nil
	return true
}

// pushed is the sequence of CATALOG up to which push is done with every message; idle says that it is with all.
func pushed(now []mesh.ConsumerStatus) (sequence uint64, idle bool) {
	sequence, idle = everything, true
	for _, c := range now {
		if (c.Consumer == topology.PushLive || c.Consumer == topology.PushBulk) && c.Pending+c.InFlight > 0 {
			sequence, idle = min(sequence, c.AckFloor), false
		}
	}
	return sequence, idle
}
