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
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

func TestEditWithNUL_IsRepairedLikeAnyEdit(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	r.AckCatalog()
	commands := r.Commands("mug")
	r.Observe("mug", "Mug", 1)
	r.Desire("mug", "Mug", 1)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	_, err := r.Stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.Product.Name, o.Product.Description = "M\x00ug", "wrong"
		o.Product.Metadata = map[string]string{"k\x00": "v\x00"}
		o.RecentEvents = []string{"evt_\x00"}
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, r.Mesh.Publish(t.Context(), topology.StripeSubject("default", "mug"), &meshv1.StripeChange{
		Account:    "default",
		EventId:    "evt_\x00",
		ProductId:  "mug",
		Type:       "product.updated\x00",
		ObjectId:   "mug\x00",
		Event:      []byte(`{"data":{"object":{"name":"M\u0000ug"},"previous_attributes":{"name":"Mug\u0000"}}}`),
		ReceivedAt: timestamppb.Now(),
	}))
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_DRIFTED)
	require.Eventually(t, func() bool { return commands.Load() >= 1 }, controltest.Patience, 10*time.Millisecond)
	r.Idle()
	require.Empty(t, r.Letters(`{}`))
	fields := map[string]string{}
	for _, d := range r.Drift("mug") {
		fields[d.GetDifference().GetField()] = d.GetDifference().GetStripe()
	}
	require.Regexp(t, `^M␀ug \(cleaned, sha256 \w+\)$`, fields["name"])
	require.Equal(t, "wrong", fields["description"])
	require.Contains(t, r.Kinds("mug"), "stripe_event")

	r.Observe("mug", "Mug", 1)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
}

// The number exceeds what a consumer may have in flight.
func TestPoisonMessages_DoNotStopTheAuditTrail(t *testing.T) {
	const poison = 4300
	r := controltest.New(t)
	r.Config.Logger = slog.New(slog.DiscardHandler)
	r.Config.NATS.Logger = r.Config.Logger
	r.Desire("mug", "Mug", 1)
	r.Observe("mug", "Mug", 1)
	js := r.Mesh.JetStream()
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
	case <-time.After(controltest.Patience):
		t.Fatal("not published")
	}
	r.Start()
	r.PublishOutcome("mug", "last")
	require.Eventually(t, func() bool {
		return strings.Contains(strings.Join(r.Kinds("mug"), " "), "applied")
	}, 5*controltest.Patience, 50*time.Millisecond, "the outcome after the poison is recorded")
	r.Idle()
	letters := controltest.Ask[controlv1.ListDeadLettersResponse](r, "ListDeadLetters", `{}`).GetDeadLetters()
	require.Len(t, letters, 1, "only the latest letter of a product and service stays open")
	require.Equal(t, topology.ReasonUnstorable, letters[0].GetReason())
	require.Equal(t, topology.Reconciliation, letters[0].GetService())
	require.Equal(t, controlv1.ProductState_PRODUCT_STATE_DEAD, r.State(letters[0].GetProductId()))
	require.Equal(t, controlv1.ProductState_PRODUCT_STATE_IN_SYNC, r.State("mug"))
}

// A ledger with another encoding, or with a constraint that an operator added, refuses even clean texts.
func TestFollow_MarksUnstorableProductAsDead(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	r.Observe("mug", "Mug", 1)
	r.Desire("mug", "Mug", 1)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	pool := localtest.Pool(t, r.Config.LedgerURL)
	_, err := pool.Exec(
		t.Context(),
		`ALTER TABLE driftless_ledger.product ADD CONSTRAINT no_tea CHECK (observed_json::text NOT LIKE '%tea%')`,
	)
	require.NoError(t, err)
	r.Observe("mug", "tea", 1)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_DEAD)
	r.Idle()
	require.Equal(t, []string{"reconciliation mug"}, r.Letters(`{}`))
	r.Observe("cup", "Cup", 1)
	r.Eventually("cup", controlv1.ProductState_PRODUCT_STATE_ORPHAN)
}
