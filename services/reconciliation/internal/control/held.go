package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/guard"
	"github.com/driftless-sync/driftless/services/internal/visible"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// selection is what a request to approve or reject selects.
type selection struct {
	products []string
	rule     string
	all      bool
	after    string
	matching *controlv1.MatchingProducts
	seen     *controlv1.SeenChanges
}

// hasChanged reports whether a product holds another change than the one that the person has seen.
func (s selection) hasChanged(p *ledger.Product) bool {
	version := p.Hold().GetVersion()
	if seen, ok := s.seen.GetVersions()[p.ID]; ok {
		return seen != version
	}
	return s.seen.GetUpTo() > 0 && version > s.seen.GetUpTo()
}

// isEmpty reports whether the request names neither products nor a rule nor a filter, and does not ask for all.
func (s selection) isEmpty() bool {
	return len(s.products) == 0 && s.rule == "" && !s.all && s.matching == nil
}

// check returns an error if the selection is ambiguous or names no rule of the guard.
func (s selection) check() error {
	named := 0
	for _, given := range []bool{len(s.products) > 0, s.rule != "", s.all, s.matching != nil} {
		if given {
			named++
		}
	}
	if named > 1 {
		return invalid("product_ids, rule, all and matching: only one of them can be given")
	}
	if s.matching != nil && s.after != "" {
		return invalid("after: matching has an after of its own")
	}
	if s.rule == "" {
		return nil
	}
	if _, err := guard.ParseRule(s.rule); err != nil {
		return invalid("rule: %w", err)
	}
	return nil
}

// held returns the held products that a request selects, at most maxNamed, and the id to continue after. It returns
// NotFound if a named product is not held, and FailedPrecondition if nothing is.
func (c control) held(ctx context.Context, s selection) (products []*ledger.Product, next string, err error) {
	named := distinct(s.products)
	products, more, err := c.Ledger.HeldProducts(ctx,
		ledger.HeldFilter{Products: named, Rule: s.rule, After: s.after}, maxNamed)
	if err != nil {
		return nil, "", unavailable(err)
	}
	if more {
		next = products[len(products)-1].ID
	}
	switch {
	case len(named) > 0 && s.after == "" && len(products) < len(named):
		return nil, "", c.notHeld(ctx, named, products)
	case len(products) > 0 || s.after != "" || len(named) > 0:
		return products, next, nil
	case s.rule != "":
		return nil, "", connect.NewError(connect.CodeFailedPrecondition,
			fmt.Errorf("the rule %s holds nothing: `driftless status` shows which rules do", s.rule))
	default:
		return nil, "", connect.NewError(connect.CodeFailedPrecondition,
			errors.New("the guard holds nothing: `driftless plan` shows what differs"))
	}
}

// heldMatching returns the held products of a page of the products that match. Those that are not held any more are
// left out.
func (c control) heldMatching(ctx context.Context,
	m *controlv1.MatchingProducts,
) ([]*ledger.Product, *controlv1.MatchedProducts, error) {
	page, err := c.matching(ctx, m, ledger.HasHold)
	if err != nil || len(page.ids) == 0 {
		return nil, page.answer, err
	}
	products, _, err := c.Ledger.HeldProducts(ctx, ledger.HeldFilter{Products: page.ids}, len(page.ids))
	if err != nil {
		return nil, nil, unavailable(err)
	}
	return products, page.answer, nil
}

// maxExplained is how many products an error explains.
const maxExplained = 10

// notHeld returns the error that says of each named product that is not held what it is instead.
func (c control) notHeld(ctx context.Context, named []string, held []*ledger.Product) error {
	var ids []string
	for _, id := range named {
		if !slices.ContainsFunc(held, func(p *ledger.Product) bool { return p.ID == id }) {
			ids = append(ids, id)
		}
	}
	known, err := c.Ledger.Products(ctx, ids)
	if err != nil {
		return unavailable(err)
	}
	var reasons []string
	for _, id := range ids[:min(len(ids), maxExplained)] {
		reasons = append(reasons, fmt.Sprintf("product %s is not held: %s", id, insteadOfHeld(id, known[id])))
	}
	if more := len(ids) - len(reasons); more > 0 {
		reasons = append(reasons, fmt.Sprintf("and %d more are not held", more))
	}
	return connect.NewError(connect.CodeNotFound, fmt.Errorf("%s. Nothing was changed", strings.Join(reasons, "; ")))
}

// insteadOfHeld says in what state a product is that is not held. p is nil if the ledger does not have it.
func insteadOfHeld(id string, p *ledger.Product) string {
	if p == nil {
		return "neither side has it (is the id right?)"
	}
	switch hold := p.Observed.GetHold(); {
	case p.State == ledger.Pending && hold.GetApproved():
		return "its change is approved, and push is making it"
	case p.State == ledger.Pending:
		return "push has not judged its latest change yet"
	case p.State == ledger.Drifted:
		return "it has drifted; see `driftless drift show " + visible.Argument(id) + "`"
	case p.State == ledger.Dead:
		return "its change was refused; see `driftless dead show " + visible.Argument(id) + "`"
	case p.State == ledger.Extra:
		return "only Stripe has it"
	case p.IsGone():
		return "it left the catalog"
	default:
		return "it is in sync"
	}
}
