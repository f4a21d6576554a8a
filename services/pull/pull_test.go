package pull_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/pull"
)

func TestReadProduct_ReadsTheProductAndItsActivePrices(t *testing.T) {
	r := newRig(t)
	r.product("mug")
	sold := r.price("mug", "")
	old, err := r.admin.CreatePrice(t.Context(),
		url.Values{"product": {"mug"}, "currency": {"eur"}, "unit_amount": {"700"}, "active": {"false"}}, false)
	require.NoError(t, err)
	r.stopEvents()
	r.pull(time.Hour)
	command := &meshv1.Command{
		Id:      "r1",
		Account: "default",
		Verb:    &meshv1.Command_Read{Read: &meshv1.ReadProduct{ProductId: "mug"}},
	}
	require.NoError(t,
		r.mesh.Publish(t.Context(), topology.CommandSubject(topology.Pull, "default", topology.VerbRead, "mug"),
			command))
	require.Eventually(t, func() bool { return r.observed().GetWhole() }, patience, 5*time.Millisecond)
	require.NotNil(t, catalog.FindPrice(r.observed(), sold))
	require.Nil(t, catalog.FindPrice(r.observed(), old))
	require.Empty(t, catalog.ImportBlocker(r.observed()))
	require.Equal(t, 1, r.requests("GET /v1/prices"))
}

func TestRun_EndsWhenTheConnectionIsClosed(t *testing.T) {
	r := newRig(t)
	line := localtest.LineTo(t, r.nats)
	done := make(chan error, 1)
	go func() {
		done <- pull.Run(t.Context(), pull.Config{
			Account: "default", NATS: mesh.Config{URL: r.nats, Name: "pull", InProcess: line},
			Stripe: stripeapi.Config{Key: key, Base: r.simURL},
			HTTP:   httpserver.Config{Addr: "127.0.0.1:0"},
		})
	}()
	body := event{ID: "evt_1", Type: "product.updated", Created: 100, Object: productObject("Mug", 100)}.body()
	require.NoError(t, r.mesh.Publish(t.Context(), topology.StripeSubject("default", "mug"), &meshv1.StripeChange{
		Account: "default", ProductId: "mug", EventId: "evt_1", Type: "product.updated", ObjectId: "mug", Event: body,
	}))
	r.waitName("Mug")
	line.Abuse(t)
	require.ErrorContains(t, <-done, "the connection to NATS was closed for good")
}
