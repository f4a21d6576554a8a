package control

import (
	"context"
	"slices"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// decision is what an operator decides about drift, and its entry in the audit trail.
type decision struct {
	ledger.Decision

	kind, detail string
	fields       []string
	check        func(*ledger.Product, *ledger.Drift) error
}

// decideOneOrMatching decides open drift of a product, or of the products that match.
func (c control) decideOneOrMatching(ctx context.Context, asked by, product string, m *controlv1.MatchingProducts,
	d decision,
) (decided []*controlv1.Drift, answer *controlv1.MatchedProducts, err error) {
	if err := oneProduct(product, m); err != nil {
		return nil, nil, err
	}
	var drifts []*ledger.Drift
	if m != nil {
		drifts, answer, err = c.decideMatching(ctx, asked, m, d)
	} else {
		drifts, err = c.decide(ctx, asked, product, d.fields, d.kind, d.detail, d.Decision, d.check)
	}
	return driftMessages(drifts, nil), answer, err
}

// decideMatching decides open drift of the products that match.
func (c control) decideMatching(ctx context.Context, asked by, m *controlv1.MatchingProducts,
	d decision,
) (decided []*ledger.Drift, answer *controlv1.MatchedProducts, err error) {
	page, err := c.matching(ctx, m, ledger.HasDrift)
	if err != nil || len(page.ids) == 0 {
		return nil, page.answer, err
	}
	fields, err := c.matchingFields(ctx, page, d.fields)
	if err != nil {
		return nil, nil, unavailable(err)
	}
	for _, id := range page.ids {
		if len(fields[id]) == 0 {
			continue
		}
		drift, err := c.decide(ctx, asked, id, fields[id], d.kind, d.detail, d.Decision, d.check)
		switch connect.CodeOf(err) {
		case connect.CodeNotFound, connect.CodeFailedPrecondition:
			page.fail(id, err)
			continue
		default:
			if err != nil {
				return nil, nil, err
			}
		}
		decided = append(decided, drift...)
	}
	return decided, page.answer, nil
}

// matchingFields returns the fields of open drift that the filter's kinds and causes select, by product, as requests
// name them. If fields are named, it returns only those.
func (c control) matchingFields(ctx context.Context, page matchingPage, named []string) (map[string][]string, error) {
	of := ledger.DriftFilter{
		Products: page.ids,
		Kinds:    page.filter.DriftKinds,
		States:   []string{string(ledger.Found), string(ledger.Repairing), string(ledger.Waiting)},
	}
	fields := map[string][]string{}
	for {
		drifts, more, err := c.Ledger.Drifts(ctx, of, maxNamed)
		if err != nil {
			return nil, err
		}
		for _, d := range drifts {
			of.After = d.Product
			field := d.Field
			if field == "" {
				field = wholeProduct
			}
			if len(page.filter.Causes) > 0 && !slices.Contains(page.filter.Causes, d.CausedBy) ||
				len(named) > 0 && !slices.Contains(named, field) {
				continue
			}
			fields[d.Product] = append(fields[d.Product], field)
		}
		if !more {
			return fields, nil
		}
	}
}
