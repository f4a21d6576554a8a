package ledger

import (
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// minStripeState is the time that a state of Stripe must last to be kept. The calls of one sync follow each other
// within it. Stripe itself dates everything to the second.
const minStripeState = time.Second

// pastState is a state that one side of a product had, and that another has replaced.
type pastState struct {
	side                      Side
	since, until              time.Time
	firstVersion, lastVersion uint64
	state                     proto.Message
}

// setDesired replaces the desired state, and keeps the one before if the content differs. at is when the new state was
// committed, or read if that is not known. Times never decrease, because the clock of a database may step back.
func (p *Product) setDesired(next *catalogv1.ProductChange, at time.Time) {
	if p.Desired == nil || !proto.Equal(desiredContent(p.Desired), desiredContent(next)) {
		if at.Before(p.desiredSince) {
			at = p.desiredSince
		}
		if p.Desired != nil {
			p.past = append(p.past, pastState{
				side:         CatalogSide,
				since:        p.desiredSince,
				until:        at,
				firstVersion: firstVersion(p.desiredFirst, p.desiredVersion),
				lastVersion:  p.desiredVersion,
				state:        shownDesired(p.Desired),
			})
		}
		p.desiredSince, p.desiredFirst = at, next.GetVersion()
	} else {
		p.desiredFirst = firstVersion(p.desiredFirst, p.desiredVersion)
	}
	p.Desired, p.desiredVersion = next, next.GetVersion()
}

// firstVersion returns the first version with a content. An earlier program did not record it.
func firstVersion(recorded, latest uint64) uint64 {
	if recorded == 0 {
		return latest
	}
	return recorded
}

// setObserved replaces the observed state, and keeps the one before if the content differs. at is when the new state
// was stored in OBSERVED.
func (p *Product) setObserved(next *catalogv1.Observed, at time.Time) {
	before := p.Observed
	p.Observed = next
	if proto.Equal(observedContent(before), observedContent(next)) {
		return
	}
	if at.Before(p.observedSince) {
		at = p.observedSince
	}
	switch {
	case before.GetProduct() == nil:
	case at.Sub(p.observedSince) < minStripeState:
		// The next state takes its place.
		at = p.observedSince
	default:
		p.past = append(p.past, pastState{
			side:        StripeSide,
			since:       p.observedSince,
			until:       at,
			lastVersion: before.GetVersion(),
			state:       shownObserved(before),
		})
	}
	p.observedSince = at
}

// desiredContent returns what makes one desired state differ from another. The source, the times and the violations of
// a check do not.
func desiredContent(c *catalogv1.ProductChange) *catalogv1.ProductChange {
	return &catalogv1.ProductChange{
		Operation:       c.GetOperation(),
		Product:         c.GetProduct(),
		UnmanagedFields: c.GetUnmanagedFields(),
		ArchiveAfter:    c.GetArchiveAfter(),
	}
}

// shownDesired returns the part of a desired state that is kept.
func shownDesired(c *catalogv1.ProductChange) *catalogv1.ProductChange {
	out := desiredContent(c)
	out.ProductId, out.Version, out.CommittedAt, out.Source = c.GetProductId(), c.GetVersion(), c.GetCommittedAt(),
		c.GetSource()
	return out
}

// observedContent returns what makes one observed state differ from another: what Stripe holds. Nothing is there if
// Stripe holds no such product.
func observedContent(o *catalogv1.Observed) *catalogv1.Observed {
	if o.GetProduct() == nil {
		return &catalogv1.Observed{}
	}
	out := &catalogv1.Observed{Product: o.GetProduct(), StripeId: o.GetStripeId()}
	for _, price := range o.GetPrices() {
		out.Prices = append(out.Prices, &catalogv1.ObservedPrice{
			StripeId: price.GetStripeId(),
			Price:    price.GetPrice(),
		})
	}
	slices.SortFunc(out.GetPrices(), func(a, b *catalogv1.ObservedPrice) int {
		return strings.Compare(a.GetStripeId(), b.GetStripeId())
	})
	return out
}

// shownObserved returns the part of an observed state that is kept.
func shownObserved(o *catalogv1.Observed) *catalogv1.Observed {
	out := observedContent(o)
	out.ProductId, out.Version = o.GetProductId(), o.GetVersion()
	return out
}

const insertPastState = `INSERT INTO driftless_ledger.past_state
		(account, side, product_id, since, until, first_version, last_version, state)
		VALUES ($1, $2, $3, $4, $5, $6::text::numeric, $7::text::numeric, $8)`

// queuePast adds the statements that store the replaced states of a product. It returns how many it added.
func (l *Ledger) queuePast(batch *pgx.Batch, p *Product) (n int, err error) {
	for _, s := range p.past {
		state, err := proto.Marshal(s.state)
		if err != nil {
			return 0, err
		}
		batch.Queue(insertPastState, l.account, string(s.side), p.ID, s.since, s.until, number(s.firstVersion),
			number(s.lastVersion), state)
	}
	return len(p.past), nil
}
