package ledger_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/postgres"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// moment is what a side of a product held from a time on, "" for no product.
type moment struct {
	at      time.Time
	version uint64
	name    string
}

// replay is a random history of some products, and what it made of them.
type replay struct {
	*ledger.Ledger
	now      time.Time
	sequence uint64
	sides    map[ledger.Side]map[string][]moment
	// pending are changes that are to be applied together.
	pending []ledger.Change
}

var replayed = []string{"cup", "jug", "mug"}

// step passes some time, and changes a product.
func (r *replay) step(t *rapid.T) {
	r.now = r.now.Add(time.Duration(rapid.IntRange(1, 90_000).Draw(t, "milliseconds")) * time.Millisecond)
	r.sequence++
	id := rapid.SampledFrom(replayed).Draw(t, "product")
	name := rapid.SampledFrom([]string{"", "A", "B", "C"}).Draw(t, "name")
	side := rapid.SampledFrom([]ledger.Side{ledger.CatalogSide, ledger.StripeSide}).Draw(t, "side")
	if side == ledger.CatalogSide {
		r.pending = append(r.pending, wantAt(id, name, r.sequence, r.now))
	} else {
		// A claim is no change of what Stripe holds.
		o := &catalogv1.Observed{
			Account:   "default",
			ProductId: id,
			Claim:     &catalogv1.Claim{Holder: fmt.Sprint(r.sequence)},
		}
		if name != "" {
			o.Product = &catalogv1.Product{Id: id, Name: name, Active: new(true)}
		}
		r.pending = append(r.pending, ledger.ObservedChange(o, ledger.Position{Sequence: r.sequence, Stored: r.now}))
	}
	r.sides[side][id] = append(r.sides[side][id], moment{r.now, r.sequence, name})
	if len(r.sides[ledger.CatalogSide][id]) > 0 && rapid.IntRange(0, 3).Draw(t, "late") == 0 {
		// A state that comes again, late, changes nothing.
		r.pending = append(r.pending, wantAt(id, "late", 0, r.now))
	}
	if rapid.Bool().Draw(t, "apply") {
		r.apply(t)
	}
}

// apply applies the pending changes in one transaction.
func (r *replay) apply(t *rapid.T) {
	require.NoError(t, r.Apply(context.Background(), r.pending...))
	r.pending = nil
}

// wantAt is a state of the catalog that was committed at a time. Without a name the product left the catalog.
func wantAt(id, name string, version uint64, at time.Time) ledger.Change {
	change := &catalogv1.ProductChange{
		Account:   "default",
		ProductId: id,
		Version:   version,
		Operation: catalogv1.Operation_OPERATION_DELETE,
	}
	if name != "" {
		change.Operation = catalogv1.Operation_OPERATION_UPSERT
		change.Product = &catalogv1.Product{Id: id, Name: name}
	}
	// The ledger may receive it much later.
	stored := ledger.Position{Sequence: version, Stored: at.Add(time.Minute)}
	return ledger.DesiredChange(change, stored, ledger.Entry{Product: id, At: at, Kind: "catalog_change"})
}

// held returns what a side of a product held at a time.
func (r *replay) held(side ledger.Side, id string, at time.Time) string {
	name := ""
	for _, m := range r.sides[side][id] {
		if !m.at.After(at) {
			name = m.name
		}
	}
	return name
}

// about reports whether a side held a state less than a second before or after a time, or at that time.
func (r *replay) about(side ledger.Side, id, name string, at time.Time) bool {
	if r.held(side, id, at.Add(-time.Second)) == name || r.held(side, id, at) == name {
		return true
	}
	return slices.ContainsFunc(r.sides[side][id], func(m moment) bool {
		return m.name == name && m.at.Sub(at).Abs() < time.Second
	})
}

func nameOf(s *ledger.PastState) string {
	if s == nil {
		return ""
	}
	return s.Desired.GetProduct().GetName() + s.Observed.GetProduct().GetName()
}

// at returns the names of the products of a side at a time. It reads them in pages of two.
func (r *replay) at(t *rapid.T, side ledger.Side, at time.Time) map[string]string {
	out, last := map[string]string{}, ""
	for after := ""; ; {
		next, err := r.StatesAt(context.Background(), side, at, nil, after, 2, func(s *ledger.PastState) {
			require.Greater(t, s.Product, last, "in the order of the ids")
			require.False(t, s.Since.After(at))
			require.True(t, s.Until.IsZero() || s.Until.After(at))
			last, out[s.Product] = s.Product, nameOf(s)
		})
		require.NoError(t, err)
		if after = next; after == "" {
			return out
		}
	}
}

// check compares the answers about two times with the history.
func (r *replay) check(t *rapid.T, from, to time.Time) {
	for side := range r.sides {
		before, after := r.at(t, side, from), r.at(t, side, to)
		for _, id := range replayed {
			for at, got := range map[time.Time]string{from: before[id], to: after[id]} {
				if side == ledger.CatalogSide {
					require.Equal(t, r.held(side, id, at), got, "%s of the catalog at %s", id, at)
				} else {
					require.True(t, r.about(side, id, got, at), "%s of Stripe at %s: %q", id, at, got)
				}
			}
		}
		changed := map[string]bool{}
		_, _, err := r.StateChanges(context.Background(), side, from, to, nil, "", 100, func(c ledger.StateChange) {
			require.Equal(t, []string{before[c.Product], after[c.Product]}, []string{nameOf(c.From), nameOf(c.To)})
			changed[c.Product] = true
		})
		require.NoError(t, err)
		for _, id := range replayed {
			require.True(t, changed[id] || before[id] == after[id], "%s differs and is not among the changes", id)
		}
	}
}

// checkVersions compares the kept states of the catalog with the versions of the history.
func (r *replay) checkVersions(t *rapid.T) {
	for _, id := range replayed {
		states, err := r.CatalogStates(context.Background(), id)
		require.NoError(t, err)
		for _, m := range r.sides[ledger.CatalogSide][id] {
			i := slices.IndexFunc(states, func(s *ledger.PastState) bool {
				return s.FirstVersion <= m.version && m.version <= s.LastVersion
			})
			require.GreaterOrEqual(t, i, 0, "version %d of %s", m.version, id)
			require.Equal(t, m.name, nameOf(states[i]))
		}
	}
}

func TestPastStates_ReplayAnyHistory(t *testing.T) {
	t.Parallel()
	connected := open(t, t.Context(), database(t), "connected")
	defer connected.Close()
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		r := &replay{now: noon, sides: map[ledger.Side]map[string][]moment{}}
		r.sides[ledger.CatalogSide], r.sides[ledger.StripeSide] = map[string][]moment{}, map[string][]moment{}
		r.Ledger = connected.With(ledger.Config{
			Account: fmt.Sprintf("replay%d", runs),
			Now:     func() time.Time { return r.now },
		})
		require.NoError(t, r.KnowFrom(context.Background(), noon))
		for range rapid.IntRange(1, 15).Draw(t, "steps") {
			r.step(t)
		}
		r.apply(t)
		when := rapid.Custom(func(t *rapid.T) time.Time {
			return noon.Add(time.Duration(rapid.Int64Range(0, int64(r.now.Sub(noon))).Draw(t, "after noon")))
		})
		times := []time.Time{when.Draw(t, "a time"), when.Draw(t, "a time")}
		slices.SortFunc(times, time.Time.Compare)
		r.check(t, times[0], times[1])
		r.checkVersions(t)
		// What is deleted by age is not known any more, and the rest stays.
		age := time.Duration(rapid.Int64Range(1, int64(r.now.Sub(noon))).Draw(t, "age"))
		for n := int64(1); n > 0; {
			var err error
			n, err = r.Prune(context.Background(), age)
			require.NoError(t, err)
		}
		from, err := r.KnownFrom(context.Background())
		require.NoError(t, err)
		require.WithinDuration(t, r.now.Add(-age), from, time.Millisecond)
		r.check(t, from, r.now)
	})
}

func TestForget_KeepsWhatStripeHeld(t *testing.T) {
	t.Parallel()
	l, err := ledger.OpenMigrated(t.Context(), postgres.Database{URL: database(t)}, ledger.Config{
		Account: "default",
		Now:     func() time.Time { return noon.Add(time.Hour) },
	})
	require.NoError(t, err)
	defer l.Close()
	require.NoError(t, l.Apply(t.Context(), observe(1, 0, "Found")))
	require.NoError(t, l.Forget(t.Context(), product))
	for after, want := range map[time.Duration]string{0: "", time.Minute: "Found", 2 * time.Hour: ""} {
		got := ""
		_, err := l.StatesAt(t.Context(), ledger.StripeSide, noon.Add(after), nil, "", 10,
			func(s *ledger.PastState) { got = nameOf(s) })
		require.NoError(t, err)
		require.Equal(t, want, got, "%s after noon", after)
	}
	unknown, err := l.NeverKnown(t.Context(), []string{"x", product})
	require.NoError(t, err)
	require.Equal(t, []string{"x"}, unknown)
}

func TestKnownFrom_KeepsTheFirstTime(t *testing.T) {
	t.Parallel()
	l := open(t, t.Context(), database(t), "default")
	defer l.Close()
	at, err := l.KnownFrom(t.Context())
	require.NoError(t, err)
	require.True(t, at.IsZero())
	require.NoError(t, l.KnowFrom(t.Context(), noon))
	require.NoError(t, l.KnowFrom(t.Context(), noon.Add(time.Hour)))
	at, err = l.KnownFrom(t.Context())
	require.NoError(t, err)
	require.WithinDuration(t, noon, at, 0)
}

// A row that an earlier program has stored says neither since when nor since which version it is as it is.
func TestPastStates_KnowRowsOfEarlierPrograms(t *testing.T) {
	t.Parallel()
	url := database(t)
	l := open(t, t.Context(), url, "default")
	defer l.Close()
	require.NoError(t, l.Apply(t.Context(), desire(7, 1, "Old")))
	_, err := localtest.Pool(t, url).Exec(t.Context(),
		"UPDATE driftless_ledger.product SET desired_since = DEFAULT, desired_first_version = DEFAULT")
	require.NoError(t, err)
	require.NoError(t, l.Apply(t.Context(), desire(8, 2, "Old"), desire(9, 3, "New")))
	states, err := l.CatalogStates(t.Context(), product)
	require.NoError(t, err)
	require.Len(t, states, 2)
	require.Equal(t, []uint64{7, 8, 9, 9},
		[]uint64{states[0].FirstVersion, states[0].LastVersion, states[1].FirstVersion, states[1].LastVersion})
	name := ""
	_, err = l.StatesAt(t.Context(), ledger.CatalogSide, noon.Add(-24*time.Hour), nil, "", 10,
		func(s *ledger.PastState) { name = nameOf(s) })
	require.NoError(t, err)
	require.Equal(t, "Old", name)
}
