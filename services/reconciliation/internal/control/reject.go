package control

import (
	"context"
	"fmt"
	"strings"

	"connectrpc.com/connect"
	"github.com/nats-io/nuid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/command"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/describe"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// Reject records that held changes shall not be made. Where the catalog can take all of Stripe's values, it commands
// ingestion to write them back. A part of them would leave a state that nobody wanted.
func (c control) Reject(ctx context.Context,
	req *connect.Request[controlv1.RejectRequest],
) (*connect.Response[controlv1.RejectResponse], error) {
	s := selection{
		products: req.Msg.GetProductIds(),
		rule:     req.Msg.GetRule(),
		all:      req.Msg.GetAll(),
		after:    req.Msg.GetAfter(),
		matching: req.Msg.GetMatching(),
		seen:     req.Msg.GetSeen(),
	}
	asked, err := deciding(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	if s.isEmpty() {
		return nil, invalid("nothing is selected: set product_ids, rule, matching or all")
	}
	out := &controlv1.RejectResponse{Mapped: c.Mapped}
	var products []*ledger.Product
	if s.matching != nil {
		products, out.Matched, err = c.heldMatching(ctx, s.matching)
	} else {
		products, out.Next, err = c.held(ctx, s)
	}
	if err != nil {
		return nil, err
	}
	out.Truncated = out.GetNext() != ""
	for _, p := range products {
		if s.hasChanged(p) {
			out.Changed = append(out.Changed, p.ID)
			continue
		}
		rejection, err := c.rejectOne(ctx, p, asked)
		if err != nil {
			return nil, unavailable(err)
		}
		out.Rejections = append(out.Rejections, rejection)
	}
	c.Logger.WarnContext(ctx, "held changes rejected", "actor", asked.actor, "reason", asked.reason,
		"products", len(out.GetRejections()))
	return connect.NewResponse(out), nil
}

// rejectOne commands the write-back of one product if that is possible, and records the rejection.
func (c control) rejectOne(ctx context.Context, p *ledger.Product, asked by) (*controlv1.Rejection, error) {
	out := &controlv1.Rejection{ProductId: p.ID}
	differences := p.Differences()
	for _, d := range differences {
		difference := describe.Difference(&ledger.Drift{Difference: d})
		describe.AddAmounts(difference, p)
		out.Differences = append(out.Differences, difference)
	}
	product, fields, blocker := c.undone(p, differences)
	if out.Blocker = blocker; blocker == "" {
		about := command.About{ID: nuid.Next(), Issuer: asked.actor, Reason: asked.reason}
		if err := c.Commands.Publish(ctx, c.Commands.WriteBack(about, &meshv1.WriteBack{
			ProductId: p.ID,
			Version:   p.Desired.GetVersion(),
			Product:   product,
			Fields:    fields,
		}), p.ID); err != nil {
			return nil, err
		}
		out.WrittenBack = true
	}
	detail := "the change shall not be made"
	if out.GetWrittenBack() {
		detail = "the catalog is to get Stripe's values back"
	}
	return out, c.record(ctx, asked, ledger.Entry{
		EventID: "REJECTION:" + nuid.Next(),
		Product: p.ID,
		Kind:    "rejected",
		Version: p.Hold().GetVersion(),
		Detail:  detail,
	}, &controlv1.HistoryEntry{Differences: out.GetDifferences()})
}

// undone returns the product as the catalog would have it with Stripe's values in all fields that differ, and these
// fields. Otherwise it returns why the catalog cannot take them.
func (c control) undone(p *ledger.Product, differences []catalog.Difference) (
	product *catalogv1.Product, fields []string, blocker string,
) {
	if p.Desired.GetProduct() == nil {
		return nil, nil, "the catalog no longer has the product: insert it again"
	}
	for _, d := range differences {
		fields = append(fields, d.Field)
	}
	product, taken := c.applyUndo(p, fields)
	if left := without(fields, taken); len(left) > 0 {
		return nil, nil, fmt.Sprintf("%s cannot be written back: change the catalog", strings.Join(left, ", "))
	}
	for _, field := range taken {
		if err := c.checkWriteBack(fieldOfAnyPrice(p, field)); err != nil {
			return nil, nil, err.Error()
		}
	}
	if violations := catalog.Validate(product); len(violations) > 0 {
		return nil, nil, fmt.Sprintf("with Stripe's values the product would be invalid in the catalog: %s",
			violations[0])
	}
	return product, taken, ""
}

// checkWriteBack returns why the operator's tables cannot take a field. They have one of the forms of an amount.
func (c control) checkWriteBack(field string) error {
	err := c.CanWriteBack(field)
	if other := otherForm[field]; err != nil && other != "" && c.CanWriteBack(other) == nil {
		return nil
	}
	return err
}

var otherForm = map[string]string{
	"prices.unit_amount":         "prices.unit_amount_decimal",
	"prices.unit_amount_decimal": "prices.unit_amount",
}

// applyUndo returns the product with Stripe's values, and the fields that it could take. The statements of a mapping
// may write amounts. For the built-in tables the command line shows what undoes them.
func (c control) applyUndo(p *ledger.Product, fields []string) (product *catalogv1.Product, taken []string) {
	if c.Mapped {
		return catalog.ApplyUndo(p.Desired, p.Observed, fields)
	}
	return catalog.ApplyWriteBack(p.Desired, p.Observed, fields)
}

// without returns the fields that are not among the taken ones. A product as a whole has no field.
func without(fields, taken []string) (left []string) {
	has := map[string]bool{}
	for _, f := range taken {
		has[f] = true
	}
	for _, f := range fields {
		switch {
		case f == "":
			left = append(left, "the product itself")
		case !has[f]:
			left = append(left, f)
		}
	}
	return left
}

// fieldOfAnyPrice returns the name of a field as the policy has it: "prices.mug-eur.nickname" is "prices.nickname".
func fieldOfAnyPrice(p *ledger.Product, field string) string {
	for _, price := range p.Desired.GetProduct().GetPrices() {
		if name, ok := strings.CutPrefix(field, "prices."+price.GetId()+"."); ok {
			return "prices." + name
		}
	}
	return field
}
