package push_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/push"
)

func (r *rig) pushUnder(rules map[string]catalog.Rule) {
	r.t.Helper()
	cfg := r.config(key)
	var err error
	cfg.Policy, err = catalog.NewPolicy(catalog.Repair, rules)
	require.NoError(r.t, err)
	r.run(func(ctx context.Context) error { return push.Run(ctx, cfg) })
}

func (r *rig) command(sync *meshv1.SyncProduct) {
	r.t.Helper()
	require.NoError(r.t,
		r.mesh.Publish(r.t.Context(),
			topology.CommandSubject(topology.Push, "default", topology.VerbSync, sync.GetProductId()), &meshv1.Command{
				Account: "default", Issuer: "test", Verb: &meshv1.Command_Sync{Sync: sync},
			}))
}

func (r *rig) description(want string) func() bool {
	return func() bool {
		p, err := r.stripe.Products.Get("mug", nil)
		return err == nil && p.Description == want
	}
}

func TestPolicy_KeepsFieldsThatStripeOwns(t *testing.T) {
	r := newRig(t)
	r.pushUnder(map[string]catalog.Rule{"description": {Owner: catalog.OwnerStripe}, "url": {Action: catalog.Report}})
	p := mug("Mug", "1400")
	p.Description, p.Url = "From the catalog", "https://example.com/a"
	r.want(p, 1)
	r.applied("mug", 1)
	require.True(t, r.description("From the catalog")(), "a new product has the catalog's values")

	_, err := r.stripe.Products.Update("mug", &stripe.ProductParams{
		Description: stripe.String("By hand"),
		URL:         stripe.String("https://example.com/hand"),
	})
	require.NoError(t, err)
	p = mug("Mug XL", "1500")
	p.Description, p.Url = "From the catalog, again", "https://example.com/a"
	r.want(p, 2)
	r.command(&meshv1.SyncProduct{ProductId: "mug", Look: true})
	r.applied("mug", 2)
	require.Eventually(t, func() bool {
		held, err := r.stripe.Products.Get("mug", nil)
		return err == nil && held.Name == "Mug XL" && held.Description == "By hand" &&
			held.URL == "https://example.com/hand"
	}, patience, 20*time.Millisecond)

	// The catalog changes a field that is only reported, and an operator overrules the owner.
	p.Url = "https://example.com/b"
	r.want(p, 3)
	r.applied("mug", 3)
	held, err := r.stripe.Products.Get("mug", nil)
	require.NoError(t, err)
	require.Equal(t, "https://example.com/b", held.URL)
	require.Equal(t, "By hand", held.Description)
	r.command(&meshv1.SyncProduct{ProductId: "mug", Look: true, Overwrite: []string{"description"}})
	require.Eventually(t, r.description("From the catalog, again"), patience, 20*time.Millisecond)
}

func TestPolicy_LeavesAFieldThatNeedsADecision(t *testing.T) {
	r := newRig(t)
	r.push()
	p := mug("Mug", "1400")
	p.Description = "A"
	r.want(p, 1)
	r.applied("mug", 1)
	_, err := r.stripe.Products.Update("mug", &stripe.ProductParams{
		Description: stripe.String("theirs"),
		Name:        stripe.String("Renamed"),
	})
	require.NoError(t, err)
	r.command(&meshv1.SyncProduct{ProductId: "mug", Look: true, Leave: []string{"description"}})
	require.Eventually(t, func() bool {
		held, err := r.stripe.Products.Get("mug", nil)
		return err == nil && held.Name == "Mug"
	}, patience, 20*time.Millisecond)
	require.True(t, r.description("theirs")())
}

func TestCommand_ArchivesAnExtraButNoCatalogProduct(t *testing.T) {
	r := newRig(t)
	r.push()
	_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("stray"), Name: stripe.String("Stray")})
	require.NoError(t, err)
	r.want(mug("Mug", "1400"), 1)
	r.applied("mug", 1)
	for _, id := range []string{"stray", "mug"} {
		r.command(&meshv1.SyncProduct{ProductId: id, Look: true, ArchiveExtra: true})
	}
	require.Eventually(t, func() bool {
		held, err := r.stripe.Products.Get("stray", nil)
		return err == nil && !held.Active
	}, patience, 20*time.Millisecond)
	require.Equal(t, 2, r.calls()[http.MethodPost+" /v1/products"], "both were made once")
	held, err := r.stripe.Products.Get("mug", nil)
	require.NoError(t, err)
	require.True(t, held.Active)
}
