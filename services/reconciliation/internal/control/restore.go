package control

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/forecast"
	"github.com/driftless-sync/driftless/services/internal/guard"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// restored is what a rollback writes.
type restored struct {
	product *catalogv1.Product
	// fields are those of the write-back command.
	fields []string
	// archived are prices that did not exist in the earlier state.
	archived []string
	// kept are fields that the mapping did not provide in the earlier state.
	kept []string
}

// restore returns the product that the catalog gets to have an earlier state again. A field that the mapping did not
// provide then keeps its present value, because its value then is not known. Write-back deletes no rows, so a price
// that did not exist then is archived.
func restore(present, earlier *catalogv1.ProductChange) restored {
	w := restored{product: proto.CloneOf(earlier.GetProduct())}
	for _, name := range earlier.GetUnmanagedFields() {
		if !slices.Contains(present.GetUnmanagedFields(), name) && keepField(w.product, present.GetProduct(), name) {
			w.kept = append(w.kept, name)
		}
	}
	for _, price := range present.GetProduct().GetPrices() {
		if slices.ContainsFunc(earlier.GetProduct().GetPrices(), hasID(price.GetId())) {
			continue
		}
		price = proto.CloneOf(price)
		if price.Active == nil || price.GetActive() {
			price.Active = new(false)
			w.archived = append(w.archived, price.GetId())
		}
		w.product.Prices = append(w.product.Prices, price)
	}
	w.fields = changedFields(present.GetProduct(), w.product, w.archived)
	return w
}

func hasID(id string) func(*catalogv1.Price) bool {
	return func(p *catalogv1.Price) bool { return p.GetId() == id }
}

// changedFields returns the fields of a write-back that make one product another. A price counts as a whole, unless it
// is only archived.
func changedFields(present, wanted *catalogv1.Product, archived []string) (fields []string) {
	for _, change := range catalog.Changes(present, wanted) {
		field := change.Field
		if strings.HasPrefix(field, "prices.") {
			field = priceField(wanted, field, archived)
		}
		if !slices.Contains(fields, field) {
			fields = append(fields, field)
		}
	}
	return fields
}

func priceField(wanted *catalogv1.Product, field string, archived []string) (name string) {
	longest := ""
	for _, p := range wanted.GetPrices() {
		whole := "prices." + p.GetId()
		if len(whole) <= len(longest) || field != whole && !strings.HasPrefix(field, whole+".") {
			continue
		}
		longest, name = whole, whole
		if slices.Contains(archived, p.GetId()) {
			name += ".active"
		}
	}
	return name
}

// keepField gives a product the present value of a field, which is named as in unmanaged_fields. It reports whether
// there is a value.
func keepField(product, present *catalogv1.Product, name string) (kept bool) {
	ofPrice, isPrice := strings.CutPrefix(name, "prices.")
	if !isPrice {
		return copyValue(product.ProtoReflect(), present.ProtoReflect(), name)
	}
	for _, price := range product.GetPrices() {
		if i := slices.IndexFunc(present.GetPrices(), hasID(price.GetId())); i >= 0 {
			kept = copyValue(price.ProtoReflect(), present.GetPrices()[i].ProtoReflect(), ofPrice) || kept
		}
	}
	return kept
}

func copyValue(to, from protoreflect.Message, name string) bool {
	field := to.Descriptor().Fields().ByName(protoreflect.Name(name))
	if field == nil || !from.IsValid() || !from.Has(field) {
		return false
	}
	to.Set(field, proto.Clone(from.Interface()).ProtoReflect().Get(field))
	return true
}

// forecastRollback returns what push would do about a product, and what the guard would hold.
func (c control) forecastRollback(ctx context.Context, p *ledger.Product, product *catalogv1.Product,
) (*controlv1.ProductPlan, error) {
	record := &meshv1.Guard{}
	if _, err := c.Stores.Guard(c.Account).GetAt(ctx, record); err != nil {
		return nil, err
	}
	creations, err := c.Stores.CreationsHeld(c.Account).GetString(ctx)
	if err != nil {
		return nil, err
	}
	now := c.Now()
	f := &forecast.Forecaster{
		Policy:        c.Policy,
		Changed:       c.Policy,
		Guard:         c.Guard,
		HoldCreations: creations != "",
		Record:        record,
		Totals:        func() (*guard.Totals, error) { return c.guardTotals(ctx, guard.NewTotals(record, now)) },
		Now:           now,
	}
	after := proto.CloneOf(p.Desired)
	after.Operation, after.Product, after.Violations = catalogv1.Operation_OPERATION_UPSERT, product, nil
	out, ok, err := f.Forecast(forecast.Change{
		ProductID: p.ID,
		Before:    p.Desired,
		After:     after,
		Differs:   true,
		Known: &controlv1.ProductDetail{
			ProductId: p.ID,
			State:     states[p.State],
			Desired:   p.Desired,
			Observed:  p.Observed,
		},
	})
	if err != nil || !ok {
		return &controlv1.ProductPlan{ProductId: p.ID, State: states[p.State]}, err
	}
	return out.ProductPlan, nil
}

// guardTotals counts what is active in Stripe, page by page.
func (c control) guardTotals(ctx context.Context, totals *guard.Totals) (*guard.Totals, error) {
	for after := ""; ; {
		next, err := c.Ledger.List(ctx, ledger.ListFilter{After: after}, listPage, func(p *ledger.Product) {
			if p.Observed != nil {
				totals.Add(p.Observed)
			}
		})
		if err != nil {
			return nil, fmt.Errorf("count the products and prices in Stripe: %w", err)
		}
		if after = next; after == "" {
			return totals, nil
		}
	}
}
