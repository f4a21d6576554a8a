package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/reconciliation"
)

// happening is one kind of drift. ID in its texts is replaced by the product's id, which is also its name.
type happening struct {
	kind, field string
	// catalog and stripe are both values as drift shows them. "*" matches any value.
	catalog, stripe string
	cause           string
	// product edits the initial product in the catalog, nil for no edit. absent leaves the product out.
	product func(*catalogv1.Product)
	absent  bool
	// before brings both sides to a state in which they agree and the change can be made.
	before func(*driftRig, string)
	change func(*driftRig, string)
	// row and object read the final values: row by SQL from the catalog's tables for the product $1, object from
	// Stripe. held are their results for the catalog's value and for Stripe's.
	row    string
	object func(*driftRig, string) string
	held   [2]string
}

// driftRig is a mesh with the operations and checks of the happenings.
type driftRig struct{ *rig }

func (r *driftRig) prices(id string) (out []*stripe.Price) {
	r.t.Helper()
	for _, active := range []bool{true, false} {
		list := r.stripe.Prices.List(&stripe.PriceListParams{Product: stripe.String(id), Active: stripe.Bool(active)})
		for list.Next() {
			out = append(out, list.Price())
		}
		require.NoError(r.t, list.Err())
	}
	return out
}

// price returns the Stripe price that represents a catalog price, an active one if there is any.
func (r *driftRig) price(product, name string) *stripe.Price {
	r.t.Helper()
	for _, p := range r.prices(product) {
		if p.Metadata["driftless_price"] == product+"-"+name {
			return p
		}
	}
	return &stripe.Price{}
}

func (r *driftRig) product(id string) *stripe.Product {
	r.t.Helper()
	p, err := r.stripe.Products.Get(id, nil)
	if err != nil {
		return &stripe.Product{Deleted: true}
	}
	return p
}

// byKey edits a product as a program with an API key does. byHand edits it as a person in the dashboard does.
func byKey(params *stripe.ProductParams) func(*driftRig, string) {
	return func(r *driftRig, id string) {
		copied := *params
		_, err := r.stripe.Products.Update(id, &copied)
		require.NoError(r.t, err, id)
	}
}

func byHand(pairs ...string) func(*driftRig, string) {
	return func(r *driftRig, id string) {
		require.NoError(r.t, r.admin.EditProduct(r.t.Context(), id, form(id, pairs...)), id)
	}
}

func priceByHand(name string, pairs ...string) func(*driftRig, string) {
	return func(r *driftRig, id string) {
		require.NoError(r.t, r.admin.EditPrice(r.t.Context(), r.price(id, name).ID, form(id, pairs...)), id)
	}
}

func form(id string, pairs ...string) url.Values {
	out := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		out.Set(pairs[i], strings.ReplaceAll(pairs[i+1], "ID", id))
	}
	return out
}

func inOrder(parts ...func(*driftRig, string)) func(*driftRig, string) {
	return func(r *driftRig, id string) {
		for _, do := range parts {
			do(r, id)
		}
	}
}

func execSQL(query string) func(*driftRig, string) {
	return func(r *driftRig, id string) { r.exec(query, id) }
}

// happenings are by the id of their product.
var happenings = map[string]happening{
	"missing": {
		kind: "missing", catalog: "Mug", cause: "dashboard",
		product: func(p *catalogv1.Product) { p.Prices, p.DefaultPrice = nil, "" },
		change:  func(r *driftRig, id string) { require.NoError(r.t, r.admin.DeleteProduct(r.t.Context(), id, false)) },
		row:     `SELECT 'false'`,
		object:  func(r *driftRig, id string) string { return fmt.Sprint(r.product(id).Deleted) },
		held:    [2]string{"false", "true"},
	},
	"missing_price": {
		kind: "missing", field: "prices.ID-club", catalog: "900 eur every 1 month", cause: "dashboard",
		change: func(r *driftRig, id string) {
			require.NoError(r.t, r.admin.DeletePrice(r.t.Context(), r.price(id, "club").ID))
		},
		row:    `SELECT active FROM driftless.prices WHERE id = $1 || '-club'`,
		object: func(r *driftRig, id string) string { return fmt.Sprint(r.price(id, "club").Active) },
		held:   [2]string{"true", "false"},
	},
	"twin": {
		kind: "extra", field: "prices.ID-club", stripe: "*", cause: "dashboard",
		change: func(r *driftRig, id string) {
			_, err := r.admin.CreatePrice(r.t.Context(),
				form(id, "product", id, "currency", "eur", "unit_amount", "900", "recurring[interval]", "month",
					"metadata[driftless_price]", "ID-club"), false)
			require.NoError(r.t, err)
		},
		row: `SELECT 1`, object: func(r *driftRig, id string) string {
			n := 0
			for _, p := range r.prices(id) {
				if p.Active && p.Metadata["driftless_price"] == id+"-club" {
					n++
				}
			}
			return fmt.Sprint(n)
		},
		held: [2]string{"1", "2"},
	},
	"description": {
		kind: "field", field: "description", catalog: "From the catalog", stripe: "By key", cause: "api_key",
		change: byKey(&stripe.ProductParams{Description: stripe.String("By key")}),
		row:    `SELECT description FROM driftless.products WHERE id = $1`,
		object: func(r *driftRig, id string) string { return r.product(id).Description },
		held:   [2]string{"From the catalog", "By key"},
	},
	"metadata": {
		kind: "field", field: "metadata.sku", catalog: "M1", stripe: "M2", cause: "dashboard",
		change: byHand("metadata[sku]", "M2"),
		row:    `SELECT metadata->>'sku' FROM driftless.products WHERE id = $1`,
		object: func(r *driftRig, id string) string { return r.product(id).Metadata["sku"] },
		held:   [2]string{"M1", "M2"},
	},
	"nickname": {
		kind: "field", field: "prices.ID-club.nickname", catalog: "Club", stripe: "Members", cause: "dashboard",
		change: priceByHand("club", "nickname", "Members"),
		row:    `SELECT nickname FROM driftless.prices WHERE id = $1 || '-club'`,
		object: func(r *driftRig, id string) string { return r.price(id, "club").Nickname },
		held:   [2]string{"Club", "Members"},
	},
	"tax_behavior": {
		kind: "price_structure", field: "prices.ID-club.tax_behavior", catalog: "unspecified", stripe: "exclusive",
		cause:  "dashboard",
		change: priceByHand("club", "tax_behavior", "exclusive"),
		row:    `SELECT coalesce(tax_behavior, 'unspecified') FROM driftless.prices WHERE id = $1 || '-club'`,
		object: func(r *driftRig, id string) string { return string(r.price(id, "club").TaxBehavior) },
		held:   [2]string{"unspecified", "exclusive"},
	},
	"default_price": {
		kind: "default_price", field: "default_price", catalog: "ID-one", stripe: "ID-club", cause: "api_key",
		change: func(r *driftRig, id string) {
			byKey(&stripe.ProductParams{DefaultPrice: stripe.String(r.price(id, "club").ID)})(r, id)
		},
		row: `SELECT default_price FROM driftless.products WHERE id = $1`,
		object: func(r *driftRig, id string) string {
			is := r.product(id).DefaultPrice
			for _, p := range r.prices(id) {
				if is != nil && p.ID == is.ID {
					return p.Metadata["driftless_price"]
				}
			}
			return ""
		},
		held: [2]string{"ID-one", "ID-club"},
	},
	"archived": {
		kind: "archived_in_stripe", field: "active", catalog: "true", stripe: "false", cause: "dashboard",
		change: byHand("active", "false"),
		row:    `SELECT active FROM driftless.products WHERE id = $1`,
		object: func(r *driftRig, id string) string { return fmt.Sprint(r.product(id).Active) },
		held:   [2]string{"true", "false"},
	},
	"archived_price": {
		kind: "archived_in_stripe", field: "prices.ID-club.active", catalog: "true", stripe: "false",
		cause:  "dashboard",
		change: priceByHand("club", "active", "false"),
		row:    `SELECT active FROM driftless.prices WHERE id = $1 || '-club'`,
		object: func(r *driftRig, id string) string { return fmt.Sprint(r.price(id, "club").Active) },
		held:   [2]string{"true", "false"},
	},
	"archived_in_catalog": {
		kind: "archived_in_catalog", field: "active", catalog: "false", stripe: "true", cause: "dashboard",
		before: inOrder(byHand("active", "false"),
			execSQL(`UPDATE driftless.products SET active = false WHERE id = $1`)),
		change: byHand("active", "true"),
		row:    `SELECT active FROM driftless.products WHERE id = $1`,
		object: func(r *driftRig, id string) string { return fmt.Sprint(r.product(id).Active) },
		held:   [2]string{"false", "true"},
	},
	"archived_price_in_catalog": {
		kind: "archived_in_catalog", field: "prices.ID-club.active", catalog: "false", stripe: "true",
		cause: "dashboard",
		before: inOrder(priceByHand("club", "active", "false"),
			execSQL(`UPDATE driftless.prices SET active = false WHERE id = $1 || '-club'`)),
		change: priceByHand("club", "active", "true"),
		row:    `SELECT active FROM driftless.prices WHERE id = $1 || '-club'`,
		object: func(r *driftRig, id string) string { return fmt.Sprint(r.price(id, "club").Active) },
		held:   [2]string{"false", "true"},
	},
	"gone": {
		kind: "archived_in_catalog", field: "active", catalog: "false", stripe: "true", cause: "dashboard",
		before: execSQL(`DELETE FROM driftless.products WHERE id = $1`),
		change: byHand("active", "true"),
		row:    `SELECT count(*) > 0 FROM driftless.products WHERE id = $1`,
		object: func(r *driftRig, id string) string { return fmt.Sprint(r.product(id).Active) },
		held:   [2]string{"false", "true"},
	},
	"extra": {
		kind: "extra", stripe: "Stray", cause: "dashboard", absent: true,
		change: func(r *driftRig, id string) {
			_, err := r.admin.CreateProduct(r.t.Context(),
				form(id, "id", id, "name", "Stray", "default_price_data[currency]", "eur",
					"default_price_data[unit_amount]", "700"))
			require.NoError(r.t, err)
		},
		row:    `SELECT count(*) > 0 FROM driftless.products WHERE id = $1`,
		object: func(r *driftRig, id string) string { return fmt.Sprint(r.product(id).Active) },
		held:   [2]string{"false", "true"},
	},
	"catalog_edit": {
		kind: "field", field: "description", catalog: "Edited", stripe: "From the catalog", cause: "unknown",
		change: execSQL(`UPDATE driftless.products SET description = 'Edited' WHERE id = $1`),
		row:    `SELECT description FROM driftless.products WHERE id = $1`,
		object: func(r *driftRig, id string) string { return r.product(id).Description },
		held:   [2]string{"Edited", "From the catalog"},
	},
}

// outcome is the result of a policy for a drift. An empty state means that there is no drift.
type outcome struct {
	action, state string
	// kind is the kind of drift if it is not that of the happening.
	kind string
	// keeps is the side whose value both have in the end. It is empty if each keeps its own.
	keeps string
}

var (
	repaired    = outcome{action: "repair", state: "repaired", keeps: "catalog"}
	writtenBack = outcome{action: "write-back", state: "written_back", keeps: "stripe"}
	reported    = outcome{action: "report", state: "found"}
	pushed      = outcome{keeps: "catalog"}
)

// owned returns a policy with the same rule for every field that can have one.
func owned(otherwise catalog.Action, rule catalog.Rule) *catalog.Policy {
	rules := map[string]catalog.Rule{}
	for _, field := range []string{
		"active", "default_price", "description", "metadata", "name", "prices.active",
		"prices.metadata", "prices.nickname", "prices.tax_behavior",
	} {
		rules[field] = rule
	}
	p, err := catalog.NewPolicy(otherwise, rules)
	if err != nil {
		panic(err)
	}
	return p
}

// Each kind of drift happens to a product of its own, in a mesh for each policy.
func TestDrift_EveryKindUnderEveryPolicy(t *testing.T) {
	t.Parallel()
	// Objects have no rule, so the catalog owns them.
	objects := map[string]outcome{"missing": repaired, "missing_price": repaired, "twin": repaired, "gone": repaired}
	asField := func(o outcome) outcome { o.kind = "field"; return o }
	with := func(base map[string]outcome, more map[string]outcome) map[string]outcome {
		out := map[string]outcome{}
		for _, m := range []map[string]outcome{base, more} {
			maps.Copy(out, m)
		}
		return out
	}
	for name, c := range map[string]struct {
		policy *catalog.Policy
		extras reconciliation.Extras
		most   outcome
		except map[string]outcome
	}{
		"repair": {nil, reconciliation.ExtrasArchive, repaired, map[string]outcome{"catalog_edit": pushed}},
		"report": {
			owned(catalog.Report, catalog.Rule{}), reconciliation.ExtrasReport, reported,
			map[string]outcome{"catalog_edit": pushed, "tax_behavior": asField(reported)},
		},
		"stripe": {
			owned(catalog.Repair, catalog.Rule{Owner: catalog.OwnerStripe}), reconciliation.ExtrasImport, writtenBack,
			with(objects, map[string]outcome{"tax_behavior": asField(writtenBack)}),
		},
		"stripe, report": {
			owned(catalog.Repair, catalog.Rule{Owner: catalog.OwnerStripe, Action: catalog.Report}),
			reconciliation.ExtrasReport, reported,
			with(objects, map[string]outcome{"tax_behavior": asField(reported)}),
		},
		"newest": {
			owned(catalog.Repair, catalog.Rule{Owner: catalog.OwnerNewest}), reconciliation.ExtrasIgnore, writtenBack,
			with(objects, map[string]outcome{
				"tax_behavior": asField(writtenBack),
				"catalog_edit": pushed,
				"extra":        {},
			}),
		},
		"newest, report": {
			owned(catalog.Repair, catalog.Rule{Owner: catalog.OwnerNewest, Action: catalog.Report}),
			reconciliation.ExtrasIgnore, reported,
			with(objects, map[string]outcome{"tax_behavior": asField(reported), "catalog_edit": pushed, "extra": {}}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &driftRig{newRig(t, unlimited, withPolicy(c.policy, c.extras))}
			r.createProducts()
			for id, h := range happenings {
				h.change(r, id)
			}
			for id, h := range happenings {
				want, special := c.except[id]
				if !special {
					want = c.most
				}
				r.waitOutcome(id, h, want)
			}
		})
	}
}

// createProducts creates every product on both sides, as they are before anything happens.
func (r *driftRig) createProducts() {
	r.t.Helper()
	var products []*catalogv1.Product
	for id, h := range happenings {
		if h.absent {
			continue
		}
		p := mug("Mug", "1400")
		p.Id, p.DefaultPrice, p.Description = id, id+"-one", "From the catalog"
		p.Prices[0].Id, p.Prices[1].Id, p.Prices[1].Nickname = id+"-one", id+"-club", "Club"
		if h.product != nil {
			h.product(p)
		}
		products = append(products, p)
	}
	r.upsert(products...)
	r.waitConverged()
	for id, h := range happenings {
		if h.before != nil {
			h.before(r, id)
		}
	}
	r.waitConverged()
	require.Eventually(r.t, func() bool { return len(r.drift(false)) == 0 }, patience, tick,
		"both sides agree")
}

// drift returns the open drift, or with settled also the settled drift of some products.
func (r *driftRig) drift(settled bool, products ...string) []*controlv1.Drift {
	r.t.Helper()
	resp, err := r.control.ListDrift(r.t.Context(),
		connect.NewRequest(&controlv1.ListDriftRequest{ProductIds: products, Settled: settled}))
	require.NoError(r.t, err)
	return resp.Msg.GetDrift()
}

// waitCalm waits until nothing is in flight and no repair is running. Objects that differ and are only reported stay in
// the plan, since the product's next change repairs them.
func (r *driftRig) waitCalm() {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		plan, err := r.control.Plan(context.WithoutCancel(r.t.Context()), connect.NewRequest(&controlv1.PlanRequest{}))
		if err != nil || plan.Msg.GetInFlight() > 0 {
			return false
		}
		status, err := r.control.GetStatus(context.WithoutCancel(r.t.Context()),
			connect.NewRequest(&controlv1.GetStatusRequest{}))
		return err == nil && status.Msg.GetPending() == 0 &&
			!slices.ContainsFunc(status.Msg.GetDrift(),
				func(d *controlv1.DriftCount) bool { return d.GetState() == "repairing" })
	}, patience, tick, "calm")
}

// waitOutcome waits until a happening has ended as the policy requires.
func (r *driftRig) waitOutcome(id string, h happening, want outcome) {
	r.t.Helper()
	field, kind := strings.ReplaceAll(h.field, "ID", id), h.kind
	if want.kind != "" {
		kind = want.kind
	}
	of := func() (out []*controlv1.Drift) {
		return slices.DeleteFunc(r.drift(true, id), func(d *controlv1.Drift) bool {
			return d.GetDifference().GetKind() != kind || d.GetDifference().GetField() != field
		})
	}
	if want.state != "" {
		for deadline := time.Now().Add(patience); ; {
			if found := of(); len(found) == 1 && found[0].GetState() == want.state {
				break
			}
			require.True(r.t, time.Now().Before(deadline), "%s: %v", id, r.drift(true, id))
			select {
			case <-r.t.Context().Done():
			case <-time.After(tick):
			}
		}
	}
	r.waitCalm()
	found := of()
	if want.state == "" {
		require.Empty(r.t, found, id)
	} else {
		require.Len(r.t, found, 1, "%s: it drifts once", id)
		d := found[0]
		require.Equal(r.t, want.action, d.GetDifference().GetAction(), id)
		require.Equal(r.t, want.state, d.GetState(), id)
		require.Equal(r.t, h.cause, d.GetCausedBy(), id)
		require.Equal(r.t, strings.ReplaceAll(h.catalog, "ID", id), d.GetDifference().GetCatalog(), id)
		if h.stripe == "*" {
			require.NotEmpty(r.t, d.GetDifference().GetStripe(), id)
		} else {
			require.Equal(r.t, strings.ReplaceAll(h.stripe, "ID", id), d.GetDifference().GetStripe(), id)
		}
	}
	// A constant query leaves its parameters untyped, so they are cast.
	var row string
	require.NoError(r.t,
		r.pool.QueryRow(r.t.Context(),
			`WITH of AS (SELECT $1::text AS id) SELECT coalesce((`+strings.ReplaceAll(h.row, "$1",
				"(SELECT id FROM of)")+`)::text, '')`, id).Scan(&row), id)
	ends := h.held
	switch want.keeps {
	case "catalog":
		ends[1] = ends[0]
	case "stripe":
		ends[0] = ends[1]
	}
	require.Equal(r.t, strings.ReplaceAll(ends[0], "ID", id), row, "%s: in the catalog", id)
	require.Equal(r.t, strings.ReplaceAll(ends[1], "ID", id), h.object(r, id), "%s: in Stripe", id)
}
