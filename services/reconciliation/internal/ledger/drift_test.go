package ledger_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/postgres"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// bench is a ledger with a clock, and the commands that it has issued.
type bench struct {
	*ledger.Ledger
	t        *testing.T
	now      time.Time
	sequence uint64
	commands []ledger.Commands
	cannot   string
	listener listener
	rules    *catalog.Policy
	extras   ledger.Extras
	url      string
}

func newBench(t *testing.T, policy map[string]catalog.Rule) *bench {
	t.Helper()
	return newBenchWith(t, policy, "")
}

func newBenchWith(t *testing.T, policy map[string]catalog.Rule, extras ledger.Extras) *bench {
	t.Helper()
	b := &bench{t: t, now: noon}
	b.listener.due = func(o ledger.Commands) ledger.Due {
		b.commands = append(b.commands, o)
		return ledger.Due{Cannot: b.cannot}
	}
	b.url, b.extras = database(t), extras
	b.restart(policy)
	t.Cleanup(func() { b.Close() })
	return b
}

// restart opens the ledger again with a policy.
func (b *bench) restart(policy map[string]catalog.Rule) {
	b.t.Helper()
	if b.Ledger != nil {
		b.Close()
	}
	var err error
	b.rules, err = catalog.NewPolicy(catalog.Repair, policy)
	require.NoError(b.t, err)
	b.Ledger, err = ledger.OpenMigrated(b.t.Context(), postgres.Database{URL: b.url}, ledger.Config{
		Account:  "default",
		Policy:   b.rules,
		Extras:   b.extras,
		Listener: &b.listener,
		Now:      func() time.Time { return b.now },
	})
	require.NoError(b.t, err)
}

func (b *bench) syncBoth(description string) {
	b.t.Helper()
	b.desire(description)
	b.observe(description, "")
}

func (b *bench) desire(description string) {
	b.t.Helper()
	b.sequence++
	change := &catalogv1.ProductChange{
		Account:   "default",
		ProductId: product,
		Version:   b.sequence,
		Operation: catalogv1.Operation_OPERATION_UPSERT,
		Product:   &catalogv1.Product{Id: product, Name: "Mug", Description: description},
	}
	require.NoError(b.t, b.Apply(b.t.Context(), ledger.DesiredChange(change, at(b.sequence), ledger.Entry{})))
}

// observe observes a description in Stripe at the latest version, with the event that reported it.
func (b *bench) observe(description, event string) {
	b.t.Helper()
	version := b.sequence
	p, err := b.Product(b.t.Context(), product)
	require.NoError(b.t, err)
	if p != nil {
		version = p.Desired.GetVersion()
	}
	b.sequence++
	observed := &catalogv1.Observed{
		Account:   "default",
		ProductId: product,
		Version:   version,
		Product:   &catalogv1.Product{Id: product, Name: "Mug", Description: description, Active: proto.Bool(true)},
	}
	if event != "" {
		observed.RecentEvents = []string{event}
	}
	require.NoError(b.t, b.Apply(b.t.Context(), ledger.ObservedChange(observed, at(b.sequence))))
}

func (b *bench) findDrift() {
	b.t.Helper()
	_, err := b.FindDrift(b.t.Context(), time.Minute, math.MaxUint64,
		func(context.Context, string) (bool, error) { return true, nil })
	require.NoError(b.t, err)
}

func (b *bench) drift() []*ledger.Drift {
	b.t.Helper()
	drift, more, err := b.Drifts(b.t.Context(), ledger.DriftFilter{Products: []string{product}, Settled: true}, 100)
	require.NoError(b.t, err)
	require.False(b.t, more)
	return drift
}

func (b *bench) latest() *ledger.Drift {
	b.t.Helper()
	require.NotEmpty(b.t, b.drift())
	return b.drift()[0]
}

func TestDrift_IsOpenedRepairedAndSettled(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.syncBoth("A")
	require.Empty(t, b.drift())
	b.observe("by hand", "")
	d := b.latest()
	require.Equal(t,
		catalog.Difference{Kind: catalog.FieldDiffers, Field: "description", Catalog: "A", Stripe: "by hand"},
		d.Difference)
	require.Equal(t, ledger.Found, d.State)
	require.Equal(t, noon, d.Since.UTC())
	b.findDrift()
	require.Equal(t, []ledger.Commands{{Repair: true}}, b.commands)
	require.Equal(t, ledger.Repairing, b.latest().State)
	b.now = b.now.Add(time.Second)
	b.findDrift()
	require.Len(t, b.commands, 1, "the repair has its time")
	b.observe("A", "")
	d = b.latest()
	require.Equal(t, ledger.Repaired, d.State)
	require.Equal(t, b.now, d.SettledAt.UTC())
	counts, err := b.DriftCounts(t.Context())
	require.NoError(t, err)
	require.Empty(t, counts)
}

func TestDrift_ExcludesClaimedAndUnappliedProducts(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.syncBoth("A")
	b.desire("B")
	require.Empty(t, b.drift())
	b.now = b.now.Add(59 * time.Second)
	b.findDrift()
	require.Empty(t, b.drift())
}

func TestCause_IsTheEventInAnyOrder(t *testing.T) {
	t.Parallel()
	for name, eventFirst := range map[string]bool{"event first": true, "difference first": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			b.syncBoth("A")
			event := func(id, cause string) {
				data, err := ledger.EncodeData(&controlv1.HistoryEntry{CausedBy: cause, StripeEventId: id})
				require.NoError(t, err)
				require.NoError(t,
					b.Apply(t.Context(),
						ledger.EventEntry(ledger.Entry{
							EventID: "STRIPE:default:" + id,
							Product: product,
							At:      b.now,
							Kind:    "stripe_event",
							Data:    data,
						}, id)))
			}
			if eventFirst {
				event("evt_1", "dashboard")
			}
			b.observe("by hand", "evt_1")
			if !eventFirst {
				require.Equal(t, "unknown", b.latest().CausedBy)
				event("evt_other", "api_key")
				require.Equal(t, "unknown", b.latest().CausedBy)
				event("evt_1", "dashboard")
			}
			require.Equal(t, "dashboard", b.latest().CausedBy)
			require.Equal(t, "evt_1", b.latest().EventID)
			event("evt_2", "driftless")
			b.observe("A", "")
			b.observe("again", "evt_2")
			require.Equal(t, "unknown", b.latest().CausedBy, "a call of Driftless's own is no cause")
		})
	}
}

// The event is recorded after the transaction that opens the drift has searched for it, and before it commits.
func TestCause_IsFoundForConcurrentEvent(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.syncBoth("A")
	data, err := ledger.EncodeData(&controlv1.HistoryEntry{CausedBy: "dashboard", StripeEventId: "evt_1"})
	require.NoError(t, err)
	b.listener.found = func(*ledger.Product, []*ledger.Drift) []ledger.Message {
		require.NoError(t, b.Apply(t.Context(),
			ledger.EventEntry(
				ledger.Entry{
					EventID: "STRIPE:default:evt_1",
					Product: product,
					At:      b.now,
					Kind:    "stripe_event",
					Data:    data,
				}, "evt_1")))
		return nil
	}
	b.observe("by hand", "evt_1")
	require.Equal(t, "dashboard", b.latest().CausedBy)
	require.Equal(t, "evt_1", b.latest().EventID)
}

// Another system writes its value each time Driftless has written the catalog's.
func TestRounds_RequireDecisionAfterLimit(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]catalog.Rule{"repair": {}, "write-back": {Owner: catalog.OwnerStripe}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, map[string]catalog.Rule{"description": rule})
			current := "A"
			b.syncBoth(current)
			for i := range ledger.Rounds {
				theirs := fmt.Sprintf("theirs %d", i)
				if rule.Owner == catalog.OwnerStripe {
					b.observe("theirs", "")
					b.findDrift()
					require.Equal(t, ledger.Repairing, b.latest().State)
					b.desire("theirs")
					require.Equal(t, ledger.WrittenBack, b.latest().State)
					b.observe("theirs", "")
					// The application writes its own value again.
					b.desire(current)
					b.observe("theirs", "")
					b.now = b.now.Add(2 * time.Minute)
					b.findDrift()
				} else {
					b.observe(theirs, "")
					b.findDrift()
					require.Equal(t, ledger.Repairing, b.latest().State)
					b.observe(current, "")
					require.Equal(t, ledger.Repaired, b.latest().State)
				}
				b.now = b.now.Add(time.Minute)
			}
			given := len(b.commands)
			if rule.Owner != catalog.OwnerStripe {
				b.observe("theirs", "")
			}
			require.Equal(t, ledger.Waiting, b.latest().State)
			require.Contains(t, b.latest().Detail, "two sides keep overwriting each other")
			b.now = b.now.Add(2 * time.Hour)
			b.findDrift()
			require.Len(t, b.commands, given, "nothing is done")
			p, err := b.Product(t.Context(), product)
			require.NoError(t, err)
			require.Equal(t, ledger.Drifted, p.State)
			require.Empty(t, p.Steps(), "the field is left alone")

			decided, err := b.Decide(t.Context(), product, nil,
				ledger.Entry{EventID: "d1" + name, Product: product, At: b.now, Kind: "resolved"},
				ledger.Decision{Keep: ledger.CatalogSide}, nil)
			require.NoError(t, err)
			require.Len(t, decided, 1)
			b.findDrift()
			require.Equal(t, ledger.Commands{Repair: true, Overwrite: []string{"description"}},
				b.commands[len(b.commands)-1])
			b.observe(current, "")
			b.observe("theirs", "")
			require.Equal(t, ledger.Found, b.latest().State, "the rounds count from zero again")
		})
	}
}

// TestDrift_WritesEveryEditOfOneSideBack: several edits of one field in the dashboard are no conflict, however many,
// and whether or not one is written back before the next.
func TestDrift_WritesEveryEditOfOneSideBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]catalog.Rule{"description": {Owner: catalog.OwnerStripe}})
	b.syncBoth("A")
	for i := range 3 * ledger.Rounds {
		theirs := fmt.Sprintf("theirs %d", i)
		b.now = b.now.Add(time.Minute)
		b.observe(theirs, "")
		b.findDrift()
		require.Equal(t, ledger.Repairing, b.latest().State, theirs)
		b.desire(theirs)
		require.Equal(t, ledger.WrittenBack, b.latest().State)
		b.observe(theirs, "")
	}
	for i := range 3 {
		b.observe(fmt.Sprintf("quick %d", i), "")
		b.findDrift()
		require.Len(t, b.commands, 3*ledger.Rounds+1+i, "each edit is ordered at once")
	}
	b.desire("quick 0")
	b.findDrift()
	require.Len(t, b.commands, 3*ledger.Rounds+4, "the first order is carried out, and the others were superseded")
	require.Equal(t, []string{"description"}, b.commands[len(b.commands)-1].WriteBack)
	b.desire("quick 2")
	b.observe("quick 2", "")
	require.Equal(t, ledger.WrittenBack, b.latest().State)
}

// A repair of one field must not overwrite the value of another one that a person has decided to keep.
func TestDecide_KeptValueIsLeftByRepairs(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.syncBoth("A")
	b.observeBeside("theirs", "Their mug")
	b.now = b.now.Add(2 * time.Minute)
	b.findDrift()
	decided, err := b.Decide(t.Context(), product, []string{"description"},
		ledger.Entry{EventID: "kept", Product: product, At: b.now, Kind: "resolved"},
		ledger.Decision{Keep: ledger.StripeSide}, nil)
	require.NoError(t, err)
	require.Len(t, decided, 1)
	b.now = b.now.Add(time.Hour)
	b.findDrift()
	require.Equal(t, ledger.Commands{Repair: true, Leave: []string{"description"}, WriteBack: []string{"description"}},
		b.commands[len(b.commands)-1])
}

func TestDecide_IgnoredDriftReopensOnChange(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.syncBoth("A")
	b.observe("by hand", "")
	_, err := b.Decide(t.Context(), product, []string{"description"},
		ledger.Entry{EventID: "i1", Product: product, At: b.now, Kind: "ignored"},
		ledger.Decision{}, nil)
	require.NoError(t, err)
	p, err := b.Product(t.Context(), product)
	require.NoError(t, err)
	require.Equal(t, ledger.InSync, p.State)
	b.now = b.now.Add(time.Hour)
	b.findDrift()
	require.Empty(t, b.commands)
	b.observe("by another hand", "")
	require.Equal(t, ledger.Found, b.latest().State)
	b.now = b.now.Add(time.Hour)
	b.findDrift()
	require.Len(t, b.commands, 1)
}

func TestAges_ExcludeReportedAndIgnoredDrift(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]catalog.Rule{
		"repaired":     {},
		"written back": {Owner: catalog.OwnerStripe},
		"reported":     {Action: catalog.Report},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, map[string]catalog.Rule{"description": rule})
			age := func() time.Time {
				ages, err := b.Ages(t.Context())
				require.NoError(t, err)
				return ages.Drift.UTC()
			}
			b.syncBoth("A")
			b.observe("by hand", "")
			b.findDrift()
			require.Equal(t, name == "reported", age().IsZero())
			decide := func(side ledger.Side) {
				_, err := b.Decide(t.Context(), product, nil,
					ledger.Entry{EventID: "decision" + string(side), Product: product, At: noon, Kind: "resolved"},
					ledger.Decision{Keep: side}, nil)
				require.NoError(t, err)
			}
			decide("")
			require.True(t, age().IsZero())
			decide(ledger.CatalogSide)
			require.Equal(t, noon, age(), "an operator has decided that it is settled")
		})
	}
}

func TestDrift_WaitsIfWriteBackIsImpossible(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]catalog.Rule{"description": {Owner: catalog.OwnerStripe}})
	b.syncBoth("A")
	b.observe("theirs", "")
	b.cannot = "too long for the catalog"
	b.findDrift()
	require.Equal(t, ledger.Waiting, b.latest().State)
	require.Equal(t, "too long for the catalog", b.latest().Detail)
}

func TestExtras_FollowSetting(t *testing.T) {
	t.Parallel()
	for extras, want := range map[string][]ledger.Commands{
		"ignore":  nil,
		"report":  nil,
		"archive": {{Archive: true}},
		"import":  {{Import: true}},
	} {
		t.Run(extras, func(t *testing.T) {
			t.Parallel()
			b := newBenchWith(t, nil, ledger.Extras(extras))
			require.NoError(t, b.Apply(t.Context(), observe(1, 0, "Stray")))
			b.findDrift()
			require.Equal(t, want, b.commands)
			if extras == "ignore" {
				require.Empty(t, b.drift())
				return
			}
			require.Equal(t, catalog.Extra, b.latest().Kind)
			require.NoError(t, b.Apply(t.Context(), desire(10, 2, "Stray")))
			require.Equal(t, ledger.WrittenBack, b.latest().State, "the catalog has it")
		})
	}
}

// observeBeside observes a description in Stripe, and a name whose change has no known time: push, or an operator, has
// to check.
func (b *bench) observeBeside(description, name string) {
	b.t.Helper()
	p, err := b.Product(b.t.Context(), product)
	require.NoError(b.t, err)
	b.sequence++
	require.NoError(b.t, b.Apply(b.t.Context(), ledger.ObservedChange(&catalogv1.Observed{
		Account:   "default",
		ProductId: product,
		Version:   p.Desired.GetVersion(),
		Stale:     true,
		Product:   &catalogv1.Product{Id: product, Name: name, Description: description, Active: proto.Bool(true)},
	}, at(b.sequence))))
}

func (b *bench) open() map[string]ledger.DriftState {
	out := map[string]ledger.DriftState{}
	for _, d := range b.drift() {
		if d.SettledAt.IsZero() {
			out[d.Field] = d.State
		}
	}
	return out
}

func TestApply_OpensDifferenceThatArrivesAsDriftSettles(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.syncBoth("A")
	b.observe("by hand", "")
	b.findDrift()
	require.Equal(t, map[string]ledger.DriftState{"description": ledger.Repairing}, b.open())
	b.observeBeside("A", "Cup")
	require.Empty(t, b.open(), "it has its own time to arrive")
	b.now = b.now.Add(2 * time.Minute)
	b.findDrift()
	require.Equal(t, map[string]ledger.DriftState{"name": ledger.Repairing}, b.open())
	require.Equal(t, []ledger.Commands{{Repair: true}, {Repair: true}}, b.commands)
}

func TestDrift_OpensDifferenceBesideWaitingDrift(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]catalog.Rule{"description": {Owner: catalog.OwnerStripe}})
	b.cannot = "the catalog does not take it"
	b.syncBoth("A")
	b.observe("by hand", "")
	b.findDrift()
	require.Equal(t, map[string]ledger.DriftState{"description": ledger.Waiting}, b.open())
	b.observeBeside("by hand", "Cup")
	b.now = b.now.Add(2 * time.Minute)
	b.findDrift()
	require.Equal(t, map[string]ledger.DriftState{"description": ledger.Waiting, "name": ledger.Repairing}, b.open())
	require.True(t, b.commands[len(b.commands)-1].Repair)
}

// OBSERVED and CATALOG have consumers of their own, so push's record of a write-back may arrive before its version.
func TestWriteBack_IsRecognizedIfObservedArrivesFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]catalog.Rule{"description": {Owner: catalog.OwnerNewest}})
	change := func(version uint64, description string) *catalogv1.ProductChange {
		return &catalogv1.ProductChange{
			Account:   "default",
			ProductId: product,
			Version:   version,
			Operation: catalogv1.Operation_OPERATION_UPSERT,
			Product:   &catalogv1.Product{Id: product, Name: "Mug", Description: description},
		}
	}
	held := func(version uint64, description string) *catalogv1.Observed {
		return &catalogv1.Observed{
			Account:   "default",
			ProductId: product,
			Version:   version,
			Product:   &catalogv1.Product{Id: product, Name: "Mug", Description: description, Active: proto.Bool(true)},
		}
	}
	agreed := held(10, "A")
	catalog.Agree(b.rules, change(10, "A"), agreed)
	edited := held(10, "B")
	edited.Agreed = agreed.GetAgreed()
	require.NoError(t,
		b.Apply(t.Context(), ledger.DesiredChange(change(10, "A"), at(1), ledger.Entry{}),
			ledger.ObservedChange(agreed, at(2)), ledger.ObservedChange(edited, at(3))))
	b.findDrift()
	require.Equal(t, []ledger.Commands{{WriteBack: []string{"description"}}}, b.commands)
	pushed := held(20, "B")
	catalog.Agree(b.rules, change(20, "B"), pushed)
	require.NoError(t, b.Apply(t.Context(), ledger.ObservedChange(pushed, at(4))))
	require.NoError(t, b.Apply(t.Context(), ledger.DesiredChange(change(20, "B"), at(5), ledger.Entry{})))
	require.Equal(t, ledger.WrittenBack, b.latest().State)
	require.Equal(t, catalog.WriteBack, b.latest().Action)
}

// The policy says something else after a restart, and the next message brings the same values.
func TestDrift_IsDueWhenPolicyNoLongerReports(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]catalog.Rule{"description": {Action: catalog.Report}})
	b.syncBoth("A")
	b.observe("by hand", "")
	b.findDrift()
	require.Empty(t, b.commands, "it is only reported")
	b.restart(nil)
	b.observe("by hand", "")
	require.Equal(t, catalog.Repair, b.latest().Action)
	b.now = b.now.Add(time.Hour)
	b.findDrift()
	require.Equal(t, []ledger.Commands{{Repair: true}}, b.commands)
}
