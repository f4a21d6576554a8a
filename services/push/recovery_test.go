package push_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/push"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// commandSync commands push to reread and sync a product.
func (r *rig) commandSync(product string) {
	r.t.Helper()
	command := &meshv1.Command{
		Id:      "o1",
		Account: "default",
		Verb:    &meshv1.Command_Sync{Sync: &meshv1.SyncProduct{ProductId: product, Look: true}},
	}
	require.NoError(r.t,
		r.mesh.Publish(r.t.Context(), topology.CommandSubject(topology.Push, "default", topology.VerbSync, product),
			command))
}

func (r *rig) letter(product string) *meshv1.DeadLetter {
	r.t.Helper()
	stream, err := r.mesh.JetStream().Stream(r.t.Context(), topology.StreamDead)
	require.NoError(r.t, err)
	msg, err := stream.GetLastMsgForSubject(r.t.Context(), topology.DeadSubject(topology.Push, "default", product))
	if err != nil {
		return nil
	}
	letter := &meshv1.DeadLetter{}
	require.NoError(r.t, proto.Unmarshal(msg.Data, letter))
	return letter
}

func TestCommand_NeverAppliesAnOlderState(t *testing.T) {
	r := newRig(t)
	r.want(mug("Old", "1400"), 10)
	// Another replica applied version 20 after this one had read version 10.
	_, err := r.stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.Version = 20
		return nil
	})
	require.NoError(t, err)
	r.push()
	r.commandSync("mug")
	localtest.Holds(t, 300*time.Millisecond, func() bool {
		_, err := r.stripe.Products.Get("mug", nil)
		return err != nil
	}, "the old state is not written")
	r.want(mug("New", "1400"), 20)
	require.Eventually(t, func() bool {
		p, err := r.stripe.Products.Get("mug", nil)
		return err == nil && p.Name == "New"
	}, patience, 10*time.Millisecond, "the command waits for the latest state")
}

func TestRefusal_CountsOnlyAfterAReread(t *testing.T) {
	needsLeniency(t, "the id of a deleted product")
	r := newRig(t)
	r.push()
	p := mug("Mug", "1400")
	prices := p.Prices
	p.Prices, p.DefaultPrice = nil, ""
	r.want(p, 10)
	r.applied("mug", 10)
	// Deleted in the dashboard. No event of it has arrived.
	_, err := r.stripe.Products.Del("mug", nil)
	require.NoError(t, err)
	p = mug("Mug", "1400")
	p.Prices = prices
	r.want(p, 20)
	r.applied("mug", 20)
	require.Nil(t, r.letter("mug"))
	active, _ := r.prices("mug")
	require.Equal(t, 1, active)
}

func TestRecordResult_MarksAProductStaleAfterALostClaim(t *testing.T) {
	r := newRig(t)
	r.push()
	r.want(mug("Mug", "1400"), 10)
	r.applied("mug", 10)
	slow, err := r.admin.AddFault(t.Context(), stripesim.Fault{
		Kind:   stripesim.FaultLatency,
		Method: http.MethodPost,
		Path:   "/v1/prices",
		Delay:  time.Second,
		Count:  1,
	})
	require.NoError(t, err)
	r.want(mug("Mug", "1600"), 20)
	require.Eventually(t, func() bool {
		faults, err := r.admin.Faults(t.Context())
		return err == nil && faults[0].ID == slow.ID && faults[0].Hits == 1
	}, patience, 5*time.Millisecond, "the call is under way")
	// Another process takes over, finds the product as it should be, and completes.
	_, err = r.stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.Claim = nil
		for _, i := range o.GetIntents() {
			i.Settled = true
		}
		return nil
	})
	require.NoError(t, err)
	r.applied("mug", 20)
	require.Eventually(t, func() bool {
		active, archived := r.prices("mug")
		return active == 1 && archived == 1
	}, patience, 20*time.Millisecond, "the price of the slow call is known")
}

func TestPush_DeadLettersAProductTooLargeForAMessage(t *testing.T) {
	r := newRig(t)
	_, err := r.stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		// The sizes are added up: the size of the whole, once for each price, takes seconds.
		for i, size := 0, 0; size < 1<<20-1500; i++ {
			price := &catalogv1.ObservedPrice{StripeId: fmt.Sprintf("price_%d", i), Price: &catalogv1.Price{
				Active: new(false), Currency: "eur", UnitAmount: "1", Nickname: strings.Repeat("x", 400),
			}}
			o.Prices = append(o.Prices, price)
			// The tag has one byte and the length two.
			size += proto.Size(price) + 3
		}
		return nil
	})
	require.NoError(t, err)
	p := mug("Mug", "1400")
	for i := range 20 {
		p.Prices = append(p.Prices, &catalogv1.Price{Id: fmt.Sprintf("mug-%d", i), Currency: "eur", UnitAmount: "1"})
	}
	r.push()
	r.want(p, 10)
	require.Eventually(t, func() bool { return r.letter("mug") != nil }, patience, 10*time.Millisecond)
	require.Equal(t, topology.ReasonExhausted, r.letter("mug").GetReason())
	require.Contains(t, r.letter("mug").GetMessage(), "max_payload")
}

func TestRetry_CarriesOutACommandThatWaited(t *testing.T) {
	r := newRig(t)
	r.push()
	r.want(mug("Mug", "1400"), 10)
	r.applied("mug", 10)
	require.NoError(t, r.admin.EditProduct(t.Context(), "mug", map[string][]string{"name": {"By hand"}}))
	retry := &meshv1.Retry{Account: "default", ProductId: "mug", Version: 10, Lane: "bulk", Look: true}
	require.NoError(t, r.mesh.RetryLater(t.Context(), topology.Push, retry, time.Hour))
	// A later failure of the same product, without a command.
	require.NoError(t,
		r.mesh.RetryLater(t.Context(), topology.Push,
			&meshv1.Retry{Account: "default", ProductId: "mug", Version: 10, Lane: "live"}, 0))
	require.Eventually(t, func() bool {
		p, err := r.stripe.Products.Get("mug", nil)
		return err == nil && p.Name == "Mug"
	}, patience, 10*time.Millisecond)
}

func TestDeadLetter_HoldsTheDesiredState(t *testing.T) {
	r := newRig(t)
	p := mug("Mug", "1400")
	p.TaxCode = "no such code"
	r.want(p, 10)
	require.NoError(t, r.mesh.Pause(t.Context(), time.Hour, topology.PushLive))
	r.push()
	r.commandSync("mug")
	require.Eventually(t, func() bool { return r.letter("mug") != nil }, patience, 10*time.Millisecond)
	change := &catalogv1.ProductChange{}
	require.NoError(t, proto.Unmarshal(r.letter("mug").GetPayload(), change))
	require.Equal(t, "no such code", change.GetProduct().GetTaxCode())
}

func TestRetry_KeepsTheIntentOfACallBeforeARateLimit(t *testing.T) {
	r := newRig(t,
		stripesim.Fault{Kind: stripesim.FaultResponseLost, Method: http.MethodPost, Path: "/v1/prices", Count: 1},
		stripesim.Fault{Kind: stripesim.FaultRateLimit, Method: http.MethodPost, Path: "/v1/prices", Count: 1})
	r.push()
	r.want(pack("Mugs", "1400"), 10)
	r.applied("mug", 10)
	faults, err := r.admin.Faults(t.Context())
	require.NoError(t, err)
	for _, f := range faults {
		require.Equal(t, 1, f.Hits, f)
	}
	active, archived := r.prices("mug")
	require.Equal(t, 1, active+archived, "one price was made")
}

func TestChange_LiveDoesNotWaitForTheBulkLane(t *testing.T) {
	r := newRig(t)
	bulk := func(p *catalogv1.Product, version uint64) {
		require.NoError(t,
			r.mesh.Publish(t.Context(), topology.CatalogSubject("default", topology.Bulk, p.GetId()),
				&catalogv1.ProductChange{
					Account: "default", ProductId: p.GetId(), Version: version,
					Operation: catalogv1.Operation_OPERATION_UPSERT,
					Product:   p,
				}, mesh.WithVersion(version)))
	}
	bare := func(id string) *catalogv1.Product {
		p := mug("Mug", "1400")
		p.Id, p.Prices, p.DefaultPrice = id, nil, ""
		return p
	}
	// The bulk lane is blocked: the product before mug never gets an answer.
	_, err := r.admin.AddFault(t.Context(), stripesim.Fault{
		Kind:   stripesim.FaultLatency,
		Method: http.MethodPost,
		Object: "stuck",
		Delay:  time.Minute,
	})
	require.NoError(t, err)
	r.run(func(ctx context.Context) error {
		cfg := r.config(key)
		cfg.Concurrency = 1
		return push.Run(ctx, cfg)
	})
	bulk(bare("stuck"), 11)
	require.Eventually(t, func() bool { return len(r.observed("stuck").GetIntents()) > 0 }, patience,
		10*time.Millisecond)
	bulk(bare("mug"), 11)
	r.want(bare("mug"), 10)
	r.applied("mug", 11)
}
