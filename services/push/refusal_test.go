package push_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// dead waits for the dead letter of a version.
func (r *rig) dead(product string, version uint64) (message, field string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		letter := r.letter(product)
		return letter.GetVersion() == version && r.observed(product).GetClaim() == nil
	}, patience, 10*time.Millisecond)
	return r.letter(product).GetMessage(), r.letter(product).GetField()
}

// TestRefusal_SkipsOnlyTheFieldThatCannotBeCleared: the other fields are applied, and a price change is completed.
func TestRefusal_SkipsOnlyTheFieldThatCannotBeCleared(t *testing.T) {
	r := newStrictRig(t)
	r.push()
	p := mug("Mug", "500")
	p.StatementDescriptor, p.Description, p.Prices[0].Nickname = "MUG", "Blue", "List"
	p.Prices = append(p.Prices, &catalogv1.Price{Id: "mug-two", Currency: "usd", UnitAmount: "900", Nickname: "Other"})
	r.want(p, 1)
	r.applied("mug", 1)

	p = mug("Mug XL", "700")
	p.Prices = append(p.Prices, &catalogv1.Price{
		Id:         "mug-two",
		Currency:   "usd",
		UnitAmount: "900",
		Metadata:   map[string]string{"size": "L"},
	})
	r.want(p, 2)
	message, field := r.dead("mug", 2)
	require.Contains(t, []string{"statement_descriptor", "nickname"}, field)
	require.Contains(t, message, "everything else of the product was applied")

	held, err := r.stripe.Products.Get("mug", &stripe.ProductParams{Expand: []*string{stripe.String("default_price")}})
	require.NoError(t, err)
	require.Equal(t, "Mug XL", held.Name)
	require.Empty(t, held.Description, "what may be cleared is")
	require.Equal(t, "MUG", held.StatementDescriptor)
	require.EqualValues(t, 700, held.DefaultPrice.UnitAmount)
	amounts, _ := r.onSale()
	require.Equal(t, map[string]int64{"mug-one": 700, "mug-two": 900}, amounts, "the old amount is off sale")
	for _, price := range r.observed("mug").GetPrices() {
		if price.GetPrice().GetId() == "mug-two" {
			require.Equal(t, "L", price.GetPrice().GetMetadata()["size"])
			require.Equal(t, "Other", price.GetPrice().GetNickname())
		}
	}

	// With a value again, the dead letter is closed.
	p.StatementDescriptor, p.Prices[1].Nickname = "MUGS", "Third"
	r.want(p, 3)
	r.applied("mug", 3)
}

// TestRefusal_CompletesThePriceChange: the parameters that decide what is on sale are tried without the refused field.
func TestRefusal_CompletesThePriceChange(t *testing.T) {
	for name, edit := range map[string]func(*catalogv1.Product){
		"of the product": func(p *catalogv1.Product) { p.TaxCode = "no such code" },
		"of another price, which cannot be made": func(p *catalogv1.Product) {
			p.Prices = append(p.Prices, &catalogv1.Price{Id: "other", Currency: "zzz", UnitAmount: "5"})
		},
		"of another price, which cannot take the place of its own": func(p *catalogv1.Product) {
			p.Prices = append(p.Prices, &catalogv1.Price{Id: "mug-two", Currency: "zzz", UnitAmount: "900"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.push()
			p := mug("Mug", "500")
			p.Prices = append(p.Prices, &catalogv1.Price{Id: "mug-two", Currency: "usd", UnitAmount: "900"})
			r.want(p, 1)
			r.applied("mug", 1)
			p = mug("Mug", "700")
			edit(p)
			if len(p.GetPrices()) == 1 {
				p.Prices = append(p.Prices, &catalogv1.Price{Id: "mug-two", Currency: "usd", UnitAmount: "900"})
			}
			r.want(p, 2)
			message, _ := r.dead("mug", 2)
			require.Contains(t, message, "everything else of the product was applied")
			amounts, byDefault := r.onSale()
			require.EqualValues(t, 700, amounts["mug-one"])
			require.Equal(t, "mug-one", byDefault)
			if strings.Contains(name, "its own") {
				require.EqualValues(t, 900, amounts["mug-two"], "what was to be replaced stays on sale")
			}
			require.Less(t, r.observed("mug").GetVersion(), uint64(2), "the version is not applied as a whole")
		})
	}
}

// TestRefusal_ReplacesAnAmountWhoseDefaultCannotBeCleared: the default moves to the new price, so that the old amount
// is archived.
func TestRefusal_ReplacesAnAmountWhoseDefaultCannotBeCleared(t *testing.T) {
	r := newStrictRig(t)
	r.push()
	r.want(mug("Mug", "500"), 1)
	r.applied("mug", 1)
	p := mug("Mug", "700")
	p.DefaultPrice = ""
	r.want(p, 2)
	_, field := r.dead("mug", 2)
	require.Equal(t, "default_price", field)
	amounts, byDefault := r.onSale()
	require.Equal(t, map[string]int64{"mug-one": 700}, amounts)
	require.Equal(t, "mug-one", byDefault)
}

// TestRefusal_DeadLettersAReservedID: no retry helps where Stripe reserves the id of a deleted product.
func TestRefusal_DeadLettersAReservedID(t *testing.T) {
	r := newStrictRig(t)
	r.push()
	p := &catalogv1.Product{Id: "mug", Name: "Mug"}
	r.want(p, 1)
	r.applied("mug", 1)
	_, err := r.stripe.Products.Del("mug", nil)
	require.NoError(t, err)
	r.commandSync("mug")
	message, field := r.dead("mug", 1)
	require.Equal(t, "id", field)
	require.Contains(t, message, "give the product another id in the catalog")
	require.Equal(t, topology.ReasonRefused, r.letter("mug").GetReason())
	require.Equal(t, "resource_already_exists", r.letter("mug").GetStripeCode())
	calls := r.calls()["POST /v1/products"]
	require.LessOrEqual(t, calls, 4)

	// A product with another id is created.
	other := &catalogv1.Product{Id: "mug-2", Name: "Mug"}
	r.want(other, 2)
	r.applied("mug-2", 2)
	require.Equal(t, calls+1, r.calls()["POST /v1/products"], "nothing is tried again by itself")
}
