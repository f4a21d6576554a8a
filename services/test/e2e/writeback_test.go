package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// writes counts the calls that changed something in Stripe.
func (r *rig) writes() (n int) {
	r.t.Helper()
	requests, err := r.admin.Requests(r.t.Context(), stripesim.RequestFilter{})
	require.NoError(r.t, err)
	for _, request := range requests {
		if request.Method != http.MethodGet {
			n++
		}
	}
	return n
}

// The test edits a product in Stripe, and the catalog follows.
func TestWriteBack_LeavesBothSidesEqual(t *testing.T) {
	t.Parallel()
	r := newRig(t, unlimited)
	r.upsert(mug("Mug", "1400"))
	r.waitConverged()
	// Reconciliation must not repair the edit while it is written back.
	r.stop(topology.Reconciliation)
	_, prices := r.stripeProduct("mug")
	_, err := r.stripe.Products.Update("mug", &stripe.ProductParams{
		Description: stripe.String("Blue"),
		Metadata:    map[string]string{"color": "blue"},
	})
	require.NoError(t, err)
	_, err = r.stripe.Prices.Update(prices["mug-one"].ID, &stripe.PriceParams{Nickname: stripe.String("Single")})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		o, _, err := r.stores.Observed().Get(t.Context(), "default", "mug")
		if err != nil || o.GetProduct().GetDescription() != "Blue" || o.GetProduct().GetMetadata()["color"] != "blue" {
			return false
		}
		return slices.ContainsFunc(o.GetPrices(),
			func(p *catalogv1.ObservedPrice) bool { return p.GetPrice().GetNickname() == "Single" })
	}, patience, 20*time.Millisecond, "the edit is known")
	before := r.writes()

	latest, err := r.stores.Desired().Latest(t.Context(), "default", "mug")
	require.NoError(t, err)
	order := &meshv1.WriteBack{
		ProductId: "mug", Version: latest.GetVersion(), Product: proto.CloneOf(latest.GetProduct()),
		Fields: []string{"description", "metadata.color", "prices.mug-one.nickname"},
	}
	order.Product.Description, order.Product.Metadata["color"] = "Blue", "blue"
	for _, p := range order.Product.Prices {
		if p.GetId() == "mug-one" {
			p.Nickname = "Single"
		}
	}
	require.NoError(t,
		r.mesh.Publish(t.Context(),
			topology.CommandSubject(topology.Ingestion, "default", topology.VerbWriteBack, "mug"), &meshv1.Command{
				Account: "default", Issuer: topology.Reconciliation, Verb: &meshv1.Command_WriteBack{WriteBack: order},
			}))
	require.Eventually(t, func() bool {
		o, _, err := r.stores.Observed().Get(t.Context(), "default", "mug")
		return err == nil && o.GetVersion() > order.GetVersion() && o.GetClaim() == nil
	}, patience, 20*time.Millisecond, "push is done with the captured changes")
	r.start(topology.Reconciliation)
	r.waitConverged()
	require.Equal(t, before, r.writes(), "the captured change equals Stripe")

	var row string
	require.NoError(t, r.pool.QueryRow(t.Context(), `SELECT concat_ws(' ', p.description, p.metadata, c.nickname)
		FROM driftless.products p JOIN driftless.prices c ON c.product = p.id WHERE c.id = 'mug-one'`).Scan(&row))
	require.JSONEq(t, `{"sku": "M1", "color": "blue"}`, row[len("Blue "):len(row)-len(" Single")])

	// The catalog owns the field from then on, so it can revert the value.
	r.upsert(mug("Mug", "1400"))
	_, err = r.ingest.WaitCaptured(t.Context(), connect.NewRequest(&ingestv1.WaitCapturedRequest{}))
	require.NoError(t, err)
	r.waitConverged()
	p, prices := r.stripeProduct("mug")
	require.Empty(t, p.Description)
	require.Equal(t, map[string]string{"sku": "M1"}, p.Metadata)
	require.Empty(t, prices["mug-one"].Nickname)
}

// The test edits a name in Stripe many times, after each write-back and in quick succession. All edits come from one
// side, so they are no conflict.
func TestWriteBack_WritesEveryEditOfField(t *testing.T) {
	t.Parallel()
	stripeOwned := catalog.Rule{Owner: catalog.OwnerStripe}
	policy, err := catalog.NewPolicy(catalog.Repair, map[string]catalog.Rule{
		"name":      stripeOwned,
		"shippable": stripeOwned,
	})
	require.NoError(t, err)
	r := newRig(t, unlimited, withPolicy(policy, reconciliation.ExtrasIgnore))
	r.upsert(mug("Mug", "1400"))
	r.waitConverged()
	stored := func(column, want string) func() bool {
		return func() bool {
			var value string
			require.NoError(t,
				r.pool.QueryRow(t.Context(),
					`SELECT coalesce(`+column+`::text, 'NULL') FROM driftless.products WHERE id = 'mug'`).Scan(&value))
			return value == want
		}
	}
	for i := range 5 {
		name := fmt.Sprintf("Mug, edition %d", i)
		require.NoError(t, r.admin.EditProduct(t.Context(), "mug", url.Values{"name": {name}}))
		require.Eventually(t, stored("name", name), patience, 20*time.Millisecond, name)
	}
	for i := range 5 {
		require.NoError(t,
			r.admin.EditProduct(t.Context(), "mug", url.Values{"name": {fmt.Sprintf("Mug, quick edition %d", i)}}))
	}
	require.Eventually(t, stored("name", "Mug, quick edition 4"), patience, 20*time.Millisecond)

	// Stripe cannot clear the field, and the catalog has no value for it.
	require.NoError(t, r.admin.EditProduct(t.Context(), "mug", url.Values{"shippable": {"true"}}))
	require.Eventually(t, stored("shippable", "true"), patience, 20*time.Millisecond)
	r.waitConverged()
	p, _ := r.stripeProduct("mug")
	require.Equal(t, "Mug, quick edition 4", p.Name)
}
