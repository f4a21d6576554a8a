package pull

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// FuzzEvent checks that every event is either refused or gives a state that can be stored and compared.
func FuzzEvent(f *testing.F) {
	for _, object := range []string{
		`{"id":"mug","object":"product","name":"Mug","active":true,"metadata":{"a":"b"},"updated":5,"default_price":"price_1","images":["x"],"tax_code":{"id":"t"}}`,
		`{"id":"price_1","object":"price","product":"mug","currency":"eur","unit_amount":1400,"unit_amount_decimal":"1400","metadata":{"driftless_price":"mug-eur"},"active":true}`,
		`{"id":"price_1","object":"price","product":{"id":"mug"},"currency":"eur","billing_scheme":"tiered","tiers":[{"up_to":5,"unit_amount":1e3},{"flat_amount_decimal":"0.5"}],"recurring":{"interval":"month","interval_count":1}}`,
		`{"id":"a\u0000b","object":"product","name":"\ud800","metadata":{"driftless_absent":"x","":"y"},"package_dimensions":{"height":1e999}}`,
		`{"id":"price_1","object":"price","product":null,"custom_unit_amount":{"minimum":-1,"maximum":99999999999999999999},"currency_options":{"usd":{"unit_amount":1}}}`,
	} {
		for _, kind := range []string{"product.updated", "price.updated", "price.deleted", "product.deleted"} {
			f.Add([]byte(`{"id":"evt_1","object":"event","type":"` + kind +
				`","created":100,"livemode":false,"request":{"id":null,"idempotency_key":"k"},` +
				`"data":{"object":` + object + `,"previous_attributes":{"name":"x","metadata":{"a":null}}}}`))
		}
	}
	f.Add([]byte(
		`{"id":"evt_2","object":"v2.core.event","type":"v1.price.updated","created":"2026-11-26T10:00:00Z","related_object":{"id":"price_1","type":"price"}}`))
	f.Add([]byte(`{"id":"evt_` + strings.Repeat("x", 300) + `","type":"product.updated"}`))
	policy := &catalog.Policy{}
	f.Fuzz(func(t *testing.T, raw []byte) {
		event, ok, err := stripeapi.DecodeEvent(raw)
		if err != nil || !ok {
			return
		}
		if len(event.ID) > 255 {
			t.Fatalf("an id of %d bytes", len(event.ID))
		}
		if event.Thin && event.ProductID == "" {
			if event, err = event.WithProduct("mug"); err != nil {
				return
			}
		}
		stored := &meshv1.StripeChange{
			ProductId: event.ProductID, EventId: event.ID, Type: event.Type, ObjectId: event.ObjectID,
			IdempotencyKey: event.IdempotencyKey,
			CreatedAt:      &timestamppb.Timestamp{Seconds: event.Created}, Event: event.Raw,
		}
		encode(t, stored)
		again, ok, err := stripeapi.DecodeEvent(stored.GetEvent())
		if err != nil || !ok || again.ProductID != event.ProductID {
			t.Fatalf("decoded once and not again: %v, %q and %q", err, event.ProductID, again.ProductID)
		}
		n, err := decodeUpdate(event)
		if err != nil {
			return
		}
		observed := &catalogv1.Observed{
			ProductId: event.ProductID,
			Product:   &catalogv1.Product{Id: event.ProductID, Name: "Mug"},
			Prices: []*catalogv1.ObservedPrice{{
				StripeId: "price_1",
				Price:    &catalogv1.Price{Id: "mug-eur", Currency: "eur", UnitAmount: "1"},
			}},
		}
		for range 2 {
			n.apply(observed, false)
			catalog.RememberEvent(observed, event.ID)
		}
		encode(t, observed)
		desired := &catalogv1.ProductChange{
			ProductId: event.ProductID, Version: 1,
			Operation: catalogv1.Operation_OPERATION_UPSERT, Product: &catalogv1.Product{
				Id: event.ProductID, Name: "Cup", DefaultPrice: "cup-eur",
				Prices: []*catalogv1.Price{{Id: "cup-eur", Currency: "eur", UnitAmount: "5"}},
			},
		}
		catalog.Diff(desired, observed)
		catalog.Compare(desired, observed)
		catalog.Outline(desired, observed)
		catalog.Resolve(policy, desired, observed, catalog.Exceptions{})
		if product := catalog.Import(observed); product != nil {
			catalog.Validate(product)
			for _, price := range product.GetPrices() {
				_ = catalog.FormatPrice(price)
			}
		}
	})
}

func encode(t *testing.T, m proto.Message) {
	t.Helper()
	if _, err := proto.Marshal(m); err != nil {
		t.Fatalf("cannot be stored: %v", err)
	}
}
