package e2e_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

// drift returns the open drift of the history's products, in the given states or in all.
func (h *historyRig) drift(states ...string) []*controlv1.Drift {
	h.t.Helper()
	resp, err := h.control.ListDrift(h.t.Context(), connect.NewRequest(&controlv1.ListDriftRequest{States: states}))
	require.NoError(h.t, err)
	return resp.Msg.GetDrift()
}

type catalogProduct struct {
	ID, Name, Description, Sku, DefaultPrice string
	Active                                   bool
}

type catalogPrice struct {
	ID, Nickname string
	Amount       int64
	Active       bool
}

// differences compares the catalog's tables with Stripe, and returns both values by product and field. It uses nothing
// of Driftless except the mark of prices.
func (h *historyRig) differences() map[string]string {
	h.t.Helper()
	out := map[string]string{}
	for id := range h.everyProduct() {
		h.compare(id, func(field, catalog, stripe string) {
			if catalog != stripe {
				out[id+" "+field] = catalog + " / " + stripe
			}
		})
	}
	return out
}

// everyProduct returns the products of all histories on this mesh. A later history must not disturb the results of an
// earlier one.
func (h *historyRig) everyProduct() map[string]bool {
	h.t.Helper()
	out := map[string]bool{}
	for _, active := range []bool{true, false} {
		list := h.stripe.Products.List(&stripe.ProductListParams{Active: stripe.Bool(active)})
		for list.Next() {
			out[list.Product().ID] = true
		}
		require.NoError(h.t, list.Err())
	}
	rows, err := h.pool.Query(h.t.Context(), `SELECT id FROM driftless.products`)
	require.NoError(h.t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(h.t, err)
	for _, id := range ids {
		out[id] = true
	}
	return out
}

func (h *historyRig) compare(id string, tell func(field, catalog, stripe string)) {
	h.t.Helper()
	rows, err := h.pool.Query(h.t.Context(),
		`SELECT id, name, coalesce(description, ''), coalesce(metadata->>'sku', ''), coalesce(default_price, ''), active FROM driftless.products WHERE id = $1`, id)
	require.NoError(h.t, err)
	products, err := pgx.CollectRows(rows, pgx.RowToStructByPos[catalogProduct])
	require.NoError(h.t, err)
	held, err := h.stripe.Products.Get(id, nil)
	if err != nil {
		held = nil
	}
	switch {
	case len(products) == 0 && held == nil:
		return
	case len(products) == 0 && !h.strays[id]:
		// The product has left the catalog.
		tell("active", "false", strconv.FormatBool(held.Active))
		return
	case len(products) == 0:
		if h.extras != "ignore" && held.Active {
			tell("", "", held.Name)
		}
		return
	case held == nil:
		tell("", products[0].Name, "")
		return
	}
	p := products[0]
	tell("name", p.Name, held.Name)
	tell("description", p.Description, held.Description)
	// A key that the catalog does not have belongs to others, if any of them has written it.
	if p.Sku != "" || h.keys || !h.theirKeys[id] {
		tell("metadata.sku", p.Sku, held.Metadata["sku"])
	}
	tell("active", strconv.FormatBool(p.Active), strconv.FormatBool(held.Active))
	marks := h.comparePrices(id, tell)
	byDefault := ""
	if held.DefaultPrice != nil {
		if byDefault = marks[held.DefaultPrice.ID]; byDefault == "" {
			byDefault = held.DefaultPrice.ID
		}
	}
	tell("default_price", p.DefaultPrice, byDefault)
}

// comparePrices compares a product's prices, and returns the catalog's ids by Stripe's ids.
func (h *historyRig) comparePrices(id string, tell func(field, catalog, stripe string)) (marks map[string]string) {
	h.t.Helper()
	rows, err := h.pool.Query(h.t.Context(),
		`SELECT id, coalesce(nickname, ''), unit_amount::bigint, active FROM driftless.prices WHERE product = $1 ORDER BY id`, id)
	require.NoError(h.t, err)
	wanted, err := pgx.CollectRows(rows, pgx.RowToStructByPos[catalogPrice])
	require.NoError(h.t, err)
	marks = map[string]string{}
	active := map[string][]*stripe.Price{}
	stands := map[string]bool{}
	for _, of := range []bool{true, false} {
		list := h.stripe.Prices.List(&stripe.PriceListParams{Product: stripe.String(id), Active: stripe.Bool(of)})
		for list.Next() {
			price := list.Price()
			mark := price.Metadata["driftless_price"]
			marks[price.ID] = mark
			if mark != "" {
				stands[mark] = true
			}
			if mark != "" && of {
				active[mark] = append(active[mark], price)
			}
		}
		require.NoError(h.t, list.Err())
	}
	for _, want := range wanted {
		field, held := "prices."+want.ID, active[want.ID]
		delete(active, want.ID)
		switch {
		case len(held) > 1 && want.Active:
			tell(field, "one", fmt.Sprintf("%d", len(held)))
		case len(held) > 0 && !want.Active:
			tell(field+".active", "false", "true")
		case len(held) == 0 && want.Active && stands[want.ID]:
			tell(field+".active", "true", "false")
		case len(held) == 0 && want.Active:
			tell(field, "active", "")
		case len(held) == 1:
			tell(field+".nickname", want.Nickname, held[0].Nickname)
			tell(field+".unit_amount", fmt.Sprint(want.Amount), fmt.Sprint(held[0].UnitAmount))
		}
	}
	for mark := range active {
		tell("prices."+mark+".active", "false", "true")
	}
	return marks
}

// isWholeObject reports whether a difference is about a whole object: a product or a price.
func isWholeObject(of string) bool {
	_, field, _ := strings.Cut(of, " ")
	parts := strings.Split(field, ".")
	return field == "" || parts[0] == "prices" && len(parts) == 2
}

// explainMismatch returns where the ledger's open drift and the differences disagree. For a whole object the ledger
// shows more than these comparisons.
func explainMismatch(differ, open map[string]string) (why string) {
	for _, of := range slices.Sorted(maps.Keys(differ)) {
		if said, ok := open[of]; !ok {
			why += fmt.Sprintf("\n%s: %s, and the ledger has no drift", of, differ[of])
		} else if said != differ[of] && !isWholeObject(of) {
			why += fmt.Sprintf("\n%s: %s, and the ledger has %s", of, differ[of], said)
		}
	}
	for _, of := range slices.Sorted(maps.Keys(open)) {
		if _, ok := differ[of]; !ok {
			why += fmt.Sprintf("\n%s: the ledger has %s, and nothing differs", of, open[of])
		}
	}
	return why
}
