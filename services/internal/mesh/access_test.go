package mesh_test

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

var update = flag.Bool("update", false, "write the files that are generated from the topology")

// TestPermissionsFile_IsFresh checks that the committed files match the topology.
func TestPermissionsFile_IsFresh(t *testing.T) {
	for path, want := range map[string]string{
		"../../../deploy/nats/permissions.conf":                      topology.PermissionsFile(topology.Options{}),
		"../../../deploy/nats/accounts.conf":                         topology.AccountsFile(topology.Options{}),
		"../../../deploy/helm/driftless/files/nats/permissions.conf": topology.PermissionsFile(topology.Options{Accounts: []string{"{account}"}}),
	} {
		if *update {
			require.NoError(t, os.WriteFile(path, []byte(want), 0o600))
		}
		have, err := os.ReadFile(path)
		require.NoError(t, err)
		if want != string(have) {
			t.Errorf("%s is stale; update it with: go test ./internal/mesh -update", path)
		}
	}
}

var users = []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation, topology.AdminUser}

// deployed starts a server with the configuration of deploy/nats, and applies the topology as its user.
func deployed(t *testing.T) *server.Server {
	t.Helper()
	return deployedWith(t, "nats-server.conf")
}

// isolated is the file of deploy/nats that has an account for each service.
const isolated = "nats-server-isolated.conf"

// deployedWith is deployed for another file of deploy/nats.
func deployedWith(t *testing.T, file string) *server.Server {
	t.Helper()
	for _, user := range append(users, "sys") {
		t.Setenv(strings.ToUpper(user)+"_PASSWORD", user+"-secret")
	}
	cert, key := certificate(t)
	t.Setenv("NATS_SERVER_NAME", "deployed")
	t.Setenv("NATS_STORE_DIR", t.TempDir())
	t.Setenv("NATS_TLS_CERT", cert)
	t.Setenv("NATS_TLS_KEY", key)
	srv := localtest.NATSConfigured(t, "../../../deploy/nats/"+file)
	m, err := mesh.Connect(t.Context(), as(t, srv, topology.AdminUser, cert))
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	diffs, err := topology.Plan(t.Context(), m.JetStream(), topology.Options{})
	require.NoError(t, err)
	require.Empty(t, diffs)
	return srv
}

// as returns how a user connects to the deployed server: by TLS, with the server's certificate as authority. The test
// fails if NATS refuses anything to that user.
func as(t *testing.T, srv *server.Server, user, ca string) mesh.Config {
	t.Helper()
	return mesh.Config{
		URL:  "tls://" + user + ":" + user + "-secret@" + srv.Addr().String(),
		Name: user, CA: ca, Logger: slog.New(refusals{t, user}),
	}
}

// refusals fails a test if NATS denies a permission.
type refusals struct {
	t    *testing.T
	user string
}

func (r refusals) Enabled(context.Context, slog.Level) bool { return true }
func (r refusals) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r refusals) WithGroup(string) slog.Handler            { return r }

func (r refusals) Handle(_ context.Context, record slog.Record) error {
	if record.Message == "NATS connection error" {
		record.Attrs(func(a slog.Attr) bool {
			r.t.Errorf("%s: %s; its row in services/internal/topology/access.go lacks it", r.user, a.Value)
			return true
		})
	}
	return nil
}

func TestUserPermissions_SufficeForEachService(t *testing.T) {
	doTheirWork(t, deployed(t))
}

func TestAccountsFile_SufficesForEachService(t *testing.T) {
	doTheirWork(t, deployedWith(t, isolated))
}

// doTheirWork does the work of each service, as that service.
func doTheirWork(t *testing.T, srv *server.Server) {
	t.Helper()
	ca := os.Getenv("NATS_TLS_CERT")
	clients := map[string]*mesh.Mesh{}
	for _, user := range users {
		m, err := mesh.Connect(t.Context(), as(t, srv, user, ca))
		require.NoError(t, err)
		t.Cleanup(m.Close)
		clients[user] = m
		// Each user may ask which rights it has. The server answers within its own account.
		rights, err := m.Conn().RequestWithContext(t.Context(), topology.UserInfo, nil)
		require.NoError(t, err)
		require.Contains(t, string(rights.Data), topology.InboxPrefix(user))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	// ingestion: desired states in a batch, dead letters, positions, commands.
	in := clients[topology.Ingestion]
	stores := state.New(in)
	require.NoError(t, in.Bind(ctx, topology.IngestionCommand))
	fence, err := in.Fence(ctx, "default")
	require.NoError(t, err)
	require.NoError(t, fence.Raise(ctx))
	require.NoError(t, fence.Publish(ctx, topology.Live, []mesh.Outgoing{
		{
			Subject: topology.CatalogSubject("default", topology.Live, "mug"),
			Body:    meshtest.Change("mug", 7),
			Version: 7,
		},
		{
			Subject: topology.CatalogSubject("default", topology.Live, "cap"),
			Body:    meshtest.Change("cap", 7),
			Version: 7,
		},
	}))
	require.NoError(t, fence.Publish(ctx, topology.Bulk, []mesh.Outgoing{
		{
			Subject: topology.CatalogSubject("default", topology.Bulk, "hat"),
			Body:    meshtest.Change("hat", 7),
			Version: 7,
		},
	}))
	require.NoError(t, fence.IsHeld(ctx, topology.Live))
	require.NoError(t,
		in.DeadLetter(ctx, &meshv1.DeadLetter{
			Service:   topology.Ingestion,
			Account:   "default",
			ProductId: "sock",
			Reason:    topology.ReasonInvalidProduct,
		}))
	last, err := stores.Desired().LastLive(ctx, "default")
	require.NoError(t, err)
	require.EqualValues(t, 7, last)
	products, err := stores.Desired().Products(ctx, "default")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"mug", "cap", "hat"}, products)
	states, err := stores.Desired().LatestMany(ctx, "default", []string{"mug", "none"})
	require.NoError(t, err)
	require.EqualValues(t, 7, states[0].GetVersion())
	listed := 0
	require.NoError(t,
		stores.Desired().EachProduct(ctx, "default", func(tokens []string) error { listed += len(tokens); return nil }))
	require.Equal(t, 3, listed)
	open, err := in.OpenLetters(ctx, topology.Ingestion, "default", []string{"sock", "mug"})
	require.NoError(t, err)
	require.NotNil(t, open[0])
	require.Nil(t, open[1])
	catalog, err := stores.CatalogState(ctx)
	require.NoError(t, err)
	require.NotZero(t, catalog.LastSeq)
	require.NoError(t, in.RequestReread(ctx, "default", "reread", "a category changed", []string{"mug"}, true))
	handled(ctx, t, in, topology.Ingestion, topology.IngestionCommand)
	for _, key := range []topology.Key{
		topology.KeyOrigin, topology.KeyMapping, topology.KeySnapshot, topology.KeyCapture, topology.KeyHistory,
	} {
		require.NoError(t, stores.Record(key, "default").PutString(ctx, "here"))
		at, err := stores.Record(key, "default").GetString(ctx)
		require.NoError(t, err)
		require.Equal(t, "here", at)
	}

	// push: both lanes, claims, the budget, retries, the halt.
	push := clients[topology.Push]
	stores = state.New(push)
	require.NoError(t, push.Bind(ctx, topology.PushLive, topology.PushBulk, topology.PushCommand, topology.PushRetry))
	handled(ctx, t, push, topology.Push, topology.PushLive)
	handled(ctx, t, push, topology.Push, topology.PushBulk)
	newest, err := stores.Desired().Latest(ctx, "default", "mug")
	require.NoError(t, err)
	require.EqualValues(t, 7, newest.GetVersion())
	_, err = stores.Observed().Update(ctx, "default", "mug",
		func(o *catalogv1.Observed) error { o.Generation++; return nil })
	require.NoError(t, err)
	count, err := stores.Observed().Count(ctx, "default")
	require.NoError(t, err)
	require.EqualValues(t, 1, count)
	_, err = stores.Desired().History(ctx, "default", "mug")
	require.NoError(t, err)
	budgeted(ctx, t, push)
	retry := &meshv1.Retry{Account: "default", ProductId: "mug", Version: 7}
	require.NoError(t, push.RetryLater(ctx, topology.Push, retry, time.Hour))
	retrying, err := push.Retrying(ctx, topology.Push, "default", "mug")
	require.NoError(t, err)
	require.True(t, retrying)
	require.NoError(t, push.CancelRetry(ctx, topology.Push, "default", "mug", 7, false))
	require.NoError(t, push.RetryLater(ctx, topology.Push, retry, time.Second))
	require.NoError(t, handledRetry(ctx, push))
	require.NoError(t,
		push.Pause(ctx, time.Minute, topology.PushLive, topology.PushBulk, topology.PushCommand, topology.PushRetry))
	require.NoError(t, stores.Halted("default").PutString(ctx, "no"))
	require.NoError(t, push.Resume(ctx, topology.PushLive, topology.PushBulk, topology.PushCommand, topology.PushRetry))
	_, err = stores.Guard("default").CompareAndPut(ctx, &meshv1.Guard{}, 0)
	require.NoError(t, err)
	require.NoError(t, stores.Record(topology.KeyStripeMode, "default").PutString(ctx, "test"))
	require.NoError(t,
		push.Publish(ctx, topology.SyncSubject("default", meshv1.OutcomeKind_OUTCOME_KIND_APPLIED, "mug"),
			&meshv1.Outcome{}))

	require.NoError(t,
		push.RequestReread(ctx, "default", "lost", "CATALOG holds no state of the product", []string{"mug"}, false))
	handled(ctx, t, clients[topology.Ingestion], topology.Ingestion, topology.IngestionCommand)

	// pull: events, observed states, a command to scan to itself.
	pull := clients[topology.Pull]
	stores = state.New(pull)
	require.NoError(t, pull.Bind(ctx, topology.PullStripe, topology.PullCommand))
	require.NoError(t, pull.Publish(ctx, topology.StripeSubject("default", "mug"), &meshv1.StripeChange{}))
	require.NoError(t,
		pull.Publish(ctx, topology.CommandSubject(topology.Pull, "default", topology.VerbScan, ""), &meshv1.Command{}))
	handled(ctx, t, pull, topology.Pull, topology.PullStripe)
	handled(ctx, t, pull, topology.Pull, topology.PullCommand)
	known := 0
	end, err := stores.Observed().Revision(ctx)
	require.NoError(t, err)
	for _, err := range stores.Observed().Range(ctx, "default", 0, end) {
		require.NoError(t, err)
		known++
	}
	require.Equal(t, 1, known)
	many, err := stores.Observed().GetMany(ctx, "default", []string{"mug", "hat"})
	require.NoError(t, err)
	require.Len(t, many, 2)
	_, err = stores.Observed().Update(ctx, "default", "mug",
		func(o *catalogv1.Observed) error { o.Generation++; return nil })
	require.NoError(t, err)
	budgeted(ctx, t, pull)
	for _, key := range []topology.Key{
		topology.KeyEvents, topology.KeyPoll, topology.KeyScan, topology.KeyScanState, topology.KeyStripeMode,
		topology.KeyUsage,
	} {
		require.NoError(t, stores.Record(key, "default").PutString(ctx, "here"))
	}
	require.NoError(t,
		pull.DeadLetter(ctx, &meshv1.DeadLetter{Service: topology.Pull, Account: "default", ProductId: "sock"}))

	// reconciliation: both sides, every backlog, commands to all, closed dead letters.
	rec := clients[topology.Reconciliation]
	stores = state.New(rec)
	require.NoError(t,
		rec.Bind(ctx, topology.ReconciliationCatalog, topology.ReconciliationStripe, topology.ReconciliationSync,
			topology.ReconciliationDead, topology.ReconciliationObserved))
	backlogs, err := rec.Consumers(ctx)
	require.NoError(t, err)
	waiting := map[string]bool{}
	for _, c := range backlogs {
		sequence, stored, err := rec.OldestMessage(ctx, c)
		require.NoError(t, err, "%s of %s", c.Name, c.Stream)
		require.Equal(t, c.Pending+c.InFlight > 0, sequence > 0 && !stored.IsZero(), "%s of %s", c.Name, c.Stream)
		waiting[c.Stream] = waiting[c.Stream] || sequence > 0
	}
	for _, c := range []topology.Consumer{
		topology.ReconciliationCatalog, topology.ReconciliationStripe,
		topology.ReconciliationSync, topology.ReconciliationDead, topology.ReconciliationObserved,
	} {
		require.True(t, waiting[c.Stream], c.Stream)
		handled(ctx, t, rec, topology.Reconciliation, c)
	}
	_, err = rec.Consumers(ctx)
	require.NoError(t, err)
	for _, service := range []string{topology.Ingestion, topology.Push, topology.Pull} {
		require.NoError(t,
			rec.Publish(ctx, topology.CommandSubject(service, "default", topology.VerbSync, "mug"), &meshv1.Command{}))
	}
	handled(ctx, t, clients[topology.Ingestion], topology.Ingestion, topology.IngestionCommand)
	handled(ctx, t, push, topology.Push, topology.PushCommand)
	require.NoError(t,
		rec.Publish(ctx, topology.SyncSubject("default", meshv1.OutcomeKind_OUTCOME_KIND_DRIFTED, "mug"),
			&meshv1.Outcome{}))
	letter := &meshv1.DeadLetter{Service: topology.Push, Account: "default", ProductId: "mug", Id: "one"}
	require.NoError(t, push.DeadLetter(ctx, letter))
	require.NoError(t, rec.DeleteLetter(ctx, letter))
	for _, service := range []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation} {
		require.NoError(t, state.New(clients[service]).PutProcess(ctx, &meshv1.Process{
			Service:  service,
			Account:  topology.DefaultAccount,
			Instance: "one",
		}))
	}
	processes, _, err := state.New(rec).Processes(ctx, topology.DefaultAccount)
	require.NoError(t, err)
	require.Len(t, processes, 4)
	held, err := rec.Streams(ctx, topology.StreamNames())
	require.NoError(t, err)
	require.Len(t, held, len(topology.StreamNames()))
	_, err = rec.RetryingCount(ctx, topology.Push, "default")
	require.NoError(t, err)
	_, err = rec.Retrying(ctx, topology.Push, "default", "mug")
	require.NoError(t, err)
	_, _, err = rec.Retries(ctx, topology.Push, "default", 10)
	require.NoError(t, err)
	_, err = stores.Record(topology.KeyPoll, "default").GetString(ctx)
	require.NoError(t, err)
	_, err = stores.Capture("default").GetString(ctx)
	require.NoError(t, err)
	_, err = stores.Halted("default").GetString(ctx)
	require.NoError(t, err)
	guard := &meshv1.Guard{}
	revision, err := stores.Guard("default").GetAt(ctx, guard)
	require.NoError(t, err)
	_, err = stores.Guard("default").CompareAndPut(ctx, guard, revision)
	require.NoError(t, err)
	_, err = stores.Record(topology.KeyScan, "default").GetString(ctx)
	require.NoError(t, err)
	_, err = stores.Budget("default").GetAt(ctx, &meshv1.Budget{})
	require.NoError(t, err)
}

// handled receives and acknowledges one message of a consumer.
func handled(ctx context.Context, t *testing.T, m *mesh.Mesh, service string, c topology.Consumer) {
	t.Helper()
	ctx, done := context.WithCancel(ctx)
	defer done()
	n := 0
	var err error
	if c.Stream == topology.StreamDead {
		err = mesh.Consume(ctx, m, mesh.Worker{Service: service, Consumer: c},
			func(context.Context, mesh.Message[*meshv1.DeadLetter]) mesh.Verdict { n++; done(); return mesh.Ack() })
	} else {
		// An empty message is a valid message of any type.
		err = mesh.Consume(ctx, m, mesh.Worker{Service: service, Consumer: c},
			func(context.Context, mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
				n++
				done()
				return mesh.Ack()
			})
	}
	require.NoError(t, err)
	require.Positive(t, n, "nothing came from %s of %s", c.Name, c.Stream)
}

func handledRetry(ctx context.Context, m *mesh.Mesh) error {
	ctx, done := context.WithCancel(ctx)
	defer done()
	return mesh.Consume(ctx, m, mesh.Worker{Service: topology.Push, Consumer: topology.PushRetry},
		func(context.Context, mesh.Message[*meshv1.Retry]) mesh.Verdict { done(); return mesh.Ack() })
}

func budgeted(ctx context.Context, t *testing.T, m *mesh.Mesh) {
	t.Helper()
	stores := state.New(m)
	record := &meshv1.Budget{}
	revision, err := stores.Budget("default").GetAt(ctx, record)
	require.NoError(t, err)
	_, err = stores.Budget("default").CompareAndPut(ctx, record, revision)
	require.NoError(t, err)
	require.NoError(t, stores.BudgetBell("default").PutString(ctx, "ring"))
	_, err = stores.BudgetBell("default").GetString(ctx)
	require.NoError(t, err)
}

// TestUserPermissions_RefuseEverythingElse publishes, as each user, on every subject of the other users and more. The
// server must refuse exactly the subjects that the user's permissions do not have.
func TestUserPermissions_RefuseEverythingElse(t *testing.T) {
	for _, file := range []string{"nats-server.conf", isolated} {
		t.Run(file, func(t *testing.T) { refusesWhatIsNotTheirs(t, deployedWith(t, file)) })
	}
}

func refusesWhatIsNotTheirs(t *testing.T, srv *server.Server) {
	t.Helper()
	ca := os.Getenv("NATS_TLS_CERT")
	permissions := topology.UserPermissions(topology.Options{})
	var words []string
	var patterns []string
	for _, p := range permissions {
		patterns = append(patterns, p.Publish...)
		patterns = append(patterns, p.Subscribe...)
	}
	for _, p := range patterns {
		for word := range strings.SplitSeq(p, ".") {
			if word != "*" && word != ">" {
				words = append(words, word)
			}
		}
	}
	words = append(words, "mug", "other", "PURGE", "SNAPSHOT", "RESTORE", "LEADER", "STEPDOWN", "ACCOUNT")
	slices.Sort(words)
	words = slices.Compact(words)
	for _, p := range permissions {
		t.Run(p.User, func(t *testing.T) {
			conn, err := nats.Connect("tls://"+p.User+":"+p.User+"-secret@"+srv.Addr().String(), nats.RootCAs(ca),
				nats.CustomInboxPrefix(topology.InboxPrefix(p.User)),
				nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
			require.NoError(t, err)
			defer conn.Close()
			// permitted asks the server. The published message is not a request: nothing answers, and a stream may
			// store it. A refusal arrives before the answer to the flush.
			permitted := func(subject string, act func() error) bool {
				require.NoError(t, act())
				require.NoError(t, conn.FlushTimeout(time.Minute))
				last := conn.LastError()
				return last == nil || !strings.Contains(last.Error(), "\""+subject+"\"")
			}
			allowed := func(subject string) bool {
				covers := func(pattern string) bool { return covers(pattern, subject) }
				return slices.ContainsFunc(p.Publish, covers)
			}
			try := func(rt require.TestingT, subject string) {
				require.Equal(rt, allowed(subject),
					permitted(subject, func() error { return conn.Publish(subject, []byte("{")) }),
					"%s publishes on %s", p.User, subject)
			}
			for _, pattern := range patterns {
				for _, other := range []string{"mug", "default"} {
					try(t, strings.NewReplacer("*", other, ">", other).Replace(pattern))
				}
			}
			rapid.Check(t, func(rt *rapid.T) {
				pattern := rapid.SampledFrom(patterns).Draw(rt, "pattern")
				tokens := strings.Split(pattern, ".")
				for i, token := range tokens {
					if token == "*" || token == ">" || rapid.IntRange(0, 3).Draw(rt, "change") == 0 {
						tokens[i] = rapid.SampledFrom(words).Draw(rt, "word")
					}
				}
				try(rt, strings.Join(tokens, "."))
			})
			// A user may subscribe to its own inbox only, and never to all subjects.
			for _, subject := range []string{
				">", "*", "catalog.>", "$KV.>", "$JS.>", "_INBOX.>", "stripe.default.*",
				"$SYS.>",
			} {
				require.False(t, permitted(subject, func() error { _, err := conn.SubscribeSync(subject); return err }),
					"%s listens on %s", p.User, subject)
			}
			for _, other := range permissions {
				inbox := topology.InboxPrefix(other.User) + ".x"
				may := permitted(inbox, func() error { _, err := conn.SubscribeSync(inbox); return err })
				require.Equal(t, other.User == p.User, may, "%s listens to the answers for %s", p.User, other.User)
			}
		})
	}
}

// covers reports whether a pattern of subjects covers a subject.
func covers(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range p {
		if token == ">" {
			return len(s) > i
		}
		if i >= len(s) || token != "*" && token != s[i] {
			return false
		}
	}
	return len(p) == len(s)
}

func TestUserPermissions_KeepConsumersApart(t *testing.T) {
	srv := deployed(t)
	ca := os.Getenv("NATS_TLS_CERT")
	cfg := as(t, srv, topology.Push, ca)
	cfg.Logger = slog.New(slog.DiscardHandler)
	m, err := mesh.Connect(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(m.Close)
	js, err := jetstream.New(m.Conn(), jetstream.WithDefaultTimeout(200*time.Millisecond))
	require.NoError(t, err)
	durable := topology.ReconciliationObserved.Durable("default")
	require.Error(t, js.DeleteConsumer(t.Context(), topology.ReconciliationObserved.Stream, durable))
	_, err = js.CreateOrUpdateConsumer(t.Context(), topology.ReconciliationObserved.Stream, jetstream.ConsumerConfig{
		Durable: durable, FilterSubject: "$KV.OBSERVED.default.*", AckPolicy: jetstream.AckNonePolicy,
	})
	require.Error(t, err)
	require.Error(t, js.DeleteStream(t.Context(), topology.StreamCatalog))
	stream, err := m.JetStream().KeyValue(t.Context(), topology.BucketObserved)
	require.NoError(t, err)
	require.NotNil(t, stream)
}

func file(t *testing.T, name string) string { t.Helper(); return filepath.Join(t.TempDir(), name) }
