package control_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

// counter answers commands to count as pull does: each price gets the counts.
func counter(r *controltest.Rig,
	answer func(*meshv1.PriceUsage),
) (commands *atomic.Pointer[meshv1.ReadUsage], n *atomic.Int64) {
	commands, n = &atomic.Pointer[meshv1.ReadUsage]{}, &atomic.Int64{}
	ctx, cancel := context.WithCancel(r.T.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = mesh.Consume(ctx, r.Mesh, mesh.Worker{Service: topology.Pull, Consumer: topology.PullCommand},
			func(ctx context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
				read := msg.Body.GetReadUsage()
				if read == nil {
					return mesh.Ack()
				}
				commands.Store(read)
				n.Add(1)
				now, err := r.Mesh.Clock().Now(ctx)
				if err != nil {
					return mesh.Retry(err)
				}
				usage := &meshv1.Usage{Prices: map[string]*meshv1.PriceUsage{}}
				for _, id := range read.GetPriceIds() {
					p := &meshv1.PriceUsage{
						PriceId:   id,
						AsOf:      timestamppb.New(now.Add(-time.Second)),
						CommandId: msg.Body.GetId(),
					}
					answer(p)
					usage.Prices[id] = p
				}
				if err := r.Stores.Usage("default").Put(ctx, usage); err != nil {
					return mesh.Retry(err)
				}
				return mesh.Ack()
			})
	}()
	r.T.Cleanup(func() { cancel(); <-done })
	return commands, n
}

// archiveMug makes a product of Stripe with two prices that the catalog archives.
func archiveMug(r *controltest.Rig) {
	r.T.Helper()
	r.ObserveWhole("mug", 1, "price_1", "price_1", "price_2")
	require.NoError(r.T, r.Mesh.Publish(r.T.Context(), topology.CatalogSubject("default", topology.Live, "mug"),
		&catalogv1.ProductChange{
			Account: "default", ProductId: "mug", Version: 2, Operation: catalogv1.Operation_OPERATION_DELETE,
		}, mesh.WithVersion(2)))
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_PENDING)
}

func usageOf(t *testing.T, plan *controlv1.PlanResponse) []*meshv1.PriceUsage {
	t.Helper()
	require.Len(t, plan.GetProducts(), 1)
	var out []*meshv1.PriceUsage
	for _, c := range plan.GetProducts()[0].GetChanges() {
		out = append(out, c.GetUsage()...)
	}
	return out
}

func TestPlan_CountsTheUsesOfPricesThatGo(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	r.Config.GracePeriod = time.Hour
	r.Start()
	archiveMug(r)
	command, n := counter(r, func(p *meshv1.PriceUsage) {
		p.Subscriptions = &meshv1.UsageCount{Count: proto.Uint32(100), More: true}
		p.PaymentLinks = &meshv1.UsageCount{Count: proto.Uint32(0)}
	})
	require.Empty(t, usageOf(t, controltest.Ask[controlv1.PlanResponse](r, "Plan", `{}`)), "nobody asked")
	require.Zero(t, n.Load())

	for range 2 {
		usage := usageOf(t, controltest.Ask[controlv1.PlanResponse](r, "Plan", `{"usage":true}`))
		require.Len(t, usage, 2)
		for i, id := range []string{"price_1", "price_2"} {
			require.Equal(t, id, usage[i].GetPriceId())
			require.Equal(t, uint32(100), usage[i].GetSubscriptions().GetCount())
			require.True(t, usage[i].GetSubscriptions().GetMore())
			require.NotNil(t, usage[i].GetPaymentLinks().Count)
			require.NotNil(t, usage[i].GetAsOf())
		}
		require.EqualValues(t, 1, n.Load(), "a count of the last minute serves again")
	}
	read := command.Load()
	require.ElementsMatch(t, []string{"price_1", "price_2"}, read.GetPriceIds())
	require.ElementsMatch(t, []string{"price_1", "price_2"}, read.GetOneTimePriceIds(), "they are not recurring")
	require.Equal(t, 80*time.Second, read.GetUntil().AsTime().Sub(read.GetSince().AsTime()))

	// A count that is older than a minute is made again.
	usage := &meshv1.Usage{}
	_, err := r.Stores.Usage("default").Get(t.Context(), usage)
	require.NoError(t, err)
	usage.Prices["price_2"].AsOf = timestamppb.New(time.Now().Add(-2 * time.Minute))
	require.NoError(t, r.Stores.Usage("default").Put(t.Context(), usage))
	controltest.Ask[controlv1.PlanResponse](r, "Plan", `{"usage":true}`)
	require.EqualValues(t, 2, n.Load())
	require.Equal(t, []string{"price_2"}, command.Load().GetPriceIds())
}

func TestPlan_SaysWhyUsesAreUnknown(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	r.Config.GracePeriod = time.Hour
	r.Start()
	archiveMug(r)
	_, n := counter(r, func(p *meshv1.PriceUsage) {
		p.Subscriptions = &meshv1.UsageCount{Unknown: "the key may not read subscriptions (rak_subscription_read)"}
		p.PaymentLinks = &meshv1.UsageCount{Count: proto.Uint32(2)}
	})
	for i := range 2 {
		usage := usageOf(t, controltest.Ask[controlv1.PlanResponse](r, "Plan", `{"usage":true}`))
		require.Nil(t, usage[0].GetSubscriptions().Count, "unknown is never 0")
		require.Contains(t, usage[0].GetSubscriptions().GetUnknown(), "rak_subscription_read")
		require.Equal(t, uint32(2), usage[0].GetPaymentLinks().GetCount())
		require.EqualValues(t, i+1, n.Load(), "an unknown count is asked for again: the key may have changed")
	}

	controltest.Ask[controlv1.PauseResponse](r, "Pause", `{"services":["pull"]}`)
	usage := usageOf(t, controltest.Ask[controlv1.PlanResponse](r, "Plan", `{"usage":true}`))
	require.Contains(t, usage[0].GetSubscriptions().GetUnknown(), "is paused")
	require.Contains(t, usage[0].GetPaymentLinks().GetUnknown(), "is paused")
	require.EqualValues(t, 2, n.Load(), "no command waits for the resume")
}

func TestPlan_DoesNotWaitForeverForUses(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	r.Config.GracePeriod = time.Hour
	r.Start()
	archiveMug(r)
	usage := usageOf(t, controltest.Ask[controlv1.PlanResponse](r, "Plan", `{"usage":true}`))
	require.Len(t, usage, 2)
	require.Contains(t, usage[0].GetSubscriptions().GetUnknown(), "did not answer within 20s")
	require.Nil(t, usage[0].GetSubscriptions().Count)
	require.Nil(t, usage[0].GetAsOf())
}
