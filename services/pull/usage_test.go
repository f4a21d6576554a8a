package pull_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// shop makes the product mug with n recurring prices, and returns the prices' ids.
func (r *rig) shop(n int) (prices []string) {
	r.t.Helper()
	_, err := r.admin.CreateProduct(r.t.Context(), url.Values{"id": {"mug"}, "name": {"Mug"}})
	require.NoError(r.t, err)
	for range n {
		price, err := r.admin.CreatePrice(r.t.Context(), url.Values{
			"product": {"mug"}, "currency": {"eur"}, "unit_amount": {"900"}, "recurring[interval]": {"month"},
		}, false)
		require.NoError(r.t, err)
		prices = append(prices, price)
	}
	return prices
}

func (r *rig) subscribe(price, status string) {
	r.t.Helper()
	_, err := r.admin.CreateSubscription(r.t.Context(), url.Values{"items[0][price]": {price}, "status": {status}})
	require.NoError(r.t, err)
}

func (r *rig) addPaymentLink(prices ...string) (id string) {
	r.t.Helper()
	form := url.Values{}
	for i, price := range prices {
		form.Set(fmt.Sprintf("line_items[%d][price]", i), price)
	}
	id, err := r.admin.CreatePaymentLink(r.t.Context(), form)
	require.NoError(r.t, err)
	return id
}

// count commands pull to count what uses prices, and returns the counts once there are all.
func (r *rig) count(read *meshv1.ReadUsage) map[string]*meshv1.PriceUsage {
	r.t.Helper()
	r.order(read)
	usage := &meshv1.Usage{}
	require.Eventually(r.t, func() bool {
		usage = &meshv1.Usage{}
		_, err := r.stores.Usage("default").Get(r.t.Context(), usage)
		require.NoError(r.t, err)
		for _, id := range read.GetPriceIds() {
			if p := usage.GetPrices()[id]; p == nil || p.GetAsOf().AsTime().Before(read.GetSince().AsTime()) {
				return false
			}
		}
		return true
	}, patience, 10*time.Millisecond)
	return usage.GetPrices()
}

func (r *rig) order(read *meshv1.ReadUsage) {
	r.t.Helper()
	if read.Since == nil {
		read.Since = timestamppb.Now()
	}
	if read.Until == nil {
		read.Until = timestamppb.New(time.Now().Add(patience))
	}
	require.NoError(r.t,
		r.mesh.Publish(r.t.Context(), topology.CommandSubject(topology.Pull, "default", topology.VerbReadUsage, ""),
			&meshv1.Command{Id: nuid.Next(), Account: "default", Verb: &meshv1.Command_ReadUsage{ReadUsage: read}}))
}

// commandsDone waits until pull has handled every command.
func (r *rig) commandsDone() {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		statuses, err := r.mesh.Consumers(r.t.Context())
		require.NoError(r.t, err)
		for _, s := range statuses {
			if s.Consumer == topology.PullCommand {
				return s.Pending+s.InFlight == 0
			}
		}
		return false
	}, patience, 10*time.Millisecond)
}

// calls returns how many requests of an operation the simulator got.
func (r *rig) calls(operation string) int {
	r.t.Helper()
	stats, err := r.admin.Stats(r.t.Context())
	require.NoError(r.t, err)
	return stats.Endpoints[operation].Requests
}

const (
	listSubscriptions = "GET /v1/subscriptions"
	listLinks         = "GET /v1/payment_links"
)

func TestReadUsage_CountsSubscriptionsAndPaymentLinks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	prices := r.shop(3)
	for _, status := range []string{"active", "trialing", "past_due", "unpaid", "paused"} {
		r.subscribe(prices[0], status)
	}
	for _, status := range []string{"canceled", "incomplete", "incomplete_expired"} {
		r.subscribe(prices[0], status)
	}
	r.subscribe(prices[1], "active")
	r.addPaymentLink(prices[0], prices[0], prices[1])
	r.addPaymentLink(prices[0])
	require.NoError(t,
		r.admin.EditPaymentLink(t.Context(), r.addPaymentLink(prices[0]), url.Values{"active": {"false"}}))
	r.pull(time.Hour)

	got := r.count(&meshv1.ReadUsage{PriceIds: prices})
	for i, want := range [][2]uint32{{5, 2}, {1, 1}, {0, 0}} {
		p := got[prices[i]]
		require.NotNil(t, p.GetSubscriptions().Count)
		require.NotNil(t, p.GetPaymentLinks().Count)
		require.Equal(t, want, [2]uint32{p.GetSubscriptions().GetCount(), p.GetPaymentLinks().GetCount()})
		require.False(t, p.GetSubscriptions().GetMore() || p.GetPaymentLinks().GetMore())
		require.WithinDuration(t, time.Now(), p.GetAsOf().AsTime(), patience)
	}
	require.Equal(t, 1, r.calls(listLinks), "one list serves all prices")
	require.Equal(t, 3, r.calls(listSubscriptions))
	require.Eventually(t, func() bool {
		reads, err := budget.ReadsFor(t.Context(), r.stores.Budget("default"))
		require.NoError(t, err)
		for _, p := range reads {
			if p.Purpose == budget.Usages {
				return p.Reads == 4
			}
		}
		return false
	}, patience, 10*time.Millisecond, "they count towards the read allowance")
}

func TestReadUsage_ReadsOnePagePerPrice(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	price := r.shop(1)[0]
	for range 101 {
		r.subscribe(price, "active")
	}
	for range 501 {
		r.addPaymentLink(price)
	}
	r.pull(time.Hour)
	got := r.count(&meshv1.ReadUsage{PriceIds: []string{price}})[price]
	require.Equal(t, uint32(100), got.GetSubscriptions().GetCount())
	require.True(t, got.GetSubscriptions().GetMore())
	require.Equal(t, uint32(500), got.GetPaymentLinks().GetCount())
	require.True(t, got.GetPaymentLinks().GetMore())
	require.Equal(t, 1, r.calls(listSubscriptions))
	require.Equal(t, 5, r.calls(listLinks))
}

func TestReadUsage_SaysThatALinkHasMoreItems(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	prices := r.shop(2)
	items := make([]string, 11)
	for i := range items {
		items[i] = prices[0]
	}
	r.addPaymentLink(items...)
	r.pull(time.Hour)
	got := r.count(&meshv1.ReadUsage{PriceIds: prices})
	require.Equal(t, uint32(1), got[prices[0]].GetPaymentLinks().GetCount())
	require.True(t, got[prices[1]].GetPaymentLinks().GetMore(), "the item that is not shown may have this price")
}

func TestReadUsage_SkipsWhatIsKnownOrUnwanted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	prices := r.shop(2)
	r.pull(time.Hour)
	since := timestamppb.Now()
	r.count(&meshv1.ReadUsage{PriceIds: prices[:1], Since: since})
	r.count(&meshv1.ReadUsage{PriceIds: prices, Since: since})
	require.Equal(t, 2, r.calls(listSubscriptions), "the first price was counted before")

	r.order(&meshv1.ReadUsage{PriceIds: prices, Until: timestamppb.New(time.Now().Add(-time.Second))})
	r.commandsDone()
	require.Equal(t, 2, r.calls(listSubscriptions), "nobody waits any more")

	got := r.count(&meshv1.ReadUsage{PriceIds: prices, OneTimePriceIds: prices})
	require.Equal(t, 2, r.calls(listSubscriptions), "a price that is not recurring has no subscriptions")
	require.NotNil(t, got[prices[0]].GetSubscriptions().Count)
}

func TestReadUsage_NamesTheMissingPermission(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	prices := r.shop(3)
	r.addPaymentLink(prices[0])
	fault, err := r.admin.AddFault(t.Context(), stripesim.Fault{Kind: "forbidden", Path: "/v1/subscriptions"})
	require.NoError(t, err)
	r.pull(time.Hour)
	got := r.count(&meshv1.ReadUsage{PriceIds: prices})
	for _, id := range prices {
		require.Nil(t, got[id].GetSubscriptions().Count)
		require.Equal(t, "the key may not read subscriptions (rak_subscription_read)",
			got[id].GetSubscriptions().GetUnknown())
	}
	require.Equal(t, uint32(1), got[prices[0]].GetPaymentLinks().GetCount())
	require.Equal(t, 1, r.calls(listSubscriptions), "the answer is the same for every price")

	require.NoError(t, r.admin.RemoveFault(t.Context(), fault.ID))
	_, err = r.admin.AddFault(t.Context(), stripesim.Fault{Kind: "forbidden", Path: "/v1/payment_links"})
	require.NoError(t, err)
	// An unknown count is counted again, whatever its time.
	got = r.count(&meshv1.ReadUsage{PriceIds: prices})
	require.NotNil(t, got[prices[0]].GetSubscriptions().Count)
	require.Equal(t, "the key may not read payment links (rak_payment_links_read)",
		got[prices[0]].GetPaymentLinks().GetUnknown())
}

func TestReadUsage_RepeatsFailedCalls(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	prices := r.shop(1)
	r.subscribe(prices[0], "active")
	_, err := r.admin.AddFault(t.Context(), stripesim.Fault{
		Kind:   "unavailable",
		Path:   "/v1/*",
		Count:  2,
		Method: "GET",
	})
	require.NoError(t, err)
	stop := r.pull(time.Hour)
	got := r.count(&meshv1.ReadUsage{PriceIds: prices})
	require.Equal(t, uint32(1), got[prices[0]].GetSubscriptions().GetCount())
	stop()

	_, err = r.admin.AddFault(t.Context(), stripesim.Fault{Kind: "unavailable", Path: "/v1/subscriptions"})
	require.NoError(t, err)
	r.pull(time.Hour)
	got = r.count(&meshv1.ReadUsage{PriceIds: prices})
	require.Nil(t, got[prices[0]].GetSubscriptions().Count)
	require.Contains(t, got[prices[0]].GetSubscriptions().GetUnknown(), "Stripe: ")
}

func TestReadUsage_KeepsToTheReadAllowance(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.limits.ReadAllowance = 20
	prices := r.shop(1)
	_, err := r.stores.Budget("default").CompareAndPut(t.Context(), &meshv1.Budget{
		Reads: map[string]uint64{time.Now().UTC().Format(time.DateOnly): 18},
	}, 0)
	require.NoError(t, err)
	r.pull(time.Hour)
	got := r.count(&meshv1.ReadUsage{PriceIds: prices})[prices[0]]
	require.Equal(t, "Stripe's read allowance is nearly used up", got.GetSubscriptions().GetUnknown())
	require.Equal(t, "Stripe's read allowance is nearly used up", got.GetPaymentLinks().GetUnknown())
	require.Zero(t, r.calls(listSubscriptions)+r.calls(listLinks))
}
