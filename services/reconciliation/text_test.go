package reconciliation_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// idle waits until reconciliation has processed every message.
func (r *rig) idle() {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		for _, c := range ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetConsumers() {
			if c.GetConsumer() == topology.Reconciliation && c.GetPending()+c.GetInFlight() > 0 {
				return false
			}
		}
		return true
	}, 3*patience, 20*time.Millisecond)
}

func TestEditWithNUL_IsRepairedLikeAnyEdit(t *testing.T) {
	r := newRig(t)
	r.start()
	r.ackCatalog()
	commands := r.commands("mug")
	r.observe("mug", "Mug", 1)
	r.desire("mug", "Mug", 1)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	_, err := r.stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.Product.Name, o.Product.Description = "M\x00ug", "wrong"
		o.Product.Metadata = map[string]string{"k\x00": "v\x00"}
		o.RecentEvents = []string{"evt_\x00"}
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, r.mesh.Publish(t.Context(), topology.StripeSubject("default", "mug"), &meshv1.StripeChange{
		Account:    "default",
		EventId:    "evt_\x00",
		ProductId:  "mug",
		Type:       "product.updated\x00",
		ObjectId:   "mug\x00",
		Event:      []byte(`{"data":{"object":{"name":"M\u0000ug"},"previous_attributes":{"name":"Mug\u0000"}}}`),
		ReceivedAt: timestamppb.Now(),
	}))
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_DRIFTED)
	require.Eventually(t, func() bool { return commands.Load() >= 1 }, patience, 10*time.Millisecond)
	r.idle()
	require.Empty(t, r.letters(`{}`))
	fields := map[string]string{}
	for _, d := range r.drift("mug") {
		fields[d.GetDifference().GetField()] = d.GetDifference().GetStripe()
	}
	require.Regexp(t, `^M␀ug \(cleaned, sha256 \w+\)$`, fields["name"])
	require.Equal(t, "wrong", fields["description"])
	require.Contains(t, r.kinds("mug"), "stripe_event")

	r.observe("mug", "Mug", 1)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
}

func TestIgnoredDriftWithNUL_StaysIgnored(t *testing.T) {
	r := newRig(t)
	r.start()
	r.ackCatalog()
	r.observe("mug", "Mug", 1)
	r.desire("mug", "Mug", 1)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.observe("mug", "M\x00ug", 1)
	r.eventuallyDrift("mug", "repairing")
	ask[controlv1.IgnoreDriftResponse](r, "IgnoreDrift", `{"product_id":"mug"}`)
	_, err := r.stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.ProductUpdated++
		return nil
	})
	require.NoError(t, err)
	r.idle()
	require.Equal(t, "ignored", r.drift("mug")[0].GetState())
	// A different text is a different value, even if the cleaned texts look alike.
	r.observe("mug", "M\u2400ug", 1)
	r.eventuallyDrift("mug", "repairing")
}

// The number exceeds what a consumer may have in flight.
func TestPoisonMessages_DoNotStopTheAuditTrail(t *testing.T) {
	const poison = 4300
	r := newRig(t)
	r.cfg.Logger = slog.New(slog.DiscardHandler)
	r.cfg.NATS.Logger = r.cfg.Logger
	r.desire("mug", "Mug", 1)
	r.observe("mug", "Mug", 1)
	js := r.mesh.JetStream()
	for i := range poison {
		o := &meshv1.Outcome{
			Id:        fmt.Sprint(i),
			Account:   "default",
			ProductId: "a\x00",
			Kind:      meshv1.OutcomeKind_OUTCOME_KIND_APPLIED,
			At:        timestamppb.Now(),
		}
		data, err := proto.Marshal(o)
		require.NoError(t, err)
		_, err = js.PublishMsgAsync(&nats.Msg{
			Subject: topology.SyncSubject("default", o.GetKind(), o.GetProductId()), Data: data,
		})
		require.NoError(t, err)
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(patience):
		t.Fatal("not published")
	}
	r.start()
	r.publishOutcome("mug", "last")
	require.Eventually(t, func() bool {
		return strings.Contains(strings.Join(r.kinds("mug"), " "), "applied")
	}, 5*patience, 50*time.Millisecond, "the outcome after the poison is recorded")
	r.idle()
	letters := ask[controlv1.ListDeadLettersResponse](r, "ListDeadLetters", `{}`).GetDeadLetters()
	require.Len(t, letters, 1, "only the latest letter of a product and service stays open")
	require.Equal(t, topology.ReasonUnstorable, letters[0].GetReason())
	require.Equal(t, topology.Reconciliation, letters[0].GetService())
	require.Equal(t, controlv1.ProductState_PRODUCT_STATE_DEAD, r.state(letters[0].GetProductId()))
	require.Equal(t, controlv1.ProductState_PRODUCT_STATE_IN_SYNC, r.state("mug"))
}

// publishOutcome publishes an outcome, as push does.
func (r *rig) publishOutcome(product, id string) {
	r.t.Helper()
	o := &meshv1.Outcome{
		Id:        id,
		Account:   "default",
		ProductId: product,
		Kind:      meshv1.OutcomeKind_OUTCOME_KIND_APPLIED,
		Version:   1,
		At:        timestamppb.Now(),
	}
	require.NoError(
		r.t, r.mesh.Publish(r.t.Context(), topology.SyncSubject("default", o.GetKind(), product), o, mesh.WithID(id)),
	)
}

// A ledger with another encoding, or with a constraint that an operator added, refuses even clean texts.
func TestFollow_MarksUnstorableProductAsDead(t *testing.T) {
	r := newRig(t)
	r.start()
	r.observe("mug", "Mug", 1)
	r.desire("mug", "Mug", 1)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	pool := localtest.Pool(t, r.cfg.LedgerURL)
	_, err := pool.Exec(
		t.Context(),
		`ALTER TABLE driftless_ledger.product ADD CONSTRAINT no_tea CHECK (observed_json::text NOT LIKE '%tea%')`,
	)
	require.NoError(t, err)
	r.observe("mug", "tea", 1)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_DEAD)
	r.idle()
	require.Equal(t, []string{"reconciliation mug"}, r.letters(`{}`))
	r.observe("cup", "Cup", 1)
	r.eventually("cup", controlv1.ProductState_PRODUCT_STATE_ORPHAN)
}
