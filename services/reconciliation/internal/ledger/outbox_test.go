package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/postgres"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// reporting is a listener that publishes an outcome for drift that is found, and one for drift that is settled.
func reporting() *listener {
	outcome := func(what string) func(*ledger.Product, []*ledger.Drift) []ledger.Message {
		return func(p *ledger.Product, drift []*ledger.Drift) []ledger.Message {
			return []ledger.Message{{
				Product:     p.ID,
				Body:        &meshv1.Outcome{Id: fmt.Sprintf("%s:%s:%d", what, p.ID, drift[0].ID), ProductId: p.ID},
				Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			}}
		}
	}
	return &listener{
		found:   outcome("found"),
		settled: outcome("settled"),
		due: func(ledger.Commands) ledger.Due {
			return ledger.Due{Messages: []ledger.Message{{
				Product: product,
				Body:    &meshv1.Command{Id: "repair"},
			}}}
		},
	}
}

// process opens a ledger as another process would.
func process(t *testing.T, url string, l ledger.Listener) *ledger.Ledger {
	t.Helper()
	out, err := ledger.OpenMigrated(t.Context(), postgres.Database{URL: url},
		ledger.Config{Account: "default", Listener: l, Now: func() time.Time { return noon }})
	require.NoError(t, err)
	t.Cleanup(out.Close)
	return out
}

// outboxURL returns a database with an empty ledger.
func outboxURL(t *testing.T) string {
	t.Helper()
	url := database(t)
	require.NoError(t, ledger.Migrate(t.Context(), url, ""))
	return url
}

// drift makes a product drift and settles it, so many times. Each leaves two messages.
func drift(t *testing.T, l *ledger.Ledger, id string, times int) {
	t.Helper()
	observe := func(revision int, name string) {
		require.NoError(t, l.Apply(t.Context(), ledger.ObservedChange(&catalogv1.Observed{
			Account:   "default",
			ProductId: id,
			Version:   10,
			Product:   &catalogv1.Product{Id: id, Name: name, Active: proto.Bool(true)},
		}, at(uint64(revision)))))
	}
	require.NoError(t, l.Apply(t.Context(), ledger.DesiredChange(&catalogv1.ProductChange{
		Account:   "default",
		ProductId: id,
		Version:   10,
		Operation: catalogv1.Operation_OPERATION_UPSERT,
		Product:   &catalogv1.Product{Id: id, Name: "A"},
	}, at(1), ledger.Entry{})))
	observe(1, "A")
	for i := range times {
		observe(2*i+2, "by hand")
		observe(2*i+3, "A")
	}
}

// stream stores messages as JetStream does: a message with a known id is not stored again.
type stream struct {
	mu       sync.Mutex
	attempts int
	ids      []string
}

func (s *stream) publish(_ context.Context, m ledger.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts++
	if !slices.Contains(s.ids, m.Body.GetId()) {
		s.ids = append(s.ids, m.Body.GetId())
	}
	return nil
}

func TestPublishOutbox_KeepsMessagesUntilTheyArePublished(t *testing.T) {
	t.Parallel()
	l := process(t, outboxURL(t), reporting())
	drift(t, l, product, 1)
	drift(t, l, "cup", 1)
	refuse := errors.New("no responders")
	var s stream
	err := l.PublishOutbox(t.Context(), func(ctx context.Context, m ledger.Message) error {
		require.NotEmpty(t, m.Traceparent)
		if m.Product == product {
			return refuse
		}
		return s.publish(ctx, m)
	})
	require.ErrorIs(t, err, refuse)
	require.ErrorContains(t, err, "product mug")
	require.Equal(t, []string{"found:cup:2", "settled:cup:2"}, s.ids, "another product does not wait")
	require.NoError(t, l.PublishOutbox(t.Context(), s.publish))
	require.Equal(t, []string{"found:cup:2", "settled:cup:2", "found:mug:1", "settled:mug:1"}, s.ids)
	require.NoError(t, l.PublishOutbox(t.Context(), s.publish))
	require.Equal(t, 4, s.attempts, "nothing is left")
}

// A product's later message does not overtake one that could not be published.
func TestPublishOutbox_KeepsOrderAfterFailure(t *testing.T) {
	t.Parallel()
	l := process(t, outboxURL(t), reporting())
	drift(t, l, product, 2)
	var s stream
	refused := false
	require.Error(t, l.PublishOutbox(t.Context(), func(ctx context.Context, m ledger.Message) error {
		if !refused && len(s.ids) == 1 {
			refused = true
			return errors.New("timeout")
		}
		return s.publish(ctx, m)
	}))
	require.Equal(t, []string{"found:mug:1"}, s.ids)
	require.NoError(t, l.PublishOutbox(t.Context(), s.publish))
	require.Equal(t, []string{"found:mug:1", "settled:mug:1", "found:mug:2", "settled:mug:2"}, s.ids)
}

// A message that nobody can decode is neither lost nor hidden, and the product's other messages do not wait for it.
func TestPublishOutbox_LeavesMessageThatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	url := outboxURL(t)
	l := process(t, url, reporting())
	drift(t, l, product, 1)
	drift(t, l, "cup", 1)
	db, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close(context.WithoutCancel(t.Context())) })
	var row int64
	require.NoError(t, db.QueryRow(t.Context(), `UPDATE driftless_ledger.outbox SET payload = '\xff'
		WHERE id = (SELECT min(id) FROM driftless_ledger.outbox) RETURNING id`).Scan(&row))
	var s stream
	for range 2 {
		err := l.PublishOutbox(t.Context(), s.publish)
		var undecodable *ledger.UndecodableError
		require.ErrorAs(t, err, &undecodable)
		require.Equal(t, []int64{row}, undecodable.Rows)
		require.ErrorContains(t, err, fmt.Sprintf("row %d of driftless_ledger.outbox, about product mug, cannot be decoded: "+
			"outcome: proto:", row))
		require.ErrorContains(t, err, "delete the row")
	}
	require.ElementsMatch(t, []string{"settled:mug:1", "found:cup:2", "settled:cup:2"}, s.ids)
	require.Equal(t, 3, s.attempts, "what is left is not published")

	// A kind of a later version is not damaged: its process publishes the message.
	_, err = db.Exec(t.Context(), `ALTER TABLE driftless_ledger.outbox DROP CONSTRAINT outbox_kind_check`)
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), `UPDATE driftless_ledger.outbox SET kind = 'poem' WHERE id = $1`, row)
	require.NoError(t, err)
	err = l.PublishOutbox(t.Context(), s.publish)
	require.ErrorContains(t, err, "its kind is unknown: poem")
	require.ErrorContains(t, err, "a reconciliation of a later version publishes it; if none runs, save it")

	// A failure to publish is the more urgent error, also beside one of the database.
	drift(t, l, "jug", 1)
	refuse := errors.New("no responders")
	err = l.PublishOutbox(t.Context(), func(context.Context, ledger.Message) error { return refuse })
	require.ErrorIs(t, err, refuse)
	_, err = db.Exec(t.Context(), `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN RAISE ''disk full''; END'; CREATE TRIGGER refuse BEFORE DELETE ON driftless_ledger.outbox
		EXECUTE FUNCTION refuse()`)
	require.NoError(t, err)
	drift(t, l, "plate", 1)
	err = l.PublishOutbox(t.Context(), func(_ context.Context, m ledger.Message) error {
		if m.Product == "jug" {
			return refuse
		}
		return nil
	})
	require.ErrorIs(t, err, refuse)
	require.ErrorContains(t, err, "disk full")
}

func TestPublishOutbox_TakesOverFromProcessThatDied(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		published bool
		attempts  int
	}{
		"before it published": {false, 2},
		"after it published":  {true, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := outboxURL(t)
			dying := process(t, url, reporting())
			drift(t, dying, product, 1)
			var s stream
			if c.published {
				// It has no connection any more to delete what it has published.
				require.Error(t, dying.PublishOutbox(t.Context(), func(ctx context.Context, m ledger.Message) error {
					if s.attempts == 1 {
						return context.Canceled
					}
					dying.Close()
					return s.publish(ctx, m)
				}))
			}
			dying.Close()
			require.NoError(t, process(t, url, reporting()).PublishOutbox(t.Context(), s.publish))
			require.Equal(t, []string{"found:mug:1", "settled:mug:1"}, s.ids)
			require.Equal(t, c.attempts, s.attempts)
		})
	}
}

func TestPublishOutbox_WorksInSeveralProcesses(t *testing.T) {
	t.Parallel()
	url := outboxURL(t)
	one, other := process(t, url, reporting()), process(t, url, reporting())
	products := []string{"cup", "mug", "pen"}
	var s stream
	var running, publishing sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for _, l := range []*ledger.Ledger{one, other} {
		publishing.Go(func() {
			for ctx.Err() == nil {
				_ = l.PublishOutbox(ctx, s.publish)
			}
		})
	}
	const times = 5
	for i, id := range products {
		running.Go(func() { drift(t, []*ledger.Ledger{one, other}[i%2], id, times) })
	}
	running.Wait()
	stop()
	publishing.Wait()
	require.NoError(t, one.PublishOutbox(t.Context(), s.publish))
	require.Len(t, s.ids, 2*times*len(products))
	of := map[string][]string{}
	for _, published := range s.ids {
		what, rest, _ := strings.Cut(published, ":")
		id, row, _ := strings.Cut(rest, ":")
		of[id] = append(of[id], what+" "+row)
	}
	for _, id := range products {
		require.Len(t, of[id], 2*times)
		for pair := range slices.Chunk(of[id], 2) {
			row, isFound := strings.CutPrefix(pair[0], "found ")
			require.True(t, isFound, "in order: %v", of[id])
			require.Equal(t, "settled "+row, pair[1])
		}
	}
}

// Nothing is published about a change that was rolled back, and the listener does not learn of it.
func TestApply_StoresNoMessageOfAFailedTransaction(t *testing.T) {
	t.Parallel()
	l := reporting()
	stored := 0
	l.stored = func(s ledger.Stored) { stored += len(s.Found) }
	p := process(t, outboxURL(t), l)
	drift(t, p, product, 0)
	byHand := observe(5, 10, "by hand")
	unstorable := ledger.AuditEntry(ledger.Entry{EventID: "bad", Product: product, At: noon, Data: []byte("{")})
	require.Error(t, p.Apply(t.Context(), byHand, unstorable))
	var s stream
	require.NoError(t, p.PublishOutbox(t.Context(), s.publish))
	require.Empty(t, s.ids)
	require.Zero(t, stored)
	require.NoError(t, p.Apply(t.Context(), byHand))
	require.NoError(t, p.PublishOutbox(t.Context(), s.publish))
	require.Len(t, s.ids, 1)
	require.Equal(t, 1, stored)
	_, err := p.FindDrift(t.Context(), time.Minute, 0, func(context.Context, string) (bool, error) { return true, nil })
	require.NoError(t, err)
	require.NoError(t, p.PublishOutbox(t.Context(), s.publish))
	require.Equal(t, "repair", s.ids[1], "commands come from the same table")
}

func TestApply_RefusesMessageOfUnknownType(t *testing.T) {
	t.Parallel()
	l := reporting()
	l.found = func(p *ledger.Product, _ []*ledger.Drift) []ledger.Message {
		return []ledger.Message{{Product: p.ID, Body: &meshv1.ScanReport{Id: "1"}}}
	}
	p := process(t, outboxURL(t), l)
	drift(t, p, product, 0)
	require.ErrorContains(t, p.Apply(t.Context(), observe(5, 10, "by hand")),
		"message 1 about product mug has the unknown type *meshv1.ScanReport")
}

// A product that changes while it is confirmed is left to the next search.
func TestFindDrift_ChecksAgainWhatItConfirmed(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.syncBoth("A")
	b.desire("B")
	b.now = b.now.Add(2 * time.Minute)
	search := func(during func()) int {
		n, err := b.FindDrift(t.Context(), time.Minute, 1<<62, func(context.Context, string) (bool, error) {
			during()
			return true, nil
		})
		require.NoError(t, err)
		return n
	}
	require.Zero(t, search(func() { b.observe("A", "evt_1") }), "what was confirmed is no longer known to be true")
	require.Empty(t, b.drift())
	require.Equal(t, 1, search(func() {}))
	require.Equal(t, ledger.Repairing, b.latest().State)
}
