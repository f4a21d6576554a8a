package e2e_test

import (
	"context"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
	"github.com/driftless-sync/driftless/services/test/e2e/schemas"
)

// schemaSize returns the approximate number of products of each schema. scripts/test-postgres uses more.
func schemaSize(t *testing.T) int {
	t.Helper()
	text := os.Getenv("DRIFTLESS_SCHEMA_SIZE")
	if text == "" {
		return 40
	}
	size, err := strconv.Atoi(text)
	require.NoError(t, err, "DRIFTLESS_SCHEMA_SIZE")
	return size
}

// The test applies to foreign schemas every kind of change that happens to a catalog. After each change every field in
// Stripe must equal the tables, as computed without the mapping.
func TestSchemas_EveryChangeReachesStripe(t *testing.T) {
	t.Parallel()
	for _, schema := range schemas.All() {
		t.Run(schema.Name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, schema)
			compared := s.requireEqual("at the start")
			changes, err := schema.Changes()
			require.NoError(t, err)
			for _, c := range changes {
				begun := time.Now()
				compared += s.run(c)
				t.Logf("%5.1f s: %s", time.Since(begun).Seconds(), c.Title)
			}
			t.Logf("%d fields were compared over %d changes", compared, len(changes))
		})
	}
}

// shop is a foreign schema with a mesh for each of its accounts.
type shop struct {
	t      *testing.T
	schema schemas.Schema
	pool   *pgxpool.Pool
	rigs   map[string]*rig
	// last is the wanted state of Stripe at the last comparison.
	last map[string]schemas.Catalog
}

func newShop(t *testing.T, schema schemas.Schema) *shop {
	t.Helper()
	database := localtest.Postgres(t)
	s := &shop{t: t, schema: schema, pool: localtest.Pool(t, database), rigs: map[string]*rig{}}
	conn, err := s.pool.Acquire(t.Context())
	require.NoError(t, err)
	require.NoError(t, schema.Create(t.Context(), conn.Conn(), schemaSize(t)))
	conn.Release()
	if schema.Role != "" {
		require.NoError(t, schema.CreateRole(t.Context(), s.pool))
		u, err := url.Parse(database)
		require.NoError(t, err)
		u.User = url.UserPassword(schema.Role, "secret")
		database = u.String()
		t.Cleanup(func() { require.NoError(t, schema.RemoveRole(context.WithoutCancel(t.Context()), s.pool)) })
	}
	text, err := schema.File("driftless.yaml")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "driftless.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	for _, account := range schema.Accounts {
		mapping, err := schema.Config(path, account)
		require.NoError(t, err)
		publication := strings.TrimSuffix("driftless_"+account, "_")
		slot := func(r *rig) { r.slot = slotName(t.Name() + account) }
		s.rigs[account] = newRig(t, unlimited, withMapping(database, publication, mapping), slot)
	}
	return s
}

// wantedStates returns the state that Stripe must have, by account.
func (s *shop) wantedStates() map[string]schemas.Catalog {
	s.t.Helper()
	out := map[string]schemas.Catalog{}
	for account := range s.rigs {
		want, err := s.schema.Want(s.t.Context(), s.pool, account)
		require.NoError(s.t, err)
		require.NotEmpty(s.t, want)
		out[account] = want
	}
	return out
}

// requireEqual waits until nothing is in flight, then compares every field except those of the named products. It
// returns the number of fields.
func (s *shop) requireEqual(when string, without ...string) (fields int) {
	s.t.Helper()
	want := s.wantedStates()
	s.last = maps.Clone(want)
	for account, r := range s.rigs {
		want[account] = maps.Clone(want[account])
		if len(without) == 0 {
			s.waitConverged(r, when)
		}
		seen := s.seen(r)
		for _, id := range without {
			delete(want[account], id)
			delete(seen, id)
		}
		differences := schemas.Differences(want[account], seen)
		require.Empty(s.t, differences[:min(len(differences), 20)],
			"%s: %d differences after: %s", s.schema.Name, len(differences), when)
		fields += want[account].Count()
	}
	return fields
}

// waitConverged waits until the mesh reports that everything is equal. A dead letter fails the test at once, with its
// message.
func (s *shop) waitConverged(r *rig, when string) {
	s.t.Helper()
	_, err := r.ingest.WaitCaptured(s.t.Context(), connect.NewRequest(&ingestv1.WaitCapturedRequest{}))
	require.NoError(s.t, err)
	require.Eventually(s.t, func() bool {
		letters, err := r.control.ListDeadLetters(s.t.Context(),
			connect.NewRequest(&controlv1.ListDeadLettersRequest{}))
		if err != nil {
			return false
		}
		for _, l := range letters.Msg.GetDeadLetters() {
			s.t.Errorf("%s: after %s: dead letter: %s", s.schema.Name, when, l.GetMessage())
		}
		if s.t.Failed() {
			return true
		}
		status, err := r.control.GetStatus(s.t.Context(), connect.NewRequest(&controlv1.GetStatusRequest{}))
		return err == nil && status.Msg.GetPending()+status.Msg.GetDrifted() == 0
	}, patience, 50*time.Millisecond, "%s: %s", s.schema.Name, when)
	require.False(s.t, s.t.Failed())
	r.waitConvergedWithin(time.Minute)
}

func (s *shop) seen(r *rig) schemas.Catalog {
	s.t.Helper()
	seen, err := schemas.Stripe{URL: r.simURL, Key: key}.Seen(s.t.Context())
	require.NoError(s.t, err)
	return seen
}

// run changes the tables, and returns how many fields were compared afterwards.
func (s *shop) run(c schemas.Change) int {
	s.t.Helper()
	before, known := s.last, s.knownProducts()
	for _, r := range s.rigs {
		require.NoError(s.t, r.admin.ClearRequests(s.t.Context()))
	}
	_, err := s.pool.Exec(s.t.Context(), c.SQL)
	require.NoError(s.t, err, c.Title)
	switch {
	case c.Dead != "":
		s.waitSingleDeadLetter(c)
		return s.requireEqual(c.Title, c.Dead)
	case c.Reread:
		s.reread(c)
	}
	compared := s.requireEqual(c.Title)
	s.requireNothingMissed(c)
	if !c.Nothing {
		require.NotEqual(s.t, before, s.last, "the fixture's change changes no product: %s", c.Title)
		return compared
	}
	require.Equal(s.t, before, s.last, c.Title)
	require.Equal(s.t, known, s.knownProducts(), "rows that are no products are published as products: %s", c.Title)
	for _, r := range s.rigs {
		requests, err := r.admin.Requests(s.t.Context(), stripesim.RequestFilter{})
		require.NoError(s.t, err)
		require.Empty(s.t, requests, "Stripe is written to for nothing: %s", c.Title)
	}
	return compared
}

// knownProducts returns the products that CATALOG has had.
func (s *shop) knownProducts() map[string]bool {
	s.t.Helper()
	out := map[string]bool{}
	for account, r := range s.rigs {
		stream, err := r.mesh.JetStream().Stream(s.t.Context(), topology.StreamCatalog)
		require.NoError(s.t, err)
		info, err := stream.Info(s.t.Context(), jetstream.WithSubjectFilter("catalog.>"))
		require.NoError(s.t, err)
		for subject := range info.State.Subjects {
			out[account+subject[strings.LastIndexByte(subject, '.'):]] = true
		}
	}
	return out
}

// requireNothingMissed fails the test if a scheduled comparison found a change that the log should have shown. It would
// alarm an operator without a reason.
func (s *shop) requireNothingMissed(c schemas.Change) {
	s.t.Helper()
	for _, r := range s.rigs {
		report := &meshv1.CaptureReport{}
		_, err := r.mesh.Capture("default").Get(s.t.Context(), report)
		require.NoError(s.t, err)
		if done := report.GetCompared(); done.GetId() == "" && !c.Reread {
			require.Zero(s.t, done.GetMissed(),
				"%s: missed %v by the comparison %q", c.Title, done.GetMissedProducts(), done.GetReason())
		}
	}
}

// reread orders a comparison of the tables, which must find the change that the log did not show. The report names the
// tables that are read and not watched.
func (s *shop) reread(c schemas.Change) {
	s.t.Helper()
	for _, r := range s.rigs {
		s.waitConverged(r, c.Title)
		asked, err := r.control.Reread(s.t.Context(), connect.NewRequest(&controlv1.RereadRequest{}))
		require.NoError(s.t, err)
		report := &meshv1.CaptureReport{}
		require.Eventually(s.t, func() bool {
			if _, err := r.mesh.Capture("default").Get(s.t.Context(), report); err != nil {
				return false
			}
			for _, done := range report.GetAsked() {
				require.Empty(s.t, done.GetError(), c.Title)
				if done.GetId() == asked.Msg.GetId() && done.GetFinishedAt() != nil {
					return true
				}
			}
			return false
		}, patience, 20*time.Millisecond, c.Title)
		for _, table := range s.schema.Unwatched {
			require.True(s.t, slices.ContainsFunc(report.GetUnwatchedTables(), func(name string) bool {
				return strings.TrimPrefix(name, "public.") == table
			}), "%s is read and not watched, and the report says %v", table, report.GetUnwatchedTables())
		}
	}
}

// waitSingleDeadLetter waits until the change's product, and no other, is a dead letter.
func (s *shop) waitSingleDeadLetter(c schemas.Change) {
	s.t.Helper()
	for account, r := range s.rigs {
		require.Eventually(s.t, func() bool {
			letters, err := r.control.ListDeadLetters(s.t.Context(),
				connect.NewRequest(&controlv1.ListDeadLettersRequest{}))
			if err != nil || len(letters.Msg.GetDeadLetters()) == 0 {
				return false
			}
			require.Len(s.t, letters.Msg.GetDeadLetters(), 1)
			letter := letters.Msg.GetDeadLetters()[0]
			require.Equal(s.t, c.Dead, letter.GetProductId())
			require.Equal(s.t, topology.ReasonQueryFailed, letter.GetReason())
			return true
		}, patience, 20*time.Millisecond, c.Title)
		want := s.wantedStates()[account]
		require.Eventually(s.t, func() bool {
			seen := s.seen(r)
			delete(want, c.Dead)
			delete(seen, c.Dead)
			return len(schemas.Differences(want, seen)) == 0
		}, patience, 50*time.Millisecond, "a product whose query fails holds up others: %s", c.Title)
	}
}
