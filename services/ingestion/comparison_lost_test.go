package ingestion_test

import (
	"testing"
	"time"

	"github.com/nats-io/nuid"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// purgeCatalog removes all states of the catalog.
func (r *rig) purgeCatalog() {
	r.t.Helper()
	stream, err := r.mesh.JetStream().Stream(r.t.Context(), topology.StreamCatalog)
	require.NoError(r.t, err)
	require.NoError(r.t, stream.Purge(r.t.Context()))
}

// CATALOG was purged while ingestion was down, and a product left the tables. OBSERVED knows that Driftless manages it
// in Stripe. The pen is somebody else's, and the bag is gone from Stripe. The state of the hat is damaged.
func TestComparison_RemovesProductsThatCatalogLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug'), ('cup', 'Cup')`)
	r.start()
	r.requireName("mug", "Mug")
	r.requireName("cup", "Cup")
	written := r.latest("cup").GetVersion()
	for _, id := range []string{"mug", "cup"} {
		r.observe(id, id+"-eur", "price_"+id, written)
	}
	r.observe("pen", "pen-eur", "price_pen", 0)
	r.damage("hat")
	_, err := r.stores.Observed().Update(t.Context(), "default", "bag", func(o *catalogv1.Observed) error {
		o.Version = 1
		return nil
	})
	require.NoError(t, err)
	r.waitCapturedAfter(time.Now())
	r.stop()

	r.exec(`DELETE FROM items WHERE id <> 'mug'`)
	r.purgeCatalog()
	r.start()
	r.requireName("mug", "Mug")
	r.requireGone("cup")
	require.Greater(t, r.latest("cup").GetVersion(), written, "push does not take it for an older state")
	r.waitCaptured()
	require.Nil(t, r.latest("pen"), "the catalog never had it")
	require.Nil(t, r.latest("bag"), "Stripe does not have it")

	// Push asks for a product when it finds that CATALOG has no state of it, and waits for the answer.
	r.observe("cap", "cap-eur", "price_cap", 1)
	id := nuid.Next()
	require.NoError(t, r.mesh.RequestReread(t.Context(), "default", id, "test", []string{"cap", "hat", "pen", "bag"},
		false))
	r.requireGone("cap")
	r.requireGone("bag")
	r.eventually("answered", func() bool {
		for _, c := range r.report().GetAsked() {
			if c.GetId() == id {
				return true
			}
		}
		return false
	})
	require.Nil(t, r.latest("pen"))
}
