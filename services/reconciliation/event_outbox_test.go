package reconciliation_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/postgres"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// reader is the example program of docs/events.md.
type reader struct {
	t     *testing.T
	lines chan string
}

// newReader builds the program as the page shows it, and runs it.
func newReader(t *testing.T, url string) *reader {
	t.Helper()
	page, err := os.ReadFile("../../docs/events.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(page), "```go\n")
	require.True(t, found)
	source, _, found := strings.Cut(rest, "```\n")
	require.True(t, found)
	dir := t.TempDir()
	file, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "reader")
	require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, file).CombinedOutput()
	require.NoError(t, err, string(out))

	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), "NATS_URL="+url)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	r := &reader{t: t, lines: make(chan string, 100)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			r.lines <- lines.Text()
		}
		_, _ = io.Copy(io.Discard, stdout)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = cmd.Wait()
	})
	return r
}

// next returns what the program prints about the next events, and requires their kinds.
func (r *reader) next(kinds ...string) (lines []string) {
	r.t.Helper()
	for _, kind := range kinds {
		select {
		case line := <-r.lines:
			require.True(r.t, strings.HasPrefix(line, "driftless."+kind+".v1 mug "), "%s: %s", kind, line)
			lines = append(lines, line)
		case <-time.After(controltest.Patience):
			require.FailNow(r.t, "no event "+kind)
		}
	}
	return lines
}

// TestEvents_ReachAProgram runs the example of docs/events.md. It sees each kind once, in order, also after a crash.
func TestEvents_ReachAProgram(t *testing.T) {
	t.Parallel()
	rig := controltest.New(t)
	// Only edits of others are drift here.
	rig.Config.GracePeriod = time.Hour
	stop := rig.Start()
	program := newReader(t, rig.Config.NATS.URL)

	price := &catalogv1.Price{Id: "small", LookupKey: "small", Currency: "eur", UnitAmount: "1400"}
	mug := &catalogv1.Product{Id: "mug", Name: "Mug", Prices: []*catalogv1.Price{price}}
	rig.DesireProduct(mug, 10)
	observe := func(version uint64, edit func(*catalogv1.Observed)) {
		t.Helper()
		_, err := rig.Stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
			o.Product, o.Version = &catalogv1.Product{Id: "mug", Name: "Mug", Active: proto.Bool(true)}, version
			held := proto.CloneOf(price)
			held.Active, held.Metadata = proto.Bool(true), map[string]string{"driftless_price": "small"}
			o.Prices = []*catalogv1.ObservedPrice{{StripeId: "price_1", Price: held}}
			edit(o)
			return nil
		})
		require.NoError(t, err)
	}
	asItIs := func(*catalogv1.Observed) {}
	byHand := func(o *catalogv1.Observed) { o.Product.Name = "by hand" }
	rig.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_PENDING)
	observe(10, asItIs)
	require.Equal(t, "driftless.price.live.v1 mug small is price_1", program.next("product.live", "price.live")[1])
	observe(10, byHand)
	program.next("drift.found")
	observe(10, asItIs)
	program.next("drift.settled")

	rig.DesireProduct(&catalogv1.Product{Id: "mug", Name: "Cup", Prices: mug.GetPrices()}, 11)
	rig.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_PENDING)
	zero := []*catalogv1.Finding{{Rule: "zero_amount"}}
	hold := &catalogv1.Hold{Version: 11, Since: timestamppb.Now(), Findings: zero}
	observe(10, func(o *catalogv1.Observed) { o.Hold = hold })
	program.next("change.held")
	observe(10, func(o *catalogv1.Observed) {
		o.Hold = proto.CloneOf(hold)
		o.Hold.Approved, o.Hold.Approvals = true, []*catalogv1.Approval{{Actor: "ada"}}
	})
	require.Contains(t, program.next("change.released")[0], `"outcome":"approved","approved_by":["ada"]`)

	rig.AddDeadLetter(topology.Push, "mug", "refused_by_stripe", 11)
	program.next("change.dead")
	rig.DesireProduct(mug, 12)
	program.next("change.recovered")
	observe(12, func(o *catalogv1.Observed) { o.Hold = nil })
	// An edit is drift at once only if the ledger knows that the version was applied.
	rig.Idle()

	// NATS refuses the events while the process runs, and it ends before they are published.
	accept := rig.RefuseMessages(topology.StreamEvents)
	observe(12, byHand)
	rig.EventuallyDrift("mug", "repairing")
	stop()
	accept()
	stop = rig.Start()
	program.next("drift.found")
	stop()

	dieAfterPublishing(t, rig)
	rig.Start()
	program.next("drift.settled")
	observe(12, func(o *catalogv1.Observed) {
		o.Product.Active, o.Prices[0].Price.Active = proto.Bool(false), proto.Bool(false)
	})
	// Both the product and its price differ now.
	program.next("price.archived", "product.archived", "drift.found", "drift.found")
	requireUnique(t, rig, 14)
}

// dieAfterPublishing settles drift as a process that dies once JetStream has the event, before the ledger knows.
func dieAfterPublishing(t *testing.T, rig *controltest.Rig) {
	t.Helper()
	dying, err := ledger.OpenMigrated(t.Context(), postgres.Database{URL: rig.Config.LedgerURL},
		ledger.Config{Account: "default"})
	require.NoError(t, err)
	defer dying.Close()
	known, err := dying.Product(t.Context(), "mug")
	require.NoError(t, err)
	repaired := proto.CloneOf(known.Observed)
	repaired.Product.Name = "Mug"
	_, err = rig.Stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.Product.Name = "Mug"
		return nil
	})
	require.NoError(t, err)
	sequence, err := rig.Mesh.LastSequence(t.Context(), "KV_"+topology.BucketObserved)
	require.NoError(t, err)
	require.NoError(t, dying.Apply(t.Context(),
		ledger.ObservedChange(repaired, ledger.Position{Sequence: sequence, Stored: time.Now()})))
	expireLease(t, rig)
	published := 0
	require.Error(t, dying.PublishEvents(t.Context(), "dying",
		func(ctx context.Context, page []ledger.StoredEvent) (int, error) {
			var events []mesh.Event
			for _, e := range page {
				events = append(events,
					mesh.Event{Subject: topology.EventsSubject("default", e.Kind), ID: e.ID, Body: e.Body})
			}
			n, err := rig.Mesh.PublishEvents(ctx, events)
			require.NoError(t, err)
			published += n
			dying.Close()
			return n, nil
		}))
	require.Positive(t, published)
	expireLease(t, rig)
}

// expireLease lets another process publish at once.
func expireLease(t *testing.T, rig *controltest.Rig) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), rig.Config.LedgerURL)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), `UPDATE driftless_ledger.event_lease SET until = now() - interval '1 s'`)
	require.NoError(t, err)
}

// requireUnique requires that so many events are stored, and none of them twice.
func requireUnique(t *testing.T, rig *controltest.Rig, n int) {
	t.Helper()
	s, err := rig.Mesh.JetStream().Stream(t.Context(), topology.StreamEvents)
	require.NoError(t, err)
	seen := map[string]bool{}
	for sequence := uint64(1); sequence <= s.CachedInfo().State.LastSeq; sequence++ {
		msg, err := s.GetMsg(t.Context(), sequence)
		require.NoError(t, err)
		var e struct {
			ID string `json:"id"`
		}
		require.NoError(t, json.Unmarshal(msg.Data, &e))
		require.False(t, seen[e.ID], string(msg.Data))
		seen[e.ID] = true
	}
	require.Len(t, seen, n)
}
