package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// observeHold observes a product whose change push holds, or has held before if there is no hold.
func (b *bench) observeHold(id, description string, applied uint64, hold *catalogv1.Hold) {
	b.t.Helper()
	b.sequence++
	require.NoError(b.t, b.Apply(b.t.Context(), ledger.ObservedChange(&catalogv1.Observed{
		Account:   "default",
		ProductId: id,
		Version:   applied,
		Product:   &catalogv1.Product{Id: id, Name: "Mug", Description: description, Active: proto.Bool(true)},
		Hold:      hold,
	}, at(b.sequence))))
}

// desireProduct stores a desired state, and returns its version.
func (b *bench) desireProduct(id, description string) uint64 {
	b.t.Helper()
	b.sequence++
	require.NoError(b.t, b.Apply(b.t.Context(), ledger.DesiredChange(&catalogv1.ProductChange{
		Account:   "default",
		ProductId: id,
		Version:   b.sequence,
		Operation: catalogv1.Operation_OPERATION_UPSERT,
		Product:   &catalogv1.Product{Id: id, Name: "Mug", Description: description},
	}, at(b.sequence), ledger.Entry{})))
	return b.sequence
}

func heldBy(version uint64, since time.Time, rules ...string) *catalogv1.Hold {
	h := &catalogv1.Hold{Version: version, Since: timestamppb.New(since)}
	for _, r := range rules {
		h.Findings = append(h.Findings, &catalogv1.Finding{Rule: r, Message: "too much"})
	}
	return h
}

func (b *bench) state() ledger.State {
	b.t.Helper()
	p, err := b.Product(b.t.Context(), product)
	require.NoError(b.t, err)
	return p.State
}

func TestHeldProduct_IsNeverDriftAndNeverRepaired(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.syncBoth("A")
	version := b.desireProduct(product, "B")
	require.Equal(t, ledger.Pending, b.state())
	b.observeHold(product, "A", 1, heldBy(version, noon, "amount_change"))
	require.Equal(t, ledger.Held, b.state())

	b.now = b.now.Add(24 * time.Hour)
	b.findDrift()
	require.Equal(t, ledger.Held, b.state())
	require.Empty(t, b.commands)
	require.Empty(t, b.drift())
	ages, err := b.Ages(t.Context())
	require.NoError(t, err)
	require.Zero(t, ages.Unsynced, "it waits for a person, not for push")

	b.observeHold(product, "B", version, nil)
	require.Equal(t, ledger.InSync, b.state())
	require.Empty(t, b.drift())
}

func TestHeldProduct_GetsGracePeriodWhenItIsApproved(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.syncBoth("A")
	version := b.desireProduct(product, "B")
	hold := heldBy(version, noon, "amount_change")
	b.observeHold(product, "A", 1, hold)
	b.now = b.now.Add(24 * time.Hour)

	approved := proto.CloneOf(hold)
	approved.Approved = true
	b.observeHold(product, "A", 1, approved)
	require.Equal(t, ledger.Pending, b.state())
	b.findDrift()
	require.Equal(t, ledger.Pending, b.state(), "push has just been told")
	b.now = b.now.Add(2 * time.Minute)
	b.findDrift()
	require.Equal(t, ledger.Drifted, b.state(), "push had its time")
	require.Len(t, b.commands, 1)
}

func TestHeldProduct_NewerVersionIsPendingUntilItIsJudged(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.syncBoth("A")
	version := b.desireProduct(product, "B")
	b.observeHold(product, "A", 1, heldBy(version, noon, "amount_change"))
	newer := b.desireProduct(product, "C")
	require.Equal(t, ledger.Pending, b.state())
	b.observeHold(product, "A", 1, heldBy(newer, noon, "amount_change"))
	require.Equal(t, ledger.Held, b.state())
	b.desireProduct(product, "A")
	require.Equal(t, ledger.InSync, b.state(), "the catalog is as Stripe again")
}

func TestHeldProduct_RepairIsHeldAndItsDriftIsNotCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.syncBoth("A")
	b.observe("by hand", "")
	b.findDrift()
	require.Len(t, b.commands, 1)
	require.Equal(t, ledger.Repairing, b.latest().State)

	b.observeHold(product, "by hand", 1, heldBy(1, noon, "no_active_price"))
	require.Equal(t, ledger.Held, b.state())
	b.now = b.now.Add(24 * time.Hour)
	b.findDrift()
	require.Len(t, b.commands, 1, "it is not repaired by itself")
	counts, err := b.DriftCounts(t.Context())
	require.NoError(t, err)
	require.Empty(t, counts)
	listed, _, err := b.Drifts(t.Context(), ledger.DriftFilter{}, 10)
	require.NoError(t, err)
	require.Empty(t, listed)
	ages, err := b.Ages(t.Context())
	require.NoError(t, err)
	require.Zero(t, ages.Drift)

	b.observeHold(product, "by another hand", 1, heldBy(1, noon, "no_active_price"))
	require.Len(t, b.drift(), 1, "a change of others is no more drift")
	b.observeHold(product, "A", 1, nil)
	require.Equal(t, ledger.Repaired, b.latest().State)
}

func TestHeldProducts_AreCountedByRuleAndSelected(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for i, id := range []string{"bowl", "cup", "jug", "mug"} {
		version := b.desireProduct(id, "B")
		rules := [][]string{
			{"amount_change", "amount_change"}, {"amount_change", "check:margin"}, {"check:margin"}, nil,
		}[i]
		var hold *catalogv1.Hold
		if rules != nil {
			hold = heldBy(version, noon.Add(time.Duration(i)*time.Minute), rules...)
		}
		b.observeHold(id, "A", 0, hold)
	}
	counts, err := b.HeldCounts(t.Context())
	require.NoError(t, err)
	for i := range counts {
		counts[i].Since = counts[i].Since.UTC()
	}
	require.Equal(t, []ledger.HeldCount{
		{Rule: "amount_change", N: 2, Since: noon},
		{Rule: "check:margin", N: 2, Since: noon.Add(time.Minute)},
	}, counts)
	states, err := b.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[ledger.State]uint64{ledger.Held: 3, ledger.Pending: 1}, states)

	for _, x := range []struct {
		of    ledger.HeldFilter
		limit int
		want  []string
		more  bool
	}{
		{ledger.HeldFilter{}, 10, []string{"bowl", "cup", "jug"}, false},
		{ledger.HeldFilter{}, 2, []string{"bowl", "cup"}, true},
		{ledger.HeldFilter{After: "cup"}, 2, []string{"jug"}, false},
		{ledger.HeldFilter{Rule: "check"}, 10, []string{"cup", "jug"}, false},
		{ledger.HeldFilter{Rule: "check:margin"}, 10, []string{"cup", "jug"}, false},
		{ledger.HeldFilter{Rule: "check:other"}, 10, nil, false},
		{ledger.HeldFilter{Products: []string{"mug", "cup"}}, 10, []string{"cup"}, false},
	} {
		products, more, err := b.HeldProducts(t.Context(), x.of, x.limit)
		require.NoError(t, err)
		require.Equal(t, x.more, more)
		var ids []string
		for _, p := range products {
			ids = append(ids, p.ID)
			require.NotEmpty(t, p.Decisions, "with the differences")
		}
		require.Equal(t, x.want, ids, "%+v", x)
	}
}

func TestViews_ShowHeldChanges(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	version := b.desireProduct(product, "B")
	b.observeHold(product, "A", 0, heldBy(version, noon, "amount_change"))
	pool := localtest.Pool(t, b.url)
	var rules []string
	var since time.Time
	var message, state string
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT h.rules, h.since, h.findings -> 0 ->> 'message', p.state
		FROM driftless_ledger.held_changes h JOIN driftless_ledger.stripe_products p ON p.catalog_product = h.product
		WHERE h.product = $1 AND h.version = $2`, product, version).Scan(&rules, &since, &message, &state))
	require.Equal(t, []string{"amount_change"}, rules)
	require.True(t, noon.Equal(since))
	require.Equal(t, "too much", message)
	require.Equal(t, "held", state)
}

// A hold that nobody needs must end, or the product counts for its rule for ever.
func TestHeldProduct_IsSyncedWhenNothingIsLeftToDo(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.syncBoth("A")
	version := b.desireProduct(product, "B")
	hold := heldBy(version, noon, "replaced_prices")
	b.observeHold(product, "A", 1, hold)
	require.Empty(t, b.listener.notNeeded)
	b.observeHold(product, "B", 1, hold)
	require.Equal(t, ledger.InSync, b.state(), "somebody wrote the value in Stripe")
	require.Equal(t, [][]string{{product}}, b.listener.notNeeded)
}

func TestHeldProduct_IsSyncedWithoutIgnoredDrift(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.syncBoth("A")
	b.observe("by hand", "")
	b.observeHold(product, "by hand", 1, heldBy(1, noon, "replaced_prices"))
	require.Equal(t, ledger.Held, b.state())
	_, err := b.Decide(t.Context(), product, nil,
		ledger.Entry{EventID: "i1", Product: product, At: b.now, Kind: "ignored"}, ledger.Decision{}, nil)
	require.NoError(t, err)
	require.Equal(t, ledger.InSync, b.state())
	require.Equal(t, [][]string{{product, "description"}}, b.listener.notNeeded)
}
