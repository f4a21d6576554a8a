package ledger

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/cloudevent"
)

// maxFindings is how many findings of the guard an event has.
const maxFindings = 10

// queueEvents adds to a batch the statements that store the events about a product since it was read. It returns how
// many there are.
func (l *Ledger) queueEvents(batch *pgx.Batch, p *Product) (n int, err error) {
	if l.noEvents {
		return 0, nil
	}
	// An edit in Stripe comes before the drift that it is.
	p.events = slices.Concat(l.saleEvents(p), p.events, l.holdEvents(p), l.recoveryEvents(p))
	for _, e := range p.events {
		e.Account, e.Product = l.account, p.ID
		e.Traceparent = cmp.Or(e.Traceparent, p.traceparent)
		body, err := e.Encode()
		if err != nil {
			return 0, err
		}
		batch.Queue(`INSERT INTO driftless_ledger.event_outbox (account, product_id, event_id, kind, body, created_at)
			VALUES ($1, $2, $3, $4, $5, $6)`, l.account, p.ID, e.ID(), string(e.Kind), body, l.now())
	}
	return len(p.events), nil
}

// observedFact identifies the observed state of a product as the ledger read it.
func (p *Product) observedFact() string {
	return fmt.Sprintf("%d.%d", p.observedAt.Stored.UnixMicro(), p.observedAt.Sequence)
}

func (p *Product) sale() cloudevent.State {
	return cloudevent.State{ID: p.ID, Desired: p.Desired, Observed: p.Observed}
}

// saleEvents returns which of the product and its prices became live or ended since it was read.
func (l *Ledger) saleEvents(p *Product) []cloudevent.Event {
	events := cloudevent.SaleEvents(p.loaded.sale(), p.sale())
	at := l.now()
	if p.Observed != p.loaded.Observed {
		at = p.observedAt.Stored
	}
	for i := range events {
		events[i].At, events[i].Fact = at, events[i].Fact+" "+p.observedFact()
	}
	return events
}

// holdEvents returns whether the guard holds another change than when the product was read.
func (l *Ledger) holdEvents(p *Product) (events []cloudevent.Event) {
	was, is := p.loaded.Hold(), p.Hold()
	if was != nil && is != nil && was.GetVersion() == is.GetVersion() {
		return nil
	}
	if was != nil {
		events = append(events, cloudevent.Event{
			Kind: cloudevent.ChangeReleased,
			At:   l.now(),
			Fact: fmt.Sprintf("%d %d %s", was.GetVersion(), p.desiredVersion, p.observedFact()),
			Data: p.released(was),
		})
	}
	if is != nil {
		at := l.now()
		if is.GetSince() != nil && was == nil {
			at = is.GetSince().AsTime()
		}
		held := cloudevent.Held{ProductID: p.ID, Version: cloudevent.Version(is.GetVersion()), Findings: findingsOf(is)}
		events = append(events, cloudevent.Event{
			Kind: cloudevent.ChangeHeld,
			At:   at,
			Fact: fmt.Sprintf("%d %s", is.GetVersion(), p.observedFact()),
			Data: held,
		})
	}
	return events
}

func findingsOf(h *catalogv1.Hold) []cloudevent.Finding {
	found := h.GetFindings()
	out := []cloudevent.Finding{}
	for _, f := range found[:min(len(found), maxFindings)] {
		out = append(out, cloudevent.Finding{
			Rule:    cloudevent.Text(f.GetRule()),
			PriceID: f.GetPriceId(),
			Before:  cloudevent.Text(f.GetBefore()),
			After:   cloudevent.Text(f.GetAfter()),
			Message: cloudevent.Text(f.GetMessage()),
		})
	}
	return out
}

// released returns how a hold has ended.
func (p *Product) released(was *catalogv1.Hold) cloudevent.Released {
	out := cloudevent.Released{
		ProductID: p.ID,
		Version:   cloudevent.Version(was.GetVersion()),
		Outcome:   cloudevent.Ended,
	}
	now := p.Observed.GetHold()
	switch {
	case now.GetApproved() && now.GetVersion() == was.GetVersion():
		out.Outcome = cloudevent.Approved
		for _, a := range now.GetApprovals() {
			out.ApprovedBy = append(out.ApprovedBy, cloudevent.Text(a.GetActor()))
		}
	case p.desiredVersion > was.GetVersion():
		out.Outcome = cloudevent.Replaced
	}
	return out
}

// isDead reports whether a dead letter about the product is open.
func (p *Product) isDead() bool { return p.deadVersion != nil || p.deadUnversioned }

// noteLetter adds the event about a letter that was opened.
func (p *Product) noteLetter(letter *meshv1.DeadLetter) {
	p.events = append(p.events, cloudevent.Event{
		Kind:        cloudevent.ChangeDead,
		At:          letter.GetLastAt().AsTime(),
		Fact:        letter.GetId(),
		Traceparent: letter.GetTraceparent(),
		Data: cloudevent.Dead{
			ProductID:       p.ID,
			LetterID:        letter.GetId(),
			Service:         letter.GetService(),
			Reason:          letter.GetReason(),
			Message:         cloudevent.Text(letter.GetMessage()),
			Field:           cloudevent.Text(letter.GetField()),
			StripeCode:      cloudevent.Text(letter.GetStripeCode()),
			StripeRequestID: cloudevent.Text(letter.GetStripeRequestId()),
			Attempts:        letter.GetAttempts(),
			Version:         cloudevent.Version(letter.GetVersion()),
		},
	})
}

// recoveryEvents returns whether the last open dead letter about the product was closed since it was read.
func (l *Ledger) recoveryEvents(p *Product) []cloudevent.Event {
	isLetter := func(e cloudevent.Event) bool { return e.Kind == cloudevent.ChangeDead }
	if p.isDead() || !p.loaded.isDead() && !slices.ContainsFunc(p.events, isLetter) {
		return nil
	}
	data := cloudevent.Recovered{ProductID: p.ID}
	fact := p.observedFact()
	if n := len(p.closedLetters); n > 0 {
		data.LetterID, data.Reason = p.closedLetters[n-1].GetId(), p.closedLetters[n-1].GetReason()
		fact = data.LetterID
	}
	return []cloudevent.Event{{Kind: cloudevent.ChangeRecovered, At: l.now(), Fact: fact, Data: data}}
}

// noteDrift adds the events about drift that was found or settled.
func (p *Product) noteDrift(kind cloudevent.Kind, drift []*Drift, messages []Message) {
	traceparent := ""
	if len(messages) > 0 {
		traceparent = messages[0].Traceparent
	}
	for _, d := range drift {
		at := d.Since
		if kind == cloudevent.DriftSettled {
			at = d.SettledAt
		}
		p.events = append(p.events, cloudevent.Event{
			Kind: kind,
			At:   at,
			// The ids of drift begin again in another ledger.
			Fact:        fmt.Sprintf("%d %s", d.ID, d.Since.UTC().Format(time.RFC3339Nano)),
			Traceparent: traceparent,
			Data:        driftData(d),
		})
	}
}

func driftData(d *Drift) cloudevent.Drift {
	return cloudevent.Drift{
		ProductID:     d.Product,
		DriftID:       strconv.FormatInt(d.ID, 10),
		DifferenceOf:  string(d.Kind),
		Field:         cloudevent.Text(d.Field),
		Catalog:       cloudevent.Text(d.Catalog),
		Stripe:        cloudevent.Text(d.Stripe),
		Action:        string(d.Action),
		State:         string(d.State),
		Since:         d.Since.UTC(),
		CausedBy:      d.CausedBy,
		StripeEventID: d.EventID,
		Reason:        cloudevent.Text(d.Detail),
	}
}
