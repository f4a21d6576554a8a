package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/cloudevent"
)

// CauseUnknown is the cause of drift that no event explains.
const CauseUnknown = "unknown"

// Side is a side whose values an operator keeps.
type Side string

// The sides.
const (
	CatalogSide Side = "catalog"
	StripeSide  Side = "stripe"
)

// Drift is a difference that should not be there.
type Drift struct {
	ID      int64
	Product string
	catalog.Difference
	// Action is what the policy does about it.
	Action catalog.Action
	// Since is when it was opened.
	Since time.Time
	// CausedBy is dashboard, api_key or unknown.
	CausedBy string
	// EventID is the id of the Stripe event that caused it. Empty if that is not known.
	EventID string
	State   DriftState
	// Decided is the side that an operator has chosen. Empty if none has.
	Decided Side
	// Detail is why it needs a decision. Empty if it does not.
	Detail string
	// Traceparent is the span that found it. Empty if it was found by an earlier release.
	Traceparent string
	// Attempts is how many commands were issued for it.
	Attempts int
	// SettledAt is zero while the drift is open.
	SettledAt time.Time
}

// isActive reports whether the policy or an operator's decision requires an action.
func (d *Drift) isActive() bool { return slices.Contains(activeStates, d.State) }

// isReported reports whether nothing is done about drift, because the policy only reports it.
func (d *Drift) isReported() bool { return d.Decided == "" && d.Action == catalog.Report }

// takesStripe reports whether the catalog shall take Stripe's value.
func (d *Drift) takesStripe() bool {
	return d.Decided == StripeSide || d.Decided == "" && d.Action == catalog.WriteBack
}

// isWholeExtra reports whether the drift is a product that only Stripe has.
func (d *Drift) isWholeExtra() bool { return d.Kind == catalog.Extra && d.Field == "" }

// openDrift opens drift for each difference that is not open yet.
func (l *Ledger) openDrift(ctx context.Context, tx pgx.Tx, p *Product, differing []catalog.Decision) error {
	var found []*Drift
	for _, decision := range differing {
		if slices.ContainsFunc(p.open, func(d *Drift) bool { return d.Field == decision.Field }) {
			continue
		}
		d, err := l.openOne(ctx, tx, p, decision)
		if err != nil {
			return err
		}
		p.open = append(p.open, d)
		found = append(found, d)
	}
	if len(found) == 0 {
		return nil
	}
	messages := l.listener.DriftFound(ctx, p, found)
	if err := l.noteTrace(ctx, tx, found, messages); err != nil {
		return err
	}
	p.noteDrift(cloudevent.DriftFound, found, messages)
	p.found = append(p.found, ProductDrift{Drift: found, Messages: messages})
	p.messages = append(p.messages, messages...)
	return p.on(productDriftFound, l.now(), time.Time{})
}

// noteTrace stores the trace of the messages about new drift with the drift, so that its repair can link to it.
func (l *Ledger) noteTrace(ctx context.Context, tx pgx.Tx, found []*Drift, messages []Message) error {
	if len(messages) == 0 || messages[0].Traceparent == "" {
		return nil
	}
	ids := make([]int64, len(found))
	for i, d := range found {
		ids[i], d.Traceparent = d.ID, messages[0].Traceparent
	}
	if _, err := tx.Exec(ctx, `UPDATE driftless_ledger.drift SET traceparent = $2 WHERE id = ANY($1)`, ids,
		messages[0].Traceparent); err != nil {
		return fmt.Errorf("store the trace of drift of product %s: %w", found[0].Product, err)
	}
	return nil
}

// openOne stores a difference as drift, and searches for its cause.
func (l *Ledger) openOne(ctx context.Context, tx pgx.Tx, p *Product, decision catalog.Decision) (*Drift, error) {
	d := &Drift{
		Product:    p.ID,
		Difference: decision.Difference,
		Action:     decision.Action,
		Since:      l.now(),
		CausedBy:   CauseUnknown,
	}
	event, input := driftFound, driftInput{}
	why, err := l.contest(ctx, tx, d)
	if err != nil {
		return nil, err
	}
	if why != "" {
		event, input.reason = driftContested, why
	}
	if _, err := d.on(event, input); err != nil {
		return nil, err
	}
	if err := tx.QueryRow(ctx,
		`INSERT INTO driftless_ledger.drift (account, product_id, kind, field, catalog_value, stripe_value, action, since, events, state, detail)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id`,
		l.account, p.ID, string(d.Kind), d.Field, d.Catalog, d.Stripe, string(d.Action), d.Since,
		append([]string{}, p.newEventIDs...), string(d.State), d.Detail).Scan(&d.ID); err != nil {
		return nil, fmt.Errorf("store drift of product %s: %w", p.ID, err)
	}
	if err := l.attributeCause(ctx, tx, p.ID, d); err != nil {
		return nil, err
	}
	if d.CausedBy == CauseUnknown && len(p.newEventIDs) > 0 {
		p.unattributed = append(p.unattributed, d)
	}
	return d, nil
}

// eventsOf returns what a change of the product's states means for its open drift, in order.
func (p *Product) eventsOf(d *Drift) (events []driftEvent, now catalog.Decision) {
	i := slices.IndexFunc(p.Decisions, func(x catalog.Decision) bool { return x.Field == d.Field && x.Kind == d.Kind })
	if i < 0 {
		return []driftEvent{p.settlementOf(d)}, now
	}
	now = p.Decisions[i]
	// An operator's decision replaces the policy. A version of the catalog that is older than the one that push applied
	// cannot decide which side is right.
	ruled := d.isActive() && d.Decided == "" && p.Observed.GetVersion() <= p.desiredVersion
	if d.Stripe != now.Stripe || d.Catalog != now.Catalog {
		if ruled && now.Action == catalog.WriteBack {
			events = append(events, driftSuperseded)
		} else {
			events = append(events, driftMoved)
		}
	}
	if ruled && d.Action != now.Action {
		events = append(events, driftRuled)
	}
	return events, now
}

// settlementOf returns how drift that no longer differs has ended.
func (p *Product) settlementOf(d *Drift) driftEvent {
	commanded := d.Attempts > 0 || d.Decided != ""
	if d.takesStripe() && commanded || d.isWholeExtra() && p.Desired != nil {
		return driftWrittenBack
	}
	return driftRepaired
}

// updateOpen compares open drift with the differences now, and settles drift that no longer differs.
func (l *Ledger) updateOpen(ctx context.Context, tx pgx.Tx, p *Product) error {
	var settled []*Drift
	reopened := false
	for _, d := range p.open {
		events, now := p.eventsOf(d)
		for _, e := range events {
			do, err := d.on(e, driftInput{decision: now, at: l.now()})
			if err != nil {
				return err
			}
			reopened = reopened || do&reopenProduct != 0
		}
		if len(events) == 0 {
			continue
		}
		if err := l.storeDrift(ctx, tx, d); err != nil {
			return err
		}
		if !d.SettledAt.IsZero() {
			settled = append(settled, d)
		}
	}
	p.open = slices.DeleteFunc(p.open, func(d *Drift) bool { return !d.SettledAt.IsZero() })
	if reopened {
		l.resolve(p)
		if err := p.on(productReopened, l.now(), time.Time{}); err != nil {
			return err
		}
	}
	if len(settled) > 0 {
		messages := l.listener.DriftSettled(ctx, p, settled)
		p.noteDrift(cloudevent.DriftSettled, settled, messages)
		p.settled = append(p.settled, ProductDrift{Drift: settled, Messages: messages})
		p.messages = append(p.messages, messages...)
	}
	return nil
}

// requireDecision leaves drift that could not be written back to an operator.
func (l *Ledger) requireDecision(ctx context.Context, tx pgx.Tx, p *Product, why string) error {
	if err := l.loadOpen(ctx, tx, p); err != nil {
		return err
	}
	for _, d := range p.open {
		if !d.takesStripe() {
			continue
		}
		if _, err := d.on(driftRefused, driftInput{reason: why}); err != nil {
			return err
		}
		if err := l.storeDrift(ctx, tx, d); err != nil {
			return err
		}
	}
	return nil
}
