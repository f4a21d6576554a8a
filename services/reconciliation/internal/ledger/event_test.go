package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/cloudevent"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// events publishes the events that are stored, and returns their kinds and data.
func (b *bench) events() (kinds []string, data []map[string]any) {
	b.t.Helper()
	require.NoError(b.t, b.PublishEvents(b.t.Context(), "test",
		func(_ context.Context, page []ledger.StoredEvent) (int, error) {
			for _, e := range page {
				var event struct {
					ID   string         `json:"id"`
					Data map[string]any `json:"data"`
				}
				require.NoError(b.t, json.Unmarshal(e.Body, &event))
				require.Equal(b.t, e.ID, event.ID)
				kinds, data = append(kinds, e.Kind), append(data, event.Data)
			}
			return len(page), nil
		}))
	return kinds, data
}

// offer observes a product with prices, some of them active.
func (b *bench) offer(active bool, applied uint64, prices map[string]bool) {
	b.t.Helper()
	b.sequence++
	o := &catalogv1.Observed{
		Account:   "default",
		ProductId: product,
		Version:   applied,
		Product:   &catalogv1.Product{Id: product, Name: "Mug", Description: "A", Active: &active},
	}
	for id, isActive := range prices {
		o.Prices = append(o.Prices, &catalogv1.ObservedPrice{
			StripeId: "price_" + id,
			Price:    &catalogv1.Price{Id: id, Currency: "eur", UnitAmount: "1400", Active: proto.Bool(isActive)},
		})
	}
	require.NoError(b.t, b.Apply(b.t.Context(), ledger.ObservedChange(o, at(b.sequence))))
}

func TestEvents_SaleOfAProduct(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.offer(true, 0, map[string]bool{"small": true})
	kinds, _ := b.events()
	require.Empty(t, kinds, "a product that only Stripe has")
	version := b.desireProduct(product, "A")
	kinds, data := b.events()
	require.Equal(t, []string{"product.live", "price.live"}, kinds, "the catalog took it over")
	require.Equal(t, map[string]any{
		"product_id": product, "stripe_product_id": product, "price_id": "small", "stripe_price_id": "price_small",
		"currency": "eur", "unit_amount": 1400.0, "unit_amount_decimal": "1400", "billing_scheme": "per_unit",
	}, data[1])
	b.offer(true, version, map[string]bool{"small": true})
	b.offer(true, version, map[string]bool{"small": false, "large": true})
	kinds, data = b.events()
	require.Equal(t, []string{"price.live", "price.archived"}, kinds[:2])
	require.Equal(t, "large", data[0]["price_id"])
	require.Equal(t, "small", data[1]["price_id"])
	b.offer(false, version, map[string]bool{"small": false})
	kinds, data = b.events()
	kinds = slices.DeleteFunc(kinds, func(k string) bool { return k == "drift.found" || k == "drift.settled" })
	require.Equal(t, []string{"price.archived", "product.archived"}, kinds)
	require.Equal(t, "large", data[0]["price_id"])
}

func TestEvents_Drift(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.syncBoth("A")
	b.events()
	b.observe("by hand", "")
	b.now = b.now.Add(time.Minute)
	b.observe("A", "")
	kinds, data := b.events()
	require.Equal(t, []string{"drift.found", "drift.settled"}, kinds)
	require.Equal(t, map[string]any{
		"product_id": product, "drift_id": data[1]["drift_id"], "kind": "field", "field": "description",
		"catalog": "A", "stripe": "by hand", "action": "repair", "state": "found", "since": noon.Format(time.RFC3339),
		"caused_by": "unknown",
	}, data[0])
	require.Equal(t, "repaired", data[1]["state"])
}

func TestEvents_HeldChange(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.syncBoth("A")
	first := b.desireProduct(product, "B")
	b.events()
	b.observeHold(product, "A", 1, heldBy(first, noon, "amount_change"))
	second := b.desireProduct(product, "C")
	b.observeHold(product, "A", 1, heldBy(second, noon, "amount_change"))
	approved := heldBy(second, noon, "amount_change")
	approved.Approvals, approved.Approved = []*catalogv1.Approval{{Actor: "ada"}}, true
	b.observeHold(product, "A", 1, approved)
	b.observeHold(product, "A", 1, approved)
	kinds, data := b.events()
	require.Equal(t, []string{"change.held", "change.released", "change.held", "change.released"}, kinds)
	require.Equal(t, "amount_change", data[0]["findings"].([]any)[0].(map[string]any)["rule"])
	require.Equal(t, cloudevent.Replaced, data[1]["outcome"])
	require.Equal(t, cloudevent.Version(second), data[2]["version"])
	require.Equal(t, cloudevent.Approved, data[3]["outcome"])
	require.Equal(t, []any{"ada"}, data[3]["approved_by"])
}

func TestEvents_DeadLetter(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.syncBoth("A")
	version := b.desireProduct(product, "B")
	b.events()
	for range 2 {
		require.NoError(t, b.Apply(t.Context(), deadLetter("push", version)))
	}
	kinds, data := b.events()
	require.Equal(t, []string{"change.dead"}, kinds)
	require.Equal(t, cloudevent.Version(version), data[0]["version"])
	b.desireProduct(product, "C")
	kinds, recovered := b.events()
	require.Equal(t, []string{"change.recovered"}, kinds)
	require.Equal(t, data[0]["letter_id"], recovered[0]["letter_id"])
}

// Events are published in order, by one process at a time, and again after a failure.
func TestPublishEvents_KeepsWhatIsNotPublished(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.syncBoth("A")
	b.observe("by hand", "")
	b.observe("A", "")
	var published []string
	refuse := errors.New("no responders")
	require.ErrorIs(t, b.PublishEvents(t.Context(), "one",
		func(_ context.Context, page []ledger.StoredEvent) (int, error) {
			published = append(published, page[0].Kind)
			return 1, refuse
		}), refuse)
	rest := func(_ context.Context, page []ledger.StoredEvent) (int, error) {
		for _, e := range page {
			published = append(published, e.Kind)
		}
		return len(page), nil
	}
	require.NoError(t, b.PublishEvents(t.Context(), "other", rest))
	require.Len(t, published, 1, "the first process has the lease")
	require.NoError(t, b.ReleaseEvents(t.Context(), "one"))
	require.NoError(t, b.PublishEvents(t.Context(), "other", rest))
	require.Equal(t, []string{"product.live", "drift.found", "drift.settled"}, published)

	b.observe("by hand", "")
	stored, err := b.OldestEvent(t.Context())
	require.NoError(t, err)
	require.Equal(t, b.now, stored.UTC())
	b.now = b.now.Add(time.Hour)
	n, err := b.DropEvents(t.Context(), time.Minute)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	stored, err = b.OldestEvent(t.Context())
	require.NoError(t, err)
	require.Zero(t, stored)
}
