package ledger_test

import (
	"context"

	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// listener calls the functions that a test has set.
type listener struct {
	found, settled func(*ledger.Product, []*ledger.Drift) []ledger.Message
	due            func(ledger.Commands) ledger.Due
	stored         func(ledger.Stored)
	// notNeeded are the products of HoldNotNeeded, each with the fields to leave.
	notNeeded [][]string
}

func (l *listener) DriftFound(_ context.Context, p *ledger.Product, drift []*ledger.Drift) []ledger.Message {
	if l.found == nil {
		return nil
	}
	return l.found(p, drift)
}

func (l *listener) HoldNotNeeded(_ context.Context, p *ledger.Product, leave []string) []ledger.Message {
	l.notNeeded = append(l.notNeeded, append([]string{p.ID}, leave...))
	return nil
}

func (l *listener) DriftSettled(_ context.Context, p *ledger.Product, drift []*ledger.Drift) []ledger.Message {
	if l.settled == nil {
		return nil
	}
	return l.settled(p, drift)
}

func (l *listener) CommandsDue(_ context.Context, _ *ledger.Product, commands ledger.Commands) ledger.Due {
	if l.due == nil {
		return ledger.Due{}
	}
	return l.due(commands)
}

func (l *listener) Stored(_ context.Context, s ledger.Stored) {
	if l.stored != nil {
		l.stored(s)
	}
}
