package pull

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const (
	// maxCommands is how many commands are handled at once. A scan of hours must not delay the read of one product.
	maxCommands = 8
	// maxWaitingScans is how many scans wait in this process for the running one. Others are redelivered after
	// scanDelay.
	maxWaitingScans = 5
	scanDelay       = 10 * time.Second
	// stopDelay is when a command that waited while pull stopped is redelivered, to the pull that starts next.
	stopDelay = time.Second
	// gatherDelay is how long a scan waits for commands of the same moment, so that the earliest runs first.
	gatherDelay = 50 * time.Millisecond
)

// command handles a command: scan, read a product, or count what uses prices.
func (p *puller) command(ctx context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
	switch {
	case msg.Body.GetScan() != nil:
		return p.scanInTurn(ctx, msg)
	case msg.Body.GetRead() != nil:
		return p.readProduct(ctx, msg)
	case msg.Body.GetReadUsage() != nil:
		return p.readUsage(ctx, msg)
	default:
		return mesh.Dead(&meshv1.DeadLetter{
			Account: msg.Body.GetAccount(), ProductId: "unknown", Reason: topology.ReasonUndecodable,
			Message: fmt.Sprintf("pull does not support the command on %s", msg.Subject),
		})
	}
}

// scanInTurn scans once the scans of earlier commands have ended. The wait also ends when pull stops: the command is
// then redelivered.
func (p *puller) scanInTurn(ctx context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
	if !p.scans.join(msg.Sequence) {
		return mesh.RetryIn(scanDelay, nil)
	}
	defer p.scans.leave(msg.Sequence)
	for wait := gatherDelay; ; wait = busyDelay {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-p.running.Done():
			timer.Stop()
			return mesh.RetryIn(stopDelay, nil)
		}
		if p.scans.start(msg.Sequence) {
			return p.scan(ctx, msg)
		}
	}
}

// scanQueue has the scan commands of this process, by their sequence in the stream. One of them runs at a time, the
// earliest first. The zero value is empty.
type scanQueue struct {
	mu       sync.Mutex
	commands []uint64
	// running is the sequence of the command that runs, 0 if none does.
	running uint64
}

// join adds a command and reports whether there was room for it.
func (q *scanQueue) join(sequence uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.commands) > maxWaitingScans {
		return false
	}
	q.commands = append(q.commands, sequence)
	return true
}

// start reports whether it is the command's turn, and marks it as running if so.
func (q *scanQueue) start(sequence uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running != 0 || slices.ContainsFunc(q.commands, func(o uint64) bool { return o < sequence }) {
		return false
	}
	q.running = sequence
	return true
}

// leave removes a command, whether it ran or not.
func (q *scanQueue) leave(sequence uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.commands = slices.DeleteFunc(q.commands, func(o uint64) bool { return o == sequence })
	if q.running == sequence {
		q.running = 0
	}
}

// readProduct reads a product and its active prices for an import. Stripe's events would report them one by one.
func (p *puller) readProduct(ctx context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
	stripeID := msg.Body.GetRead().GetProductId()
	low, err := p.lowOnReads(ctx)
	switch {
	case err != nil:
		return mesh.Retry(err)
	case low:
		p.logger.WarnContext(
			ctx, "Stripe's read allowance is nearly used up; skipped the read of a product to import",
			"product", stripeID)
		return mesh.Ack()
	}
	ref := p.ref(stripeID)
	release, err := p.locks.lock(ctx, ref.product)
	if err != nil {
		return mesh.RetryIn(busyDelay, nil)
	}
	defer release()
	err = p.refreshWithPrices(budget.For(ctx, budget.Imports), ref, nil, nil, func(*catalogv1.Observed) {})
	switch {
	case err == nil, errors.Is(err, errShadowed), errors.Is(err, errLinking):
		return mesh.Ack()
	case errors.Is(err, state.ErrUndecodable):
		return mesh.Dead(p.deadLetter(ref.product, topology.ReasonUndecodable, err))
	case stripeapi.Classify(err).Action == stripeapi.Refuse:
		return mesh.Dead(p.deadLetter(ref.product, topology.ReasonRefused, err))
	default:
		return mesh.RetryIn(min(mesh.RetryDelay(msg.Attempt), maxRetryDelay), err)
	}
}
