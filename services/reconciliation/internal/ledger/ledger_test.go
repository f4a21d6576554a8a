package ledger_test

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/postgres"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

const product = "mug"

// noon is the time of everything, so that the order of messages cannot change times.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func desire(version, sequence uint64, name string) ledger.Change {
	change := &catalogv1.ProductChange{
		Account:   "default",
		ProductId: product,
		Version:   version,
		Operation: catalogv1.Operation_OPERATION_UPSERT,
		Product:   &catalogv1.Product{Id: product, Name: name},
	}
	entry := ledger.Entry{
		EventID: fmt.Sprintf("CATALOG:%d", sequence),
		Product: product,
		At:      noon,
		Kind:    "catalog_change",
		Version: version,
	}
	return ledger.DesiredChange(change, at(sequence), entry)
}

func observe(revision, version uint64, name string) ledger.Change {
	observed := &catalogv1.Observed{Account: "default", ProductId: product, Version: version}
	if name != "" {
		observed.Product = &catalogv1.Product{Id: product, Name: name, Active: proto.Bool(true)}
	}
	return ledger.ObservedChange(observed, at(revision))
}

// at is the position of a sequence in a stream that was created at noon and received a message a second.
func at(sequence uint64) ledger.Position {
	return ledger.Position{Sequence: sequence, Stored: noon.Add(time.Duration(sequence) * time.Second)}
}

func deadLetter(service string, version uint64) ledger.Change {
	letter := &meshv1.DeadLetter{
		Id:        fmt.Sprintf("%s-%d", service, version),
		Service:   service,
		Account:   "default",
		ProductId: product,
		Version:   version,
		LastAt:    timestamppb.New(noon),
	}
	entry := ledger.Entry{EventID: "DEAD:" + letter.GetId(), Product: product, At: noon, Kind: "dead", Version: version}
	return ledger.DeadLetterChange(letter, entry)
}

// record is an entry of the audit trail at a time after noon.
func record(kind string, after time.Duration) ledger.Change {
	entry := ledger.Entry{EventID: kind + after.String(), Product: product, At: noon.Add(after), Kind: kind}
	return ledger.AuditEntry(entry)
}

// summary is the part of a ledger that operators see.
type summary struct {
	Counts  map[ledger.State]uint64
	Steps   []string
	Since   time.Time
	Letters map[string]bool
	History map[string]int
}

// database returns the URL of an empty ledger.
func database(t testing.TB) string {
	t.Helper()
	return localtest.PostgresCopy(t, "ledger", func(url string) error {
		return ledger.Migrate(context.Background(), url, "")
	})
}

func open(t require.TestingT, ctx context.Context, base, account string) *ledger.Ledger { //nolint:revive // t first, as in tests
	return openWith(t, ctx, base, account, nil)
}

func openWith(t require.TestingT, ctx context.Context, base, account string, listener ledger.Listener) *ledger.Ledger { //nolint:revive // t first, as in tests
	l, err := ledger.OpenMigrated(ctx, postgres.Database{URL: base}, ledger.Config{
		Account:  account,
		Listener: listener,
		Now:      func() time.Time { return noon },
	})
	require.NoError(t, err)
	return l
}

func differing(t require.TestingT, ctx context.Context, l *ledger.Ledger) (products []*ledger.Product) { //nolint:revive // as above
	more, _, err := l.Differing(ctx, nil, "", 100, func(p *ledger.Product) { products = append(products, p) })
	require.NoError(t, err)
	require.False(t, more)
	return products
}

func summarize(t require.TestingT, ctx context.Context, l *ledger.Ledger) summary { //nolint:revive // as above
	out := summary{Letters: map[string]bool{}, History: map[string]int{}}
	var err error
	out.Counts, err = l.Counts(ctx)
	require.NoError(t, err)
	for _, p := range differing(t, ctx, l) {
		out.Since = p.DiffersSince.UTC()
		for _, s := range p.Steps() {
			out.Steps = append(out.Steps, s.String())
		}
	}
	letters, err := l.DeadLetters(ctx, ledger.Letters{}, 100)
	require.NoError(t, err)
	for _, letter := range letters {
		out.Letters[letter.GetId()] = true
	}
	entries, err := l.History(ctx, product, 1000)
	require.NoError(t, err)
	for _, e := range entries {
		out.History[e.EventID]++
	}
	return out
}

// Streams redeliver, and consumers process several messages at once. The ledger's final state must not depend on it.
func TestApply_IgnoresOrderAndRepetition(t *testing.T) {
	t.Parallel()
	base := database(t)
	ctx := t.Context()
	connected := open(t, ctx, base, "connected")
	defer connected.Close()
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		var messages []ledger.Change
		names := rapid.SampledFrom([]string{"A", "B"})
		for i := range rapid.IntRange(0, 4).Draw(t, "desired") {
			version := rapid.Uint64Range(1, 4).Draw(t, "desired version")
			messages = append(messages, desire(version, uint64(i+1), names.Draw(t, "desired name")))
		}
		// The applied version never decreases, because push writes OBSERVED by compare-and-set.
		var applied uint64
		for i := range rapid.IntRange(0, 4).Draw(t, "observed") {
			applied = max(applied, rapid.Uint64Range(0, 4).Draw(t, "applied"))
			messages = append(messages,
				observe(uint64(i+1), applied, rapid.SampledFrom([]string{"", "A", "B"}).Draw(t, "observed name")))
		}

		account := func() string { runs++; return fmt.Sprintf("account%d", runs) }
		reopen := func(account string) *ledger.Ledger {
			return connected.With(ledger.Config{Account: account, Now: func() time.Time { return noon }})
		}
		inOrder := reopen(account())
		for _, m := range messages {
			require.NoError(t, inOrder.Apply(ctx, m))
		}
		otherwise := reopen(account())
		delivered := append(rapid.Permutation(messages).Draw(t, "order"), drawn(t, messages)...)
		for len(delivered) > 0 {
			n := rapid.IntRange(1, len(delivered)).Draw(t, "together")
			require.NoError(t, otherwise.Apply(ctx, delivered[:n]...))
			delivered = delivered[n:]
		}
		want, got := summarize(t, ctx, inOrder), summarize(t, ctx, otherwise)
		// A difference counts as external only if the desired state is known before it.
		for _, s := range []summary{want, got} {
			if n := s.Counts[ledger.Drifted]; n > 0 {
				s.Counts[ledger.Pending] += n
				delete(s.Counts, ledger.Drifted)
			}
		}
		// Event ids are unique in the whole table, so the second account adds no entries.
		want.History, got.History = nil, nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("another order ended differently (-in order +otherwise):\n%s", diff)
		}
	})
}

func drawn(t *rapid.T, messages []ledger.Change) []ledger.Change {
	if len(messages) == 0 {
		return nil
	}
	var out []ledger.Change
	for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(messages)-1), 0, 5).Draw(t, "again") {
		out = append(out, messages[i])
	}
	return out
}

func TestDeadLetters_OpenAndClose(t *testing.T) {
	t.Parallel()
	const push, ingestion = "push", "ingestion"
	for name, c := range map[string]struct {
		messages []ledger.Change
		state    ledger.State
		open     []string
	}{
		"stays open": {
			[]ledger.Change{desire(10, 1, "A"), deadLetter(push, 10)}, ledger.Dead, []string{"push-10"},
		},
		"arrives before its change": {
			[]ledger.Change{deadLetter(push, 10), desire(10, 1, "A")}, ledger.Dead, []string{"push-10"},
		},
		"is closed by a newer version": {
			[]ledger.Change{desire(10, 1, "A"), deadLetter(push, 10), desire(11, 2, "B")}, ledger.Pending, nil,
		},
		"arrives after the newer version that closes it": {
			[]ledger.Change{desire(10, 1, "A"), desire(11, 2, "B"), deadLetter(push, 10)}, ledger.Pending, nil,
		},
		"is closed if its version is applied after all": {
			[]ledger.Change{desire(10, 1, "A"), deadLetter(push, 10), observe(1, 10, "A")}, ledger.InSync, nil,
		},
		"arrives after its version was applied": {
			[]ledger.Change{desire(10, 1, "A"), observe(1, 10, "A"), deadLetter(push, 10)}, ledger.InSync, nil,
		},
		"is not closed by an older version's success": {
			[]ledger.Change{desire(9, 1, "A"), deadLetter(ingestion, 10), observe(1, 9, "A")},
			ledger.Dead,
			[]string{"ingestion-10"},
		},
		"of ingestion outlives an older version": {
			[]ledger.Change{desire(9, 1, "A"), deadLetter(ingestion, 20), desire(10, 2, "B")},
			ledger.Dead,
			[]string{"ingestion-20"},
		},
		"of ingestion is closed by a newer version": {
			[]ledger.Change{desire(9, 1, "A"), deadLetter(ingestion, 20), desire(21, 2, "B")}, ledger.Pending, nil,
		},
		"of ingestion outlives push's older letter": {
			[]ledger.Change{desire(10, 1, "A"), deadLetter(ingestion, 20), deadLetter(push, 10), desire(11, 2, "B")},
			ledger.Dead,
			[]string{"ingestion-20"},
		},
		"that is redelivered after it was closed stays closed": {
			[]ledger.Change{desire(10, 1, "A"), deadLetter(push, 10), desire(11, 2, "B"), deadLetter(push, 10)},
			ledger.Pending,
			nil,
		},
		"replaces the older one": {
			[]ledger.Change{desire(10, 1, "A"), deadLetter(push, 10), deadLetter(push, 12)},
			ledger.Dead,
			[]string{"push-12"},
		},
		"without version stays open": {
			[]ledger.Change{desire(10, 1, "A"), observe(1, 10, "A"), deadLetter(push, 0)},
			ledger.Dead,
			[]string{"push-0"},
		},
		"without version outlives a newer version and its sync": {
			[]ledger.Change{desire(10, 1, "A"), deadLetter(push, 0), desire(11, 2, "A"), observe(1, 11, "A")},
			ledger.Dead,
			[]string{"push-0"},
		},
		"without version does not prevent drift": {
			[]ledger.Change{desire(10, 1, "A"), deadLetter(push, 0), desire(11, 2, "B")},
			ledger.Pending,
			[]string{"push-0"},
		},
		"without version of an unknown product": {
			[]ledger.Change{deadLetter(push, 0)}, ledger.Dead, []string{"push-0"},
		},
		"without version stays open beside one with a version": {
			[]ledger.Change{desire(10, 1, "A"), deadLetter(push, 0), deadLetter(push, 10), deadLetter(ingestion, 0)},
			ledger.Dead,
			[]string{"push-0", "push-10", "ingestion-0"},
		},
		"without version outlives one with a version": {
			[]ledger.Change{desire(10, 1, "A"), deadLetter(push, 10), deadLetter(push, 0), observe(1, 10, "A")},
			ledger.Dead,
			[]string{"push-0"},
		},
		"without version is closed by a later success": {
			[]ledger.Change{
				desire(10, 1, "A"), observe(1, 10, "A"), deadLetter(push, 0), deadLetter(ingestion, 0),
				record("applied", time.Second),
			}, ledger.InSync, nil,
		},
		"without version arrives after the later success": {
			[]ledger.Change{
				desire(10, 1, "A"), observe(1, 10, "A"), record("applied", time.Second),
				deadLetter(push, 0),
			},
			ledger.InSync, nil,
		},
		"without version is not closed by an earlier success": {
			[]ledger.Change{
				desire(10, 1, "A"), observe(1, 10, "A"), deadLetter(push, 0),
				record("applied", -time.Second),
			},
			ledger.Dead,
			[]string{"push-0"},
		},
		"without version is not closed by an event": {
			[]ledger.Change{
				desire(10, 1, "A"), observe(1, 10, "A"), deadLetter(push, 0),
				record("confirmed", time.Second),
			},
			ledger.Dead,
			[]string{"push-0"},
		},
		"without version is closed by an operator": {
			[]ledger.Change{deadLetter(push, 0), record("ordered", time.Second)}, ledger.Left, nil,
		},
		"without version stays closed if redelivered": {
			[]ledger.Change{deadLetter(push, 0), record("ordered", time.Second), deadLetter(push, 0)}, ledger.Left, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := open(t, t.Context(), database(t), "default")
			defer l.Close()
			for _, m := range c.messages {
				require.NoError(t, l.Apply(t.Context(), m))
			}
			want := map[string]bool{}
			for _, id := range c.open {
				want[id] = true
			}
			got := summarize(t, t.Context(), l)
			together := open(t, t.Context(), database(t), "default")
			defer together.Close()
			require.NoError(t, together.Apply(t.Context(), c.messages...))
			require.Equal(t, got, summarize(t, t.Context(), together), "in one transaction it ends as in several")
			require.Equal(t, map[ledger.State]uint64{c.state: 1}, got.Counts)
			require.Equal(t, want, got.Letters)
			require.Equal(t, c.state != ledger.InSync && c.state != ledger.Left, len(differing(t, t.Context(), l)) == 1,
				"a dead product is among those that differ")
			for id, n := range got.History {
				require.Equal(t, 1, n, id)
			}
		})
	}
}

func TestDrop_ReportsClosedLettersOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	var closed []string
	l := openWith(t, ctx, database(t), "default", &listener{stored: func(s ledger.Stored) {
		for _, letter := range s.Closed {
			closed = append(closed, letter.GetId())
		}
	}})
	defer l.Close()
	requireClosed := func(want ...string) {
		t.Helper()
		require.ElementsMatch(t, want, closed)
		closed = nil
	}
	drop := func(service string, version uint64) bool {
		letter := &meshv1.DeadLetter{Id: fmt.Sprintf("%s-%d", service, version), ProductId: product, Version: version}
		dropped, err := l.Drop(ctx, letter, ledger.Entry{
			EventID: "DROP:" + letter.GetId(),
			Product: product,
			At:      noon,
			Kind:    "dropped",
		})
		require.NoError(t, err)
		return dropped
	}
	for _, m := range []ledger.Change{
		desire(10, 1, "A"), deadLetter("push", 10), deadLetter("push", 0),
		deadLetter("pull", 0),
	} {
		require.NoError(t, l.Apply(ctx, m))
	}
	requireClosed()
	require.NoError(t, l.Apply(ctx, deadLetter("ingestion", 20)))
	requireClosed("push-10")
	require.NoError(t, l.Apply(ctx, record("applied", time.Second)))
	requireClosed("push-0", "pull-0")

	require.True(t, drop("ingestion", 20))
	requireClosed("ingestion-20")
	require.False(t, drop("ingestion", 20), "it is closed already")
	requireClosed()
	got := summarize(t, ctx, l)
	require.Equal(t, map[ledger.State]uint64{ledger.Pending: 1}, got.Counts, "as if the letter had never come")
	require.Equal(t, 1, got.History["DROP:ingestion-20"])
	require.NoError(t, l.Apply(ctx, deadLetter("ingestion", 20)))
	require.Equal(t, map[ledger.State]uint64{ledger.Pending: 1}, summarize(t, ctx, l).Counts,
		"a dropped letter that comes again stays dropped")

	require.NoError(t, l.Apply(ctx, desire(30, 2, "B")))
	require.NoError(t, l.Apply(ctx, deadLetter("push", 25)))
	requireClosed("push-25")
}

func TestDesiredChange_RestartsGracePeriod(t *testing.T) {
	t.Parallel()
	now := noon
	due, repaired := 0, 0
	listener := &listener{
		due:    func(ledger.Commands) ledger.Due { due++; return ledger.Due{} },
		stored: func(s ledger.Stored) { repaired += len(s.Settled) },
	}
	l, err := ledger.OpenMigrated(t.Context(), postgres.Database{URL: database(t)},
		ledger.Config{Account: "default", Listener: listener, Now: func() time.Time { return now }})
	require.NoError(t, err)
	defer l.Close()
	drift := func() (found, issued int) {
		due = 0
		_, err := l.FindDrift(t.Context(), time.Minute, math.MaxUint64,
			func(context.Context, string) (bool, error) { found++; return true, nil })
		require.NoError(t, err)
		return found, due
	}
	state := func(want ledger.State) {
		require.Equal(t, map[ledger.State]uint64{want: 1}, summarize(t, t.Context(), l).Counts)
	}
	for _, m := range []ledger.Change{desire(10, 1, "A"), observe(1, 10, "A"), observe(2, 10, "by hand")} {
		require.NoError(t, l.Apply(t.Context(), m))
	}
	state(ledger.Drifted)
	found, issued := drift()
	require.Zero(t, found, "what others did is drift at once")
	require.Equal(t, 1, issued)

	require.NoError(t, l.Apply(t.Context(), desire(11, 2, "B")))
	state(ledger.Pending)
	found, issued = drift()
	require.Zero(t, found+issued, "the grace period has restarted")
	now = now.Add(2 * time.Minute)
	found, issued = drift()
	require.Equal(t, 2, found+issued)
	state(ledger.Drifted)

	change := &catalogv1.ProductChange{
		Account:   "default",
		ProductId: product,
		Version:   12,
		Operation: catalogv1.Operation_OPERATION_UPSERT,
		Product:   &catalogv1.Product{Id: product, Name: "by hand"},
	}
	require.NoError(t, l.Apply(t.Context(), ledger.DesiredChange(change, at(3), ledger.Entry{})))
	state(ledger.InSync)
	require.Equal(t, 1, repaired, "Stripe already has the desired state")
}

func TestPosition_AfterRecreatedStream(t *testing.T) {
	t.Parallel()
	l := open(t, t.Context(), database(t), "default")
	defer l.Close()
	for _, m := range []ledger.Change{desire(10, 7, "A"), observe(7, 10, "A")} {
		require.NoError(t, l.Apply(t.Context(), m))
	}
	observed := &catalogv1.Observed{
		Account:   "default",
		ProductId: product,
		Version:   10,
		Product:   &catalogv1.Product{Id: product, Name: "B"},
	}
	for _, anew := range []ledger.Position{
		{Sequence: 1, Stored: at(7).Stored.Add(-time.Minute)},
		{Sequence: 7, Stored: at(7).Stored},
	} {
		require.NoError(t, l.Apply(t.Context(), ledger.ObservedChange(observed, anew)))
		require.Equal(t, map[ledger.State]uint64{ledger.InSync: 1}, summarize(t, t.Context(), l).Counts,
			"it is older, or the same")
	}
	require.NoError(t,
		l.Apply(t.Context(), ledger.ObservedChange(observed, ledger.Position{Sequence: 1, Stored: at(8).Stored})))
	require.Equal(t, map[ledger.State]uint64{ledger.Drifted: 1}, summarize(t, t.Context(), l).Counts,
		"changed by others after its version was applied")
	require.NoError(t, l.Apply(t.Context(), desire(10, 2, "B")))
	require.Equal(t, map[ledger.State]uint64{ledger.Drifted: 1}, summarize(t, t.Context(), l).Counts,
		"stored before what is known")
}

func TestMigrate_NamesMissingGrant(t *testing.T) {
	t.Parallel()
	base := localtest.Postgres(t)
	admin := localtest.Pool(t, base)
	role := fmt.Sprintf("ledger_%d", time.Now().UnixNano())
	_, err := admin.Exec(t.Context(), "CREATE ROLE "+role+" LOGIN PASSWORD 'hidden'")
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.Exec(context.Background(), "DROP ROLE "+role)
		require.NoError(t, err)
	})
	u, err := url.Parse(base)
	require.NoError(t, err)
	u.User = url.UserPassword(role, "hidden")
	_, err = ledger.Open(t.Context(), u.String(), ledger.Config{Account: "default"})
	require.ErrorContains(t, err,
		fmt.Sprintf("GRANT CREATE ON DATABASE %q TO %q;", strings.TrimPrefix(u.Path, "/"), role))
	require.NotContains(t, err.Error(), "hidden")
}
