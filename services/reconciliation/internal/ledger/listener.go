package ledger

import (
	"context"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// Listener says what is published about drift, and learns what was stored. Its methods may be called concurrently.
//
// DriftFound, DriftSettled and CommandsDue are called within a transaction, which is rolled back and repeated after a
// failure. So they must not do any I/O.
type Listener interface {
	// DriftFound returns the messages about a product's new drift.
	DriftFound(context.Context, *Product, []*Drift) []Message
	// DriftSettled returns the messages about a product's drift that is gone.
	DriftSettled(context.Context, *Product, []*Drift) []Message
	// HoldNotNeeded returns the messages about a product that the guard holds although nothing is left to do: somebody
	// made the sides equal, or an operator ignores what differs. leave are the ignored fields. It may be called again
	// for the same hold.
	HoldNotNeeded(ctx context.Context, p *Product, leave []string) []Message
	// CommandsDue returns the commands that a product's drift requires.
	CommandsDue(context.Context, *Product, Commands) Due
	// Stored is called after each transaction that stored products, at most once.
	Stored(context.Context, Stored)
}

// Stored is what a transaction has stored about products.
type Stored struct {
	// Found and Settled are new drift, and drift that is gone.
	Found, Settled []ProductDrift
	// Closed are dead letters that were closed.
	Closed []*meshv1.DeadLetter
	// IsDue reports whether FindDrift has commands to issue.
	IsDue bool
	// HasMessages reports whether PublishOutbox has messages to publish.
	HasMessages bool
	// HasEvents reports whether PublishEvents has events to publish.
	HasEvents bool
}

// ProductDrift is drift of one product, with the messages about it.
type ProductDrift struct {
	Drift    []*Drift
	Messages []Message
}

// storedOf returns what a transaction about the products has stored, after it was committed.
func (l *Ledger) storedOf(products []*Product) (s Stored) {
	for _, p := range products {
		s.Found = append(s.Found, p.found...)
		s.Settled = append(s.Settled, p.settled...)
		s.Closed = append(s.Closed, p.closedLetters...)
		s.IsDue = s.IsDue || p.State == Drifted && !p.repairAt.IsZero() && !p.repairAt.After(l.now())
		s.HasMessages = s.HasMessages || len(p.messages) > 0
		s.HasEvents = s.HasEvents || len(p.events) > 0
	}
	return s
}

// Unheard is a listener that publishes nothing.
type Unheard struct{}

var _ Listener = Unheard{}

// DriftFound returns nothing.
func (Unheard) DriftFound(context.Context, *Product, []*Drift) []Message { return nil }

// HoldNotNeeded returns nothing.
func (Unheard) HoldNotNeeded(context.Context, *Product, []string) []Message { return nil }

// DriftSettled returns nothing.
func (Unheard) DriftSettled(context.Context, *Product, []*Drift) []Message { return nil }

// CommandsDue returns nothing.
func (Unheard) CommandsDue(context.Context, *Product, Commands) Due { return Due{} }

// Stored does nothing.
func (Unheard) Stored(context.Context, Stored) {}
