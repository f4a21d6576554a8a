package control

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// maxMatched is how many matching products one call handles: each takes a command and an entry of the audit trail, some
// milliseconds.
const maxMatched = 200

// matchingPage is a page of the products that a request selects by a filter.
type matchingPage struct {
	ids    []string
	filter ledger.ProductFilter
	answer *controlv1.MatchedProducts
}

// fail adds a product that could not be handled to the answer.
func (p *matchingPage) fail(id string, err error) {
	text := err.Error()
	if refused, ok := errors.AsType[*connect.Error](err); ok {
		text = refused.Message()
	}
	p.answer.Failures = append(p.answer.Failures, &controlv1.ProductFailure{ProductId: id, Error: text})
}

// matching returns a page of the products that match and have a trait. Before the first page it counts all of them.
func (c control) matching(ctx context.Context, m *controlv1.MatchingProducts,
	has ledger.Trait,
) (page matchingPage, err error) {
	if page.filter, err = productFilter(m.GetFilter()); err != nil {
		return page, err
	}
	switch isEmpty := reflect.ValueOf(page.filter).IsZero(); {
	case isEmpty && !m.GetAll():
		return page, invalid("matching: nothing is selected: set a filter, or all for every product")
	case !isEmpty && m.GetAll():
		return page, invalid("matching: a filter and all: only one of them can be given")
	}
	page.filter.Has, page.answer = has, &controlv1.MatchedProducts{}
	if m.GetAfter() == "" {
		if err := c.countMatching(ctx, m, &page); err != nil {
			return page, err
		}
	}
	ids, more, err := c.Ledger.ProductIDs(ctx, page.filter, m.GetAfter(), maxMatched)
	if err != nil {
		return page, unavailable(err)
	}
	page.ids, page.answer.Products = ids, uint32(len(ids))
	if more {
		page.answer.Next = ids[len(ids)-1]
	}
	return page, nil
}

// countMatching counts the products that match. It returns FailedPrecondition if there are more than the caller was
// shown.
func (c control) countMatching(ctx context.Context, m *controlv1.MatchingProducts, page *matchingPage) error {
	page.answer.CountedAt = timestamppb.New(c.Now())
	count, err := c.Ledger.CountProducts(ctx, page.filter)
	if err != nil {
		return unavailable(err)
	}
	page.answer.Total, page.answer.TotalIsMinimum = count.N, count.IsMinimum
	if limit := m.GetAtMost(); limit > 0 && count.N > limit {
		return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf(
			"%d products match now, and at most %d were expected: nothing was changed; look at the list again",
			count.N, limit))
	}
	return nil
}

// oneProduct checks that a request has either a product or a filter.
func oneProduct(id string, m *controlv1.MatchingProducts) error {
	switch {
	case id == "" && m == nil:
		return invalid("product_id: must not be empty")
	case id != "" && m != nil:
		return invalid("product_id and matching: only one of them can be given")
	}
	return nil
}
