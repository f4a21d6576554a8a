package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"pgregory.net/rapid"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// The number of products of a history, of products that are in the catalog at first, and of events.
const (
	historyProducts = 5
	historyEvents   = 40
)

// history is a random sequence of events.
type history struct {
	faults []stripesim.Fault
	events []historyEvent
}

// historyEvent is one event, mostly about a product.
type historyEvent struct {
	what    string
	product int
	// by is who makes the edit in Stripe: a key, a hand in the dashboard, or a silent one that makes no Stripe event.
	by string
	// field and value are those of an edit. number is unique in the history.
	field, value string
	number       int
	service      string
	// moment lets the mesh do something first.
	moment bool
}

func (e historyEvent) String() string {
	return fmt.Sprintf("%s %d %s %s %s %s", e.what, e.product, e.by, e.field, e.value, e.service)
}

// histories generates histories from a seed.
var histories = rapid.Custom(func(t *rapid.T) history {
	var out history
	// Webhook faults strike some of the events.
	for _, kind := range []stripesim.FaultKind{
		stripesim.FaultWebhookLost, stripesim.FaultWebhookDelayed,
		stripesim.FaultWebhookDuplicated, stripesim.FaultWebhookReordered,
	} {
		if share := rapid.SampledFrom([]float64{0, 0.1, 0.4}).Draw(t, string(kind)); share > 0 {
			out.faults = append(out.faults, stripesim.Fault{
				Kind: kind, Probability: share, Seed: rapid.Uint64().Draw(t, "seed"),
				Delay: time.Duration(rapid.IntRange(50, 1500).Draw(t, "delay")) * time.Millisecond,
			})
		}
	}
	for i := range historyProducts - 1 {
		out.events = append(out.events, historyEvent{what: "insert", product: i, number: i})
	}
	out.events = append(out.events, historyEvent{what: "settle"})
	for n := range historyEvents {
		e := historyEvent{
			number: historyProducts + n, product: rapid.IntRange(0, historyProducts-1).Draw(t, "product"),
			what: rapid.SampledFrom(weighted).Draw(t, "what"),
			by:   rapid.SampledFrom([]string{"key", "hand", "hand", "silent"}).Draw(t, "by"),
		}
		e.field = rapid.SampledFrom([]string{"description", "name", "metadata.sku", "nickname"}).Draw(t, "field")
		e.value = rapid.SampledFrom([]string{"", "A", "B", fmt.Sprintf("V%d", e.number)}).Draw(t, "value")
		if e.value == "" && e.field == "name" {
			e.value = "A"
		}
		if e.what == "noticed edit" {
			e.value = fmt.Sprintf("V%d", e.number)
			if e.by == "silent" {
				e.by = "hand"
			}
		}
		e.moment = rapid.Bool().Draw(t, "moment")
		if e.what == "restart" || e.what == "kill" {
			e.service = rapid.SampledFrom(killable).Draw(t, "service")
		}
		out.events = append(out.events, e)
	}
	return out
})

// weighted are the possible events, repeated by how likely they are.
var weighted = []string{
	"edit", "edit", "edit", "edit", "insert", "remove", "amount", "amount", "price", "default", "archive",
	"their edit", "their edit", "their edit", "their edit", "their edit", "their archive", "their archive of a price",
	"their default",
	"their deletion", "their deletion of a price", "their price", "their product",
	"noticed edit", "noticed edit", "settle", "scan", "restart", "kill", "kill",
}

// do makes the event happen. It returns the error of an edit that was refused.
func (e historyEvent) do(h *historyRig) error {
	if e.moment {
		h.moment()
	}
	id := fmt.Sprintf("%s-p%d", h.name, e.product)
	one, club := id+"-one", id+"-club"
	switch e.what {
	case "insert":
		h.exec(`WITH p AS (INSERT INTO driftless.products (id, name, description, metadata, default_price) VALUES ($1, 'A', 'A', '{"sku": "A"}', $2) ON CONFLICT DO NOTHING RETURNING id)
			INSERT INTO driftless.prices (id, product, currency, unit_amount, nickname) SELECT x.price, p.id, 'eur', x.amount, 'A' FROM p, (VALUES ($2, 1000), ($3, 900)) x (price, amount)`, id, one, club)
	case "remove":
		h.exec(`DELETE FROM driftless.products WHERE id = $1`, id)
	case "edit":
		switch e.field {
		case "metadata.sku":
			h.exec(`UPDATE driftless.products SET metadata = jsonb_strip_nulls(jsonb_set(coalesce(metadata, '{}'), '{sku}', to_jsonb(nullif($2, '')))) WHERE id = $1 AND $2 <> ''`, id, e.value)
			h.exec(`UPDATE driftless.products SET metadata = metadata - 'sku' WHERE id = $1 AND $2 = ''`, id, e.value)
		case "nickname":
			h.exec(`UPDATE driftless.prices SET nickname = nullif($2, '') WHERE id = $1`, one, e.value)
		default:
			h.exec(`UPDATE driftless.products SET `+e.field+` = nullif($2, '') WHERE id = $1`, id, e.value)
		}
	case "amount":
		h.exec(`UPDATE driftless.prices SET unit_amount = $2 WHERE id = $1`, one, 1000+100*(e.number%3))
	case "price":
		switch e.number % 3 {
		case 0:
			h.exec(`WITH gone AS (DELETE FROM driftless.prices WHERE id = $2) UPDATE driftless.products SET default_price = $3 WHERE id = $1`, id, club, one)
		case 1:
			h.exec(`WITH a AS (UPDATE driftless.prices SET active = false WHERE id = $2) UPDATE driftless.products SET default_price = $3 WHERE id = $1`, id, club, one)
		default:
			h.exec(`INSERT INTO driftless.prices (id, product, currency, unit_amount, nickname) SELECT $2, id, 'eur', 900, 'A' FROM driftless.products WHERE id = $1 ON CONFLICT (id) DO UPDATE SET active = true`, id, club)
		}
	case "default":
		h.exec(`UPDATE driftless.products p SET default_price = c.id FROM driftless.prices c WHERE p.id = $1 AND c.product = p.id AND c.active AND c.id <> p.default_price`, id)
	case "archive":
		h.exec(`UPDATE driftless.products SET active = NOT active WHERE id = $1`, id)
	case "settle":
		h.waitSettled()
	case "scan":
		_, err := h.control.StartScan(h.t.Context(), connect.NewRequest(&controlv1.StartScanRequest{}))
		return err
	case "restart":
		h.stop(e.service)
		h.start(e.service)
	case "kill":
		h.kill(e.service)
		h.start(e.service)
	case "noticed edit":
		return e.editIdleProduct(h, id)
	default:
		return e.editByOthers(h, id)
	}
	return nil
}

// moment gives the mesh time to do something, if it has anything to do.
func (h *historyRig) moment() {
	h.t.Helper()
	done := func() uint64 {
		n, err := h.mesh.LastSequence(h.t.Context(), topology.StreamSync)
		require.NoError(h.t, err)
		return n
	}
	before := done()
	ctx, cancel := context.WithTimeout(h.t.Context(), 200*time.Millisecond)
	defer cancel()
	for done() == before {
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// editByOthers makes an edit of others in Stripe.
func (e historyEvent) editByOthers(h *historyRig, id string) error {
	h.silent = h.silent || e.by == "silent"
	switch e.what {
	case "their edit":
		_, _, err := e.edit(h, id)
		return err
	case "their archive":
		p, err := h.stripe.Products.Get(id, nil)
		if err != nil {
			return err
		}
		return e.editProduct(h, id, url.Values{"active": {fmt.Sprint(!p.Active)}})
	case "their archive of a price":
		p, err := h.held(id, "club")
		if err != nil {
			return err
		}
		return e.editPrice(h, p.ID, url.Values{"active": {fmt.Sprint(!p.Active)}})
	case "their default":
		p, err := h.held(id, []string{"one", "club"}[e.number%2])
		if err != nil {
			return err
		}
		return e.editProduct(h, id, url.Values{"default_price": {p.ID}})
	case "their deletion":
		return h.dashboardOf(e.by).DeleteProduct(h.t.Context(), id, true)
	case "their deletion of a price":
		p, err := h.held(id, "club")
		if err != nil {
			return err
		}
		return h.dashboardOf(e.by).DeletePrice(h.t.Context(), p.ID)
	case "their price":
		// A price without a mark is left alone. One with the mark of another price is an extra.
		form := url.Values{"product": {id}, "currency": {"eur"}, "unit_amount": {"900"}}
		if e.number%2 == 0 {
			form.Set("metadata[driftless_price]", id+"-club")
		}
		_, err := h.dashboardOf(e.by).CreatePrice(h.t.Context(), form, false)
		return err
	case "their product":
		stray := fmt.Sprintf("%s-stray%d", h.name, e.number)
		_, err := h.dashboardOf(e.by).CreateProduct(h.t.Context(), url.Values{
			"id": {stray}, "name": {"Stray"}, "default_price_data[currency]": {"eur"},
			"default_price_data[unit_amount]": {"700"},
		})
		h.strays[stray] = err == nil
		return err
	default:
		panic(e.what)
	}
}

// dashboardOf returns the dashboard, or one that makes no events.
func (h *historyRig) dashboardOf(by string) stripesim.Admin {
	admin := h.admin
	admin.Silent = by == "silent"
	return admin
}

func (e historyEvent) editProduct(h *historyRig, id string, form url.Values) error {
	if e.by != "key" {
		return h.dashboardOf(e.by).EditProduct(h.t.Context(), id, form)
	}
	params := &stripe.ProductParams{}
	for name := range form {
		params.AddExtra(name, form.Get(name))
	}
	_, err := h.stripe.Products.Update(id, params)
	return err
}

func (e historyEvent) editPrice(h *historyRig, stripeID string, form url.Values) error {
	if e.by != "key" {
		return h.dashboardOf(e.by).EditPrice(h.t.Context(), stripeID, form)
	}
	params := &stripe.PriceParams{}
	for name := range form {
		params.AddExtra(name, form.Get(name))
	}
	_, err := h.stripe.Prices.Update(stripeID, params)
	return err
}

var errNoPrice = errors.New("Stripe holds no such price")

// held returns the price that represents a catalog price, an active one if there is one.
func (h *historyRig) held(id, name string) (*stripe.Price, error) {
	for _, active := range []bool{true, false} {
		list := h.stripe.Prices.List(&stripe.PriceListParams{Product: stripe.String(id), Active: stripe.Bool(active)})
		for list.Next() {
			if list.Price().Metadata["driftless_price"] == id+"-"+name {
				return list.Price(), nil
			}
		}
		if list.Err() != nil {
			return nil, list.Err()
		}
	}
	return nil, errNoPrice
}

// edit changes a field in Stripe. It returns the field as drift names it, and its value before.
func (e historyEvent) edit(h *historyRig, id string) (field, before string, err error) {
	if e.field == "nickname" {
		p, err := h.held(id, "one")
		if err != nil {
			return "", "", err
		}
		return "prices." + id + "-one.nickname", p.Nickname, e.editPrice(h, p.ID, url.Values{"nickname": {e.value}})
	}
	p, err := h.stripe.Products.Get(id, nil)
	if err != nil {
		return "", "", err
	}
	before = map[string]string{"description": p.Description, "name": p.Name, "metadata.sku": p.Metadata["sku"]}[e.field]
	parameter := e.field
	if parameter == "metadata.sku" {
		parameter, h.theirKeys[id] = "metadata[sku]", true
	}
	return e.field, before, e.editProduct(h, id, url.Values{parameter: {e.value}})
}

// editIdleProduct edits an idle product in Stripe, and waits until the ledger has recorded the edit.
func (e historyEvent) editIdleProduct(h *historyRig, id string) error {
	h.waitSettled()
	var inCatalog bool
	require.NoError(h.t,
		h.pool.QueryRow(h.t.Context(),
			`SELECT EXISTS (SELECT FROM driftless.products WHERE id = $1 AND ($2 <> 'metadata.sku' OR $3 OR metadata ? 'sku'))`,
			id, e.field, h.keys).Scan(&inCatalog))
	if !inCatalog {
		return errors.New("the catalog does not have it")
	}
	field, _, err := e.edit(h, id)
	if err != nil {
		return err
	}
	h.await(fmt.Sprintf("%s of %s is noticed to be %q", field, id, e.value), func(ctx context.Context) string {
		resp, err := h.control.ListDrift(ctx,
			connect.NewRequest(&controlv1.ListDriftRequest{ProductIds: []string{id}, Settled: true}))
		if err != nil {
			return err.Error()
		}
		for _, d := range resp.Msg.GetDrift() {
			if d.GetDifference().GetField() == field && d.GetDifference().GetStripe() == e.value {
				return ""
			}
		}
		return fmt.Sprint(resp.Msg.GetDrift())
	})
	return nil
}
