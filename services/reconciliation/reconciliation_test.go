package reconciliation_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation"
)

const (
	patience = 20 * time.Second
	grace    = 400 * time.Millisecond
)

// clock is advanced by tests.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

type rig struct {
	t      *testing.T
	mesh   *mesh.Mesh
	stores *state.Stores
	cfg    reconciliation.Config
	clock  *clock
	url    string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	c := &clock{}
	r := &rig{
		t:     t,
		clock: c,
		cfg: reconciliation.Config{
			Account:     "default",
			LedgerURL:   localtest.Postgres(t),
			GracePeriod: grace,
			Now:         c.now,
		},
	}
	r.emptyNATS()
	return r
}

// emptyNATS gives the services a new and empty NATS server.
func (r *rig) emptyNATS() {
	r.t.Helper()
	url, _ := localtest.NATS(r.t)
	m, err := mesh.Connect(r.t.Context(), mesh.Config{URL: url, Name: "test"})
	require.NoError(r.t, err)
	r.t.Cleanup(m.Close)
	require.NoError(r.t, topology.Apply(r.t.Context(), m.JetStream(), topology.Options{}))
	r.mesh, r.stores, r.cfg.NATS = m, state.New(m), mesh.Config{URL: url, Name: "reconciliation"}
}

func (r *rig) start() (stop func()) {
	r.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(r.t, err)
	r.url = "http://" + listener.Addr().String()
	cfg := r.cfg
	cfg.HTTP = httpserver.Config{Listener: listener}
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- reconciliation.Run(ctx, cfg) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(r.t, <-done)
	})
	r.t.Cleanup(stop)
	require.Eventually(r.t, func() bool {
		resp, err := http.Get(r.url + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, patience, 10*time.Millisecond)
	return stop
}

func (r *rig) call(method, body string, headers ...string) (int, []byte) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost,
		r.url+"/driftless.control.v1.ControlService/"+method, strings.NewReader(body))
	require.NoError(r.t, err)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return resp.StatusCode, answer
}

func ask[T any, M interface {
	*T
	proto.Message
}](r *rig, method, body string) M {
	r.t.Helper()
	status, answer := r.call(method, body)
	require.Equal(r.t, http.StatusOK, status, string(answer))
	out := M(new(T))
	require.NoError(r.t, protojson.Unmarshal(answer, out))
	return out
}

func (r *rig) desire(id, name string, version uint64) {
	r.t.Helper()
	require.NoError(r.t,
		r.mesh.Publish(r.t.Context(), topology.CatalogSubject("default", topology.Live, id), &catalogv1.ProductChange{
			Account:   "default",
			ProductId: id,
			Version:   version,
			Operation: catalogv1.Operation_OPERATION_UPSERT,
			Product:   &catalogv1.Product{Id: id, Name: name},
			Source:    catalogv1.Source_SOURCE_WAL,
		}, mesh.WithVersion(version)))
}

func (r *rig) observe(id, name string, version uint64) {
	r.t.Helper()
	_, err := r.stores.Observed().Update(r.t.Context(), "default", id, func(o *catalogv1.Observed) error {
		o.Product, o.Version = &catalogv1.Product{Id: id, Name: name, Active: proto.Bool(true)}, version
		return nil
	})
	require.NoError(r.t, err)
}

// state returns the ledger's state of a product. A plan does not distinguish a product in sync from an extra.
func (r *rig) state(id string) controlv1.ProductState {
	r.t.Helper()
	products := ask[controlv1.ListProductsResponse](r, "ListProducts",
		fmt.Sprintf(`{"product_ids":[%q]}`, id)).GetProducts()
	if len(products) == 0 {
		return controlv1.ProductState_PRODUCT_STATE_UNSPECIFIED
	}
	return products[0].GetState()
}

func (r *rig) eventually(id string, want controlv1.ProductState) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.state(id) == want }, patience, 10*time.Millisecond, "%s", want)
}

// ackCatalog acknowledges all of push's messages of CATALOG, as a running push would.
func (r *rig) ackCatalog() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() {
		done <- mesh.Consume(ctx, r.mesh, mesh.Worker{Service: topology.Push, Consumer: topology.PushLive},
			func(context.Context, mesh.Message[*catalogv1.ProductChange]) mesh.Verdict { return mesh.Ack() })
	}()
	r.t.Cleanup(func() { cancel(); <-done })
}

func (r *rig) kinds(id string) []string {
	r.t.Helper()
	var out []string
	for _, e := range ask[controlv1.ListHistoryResponse](r, "ListHistory",
		fmt.Sprintf(`{"product_id":%q}`, id)).GetEntries() {
		out = append(out, e.GetKind())
	}
	return out
}

func TestPlan_ListsProductsThatDiffer(t *testing.T) {
	r := newRig(t)
	r.cfg.GracePeriod = time.Hour
	r.start()
	r.desire("mug", "Mug", 10)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_PENDING)
	plan := ask[controlv1.PlanResponse](r, "Plan", `{}`)
	require.Equal(t, "create product mug", plan.GetProducts()[0].GetSteps()[0].GetStep())
	require.NotZero(t, plan.GetInFlight(), "push has not seen it")
	r.observe("mug", "Mug", 10)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	status := ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`)
	require.EqualValues(t, 1, status.GetInSync())
	require.NotEmpty(t, status.GetConsumers())
	require.Equal(t, []string{"catalog_change"}, r.kinds("mug"))
}

func TestPlan_PagesLongPlans(t *testing.T) {
	r := newRig(t)
	r.cfg.GracePeriod = time.Hour
	r.start()
	var want []string
	for i := range 5 {
		want = append(want, fmt.Sprintf("p%d", i))
		r.desire(want[i], "P", uint64(i+1))
	}
	r.observe("same", "S", 6)
	r.desire("same", "S", 6)
	require.Eventually(t,
		func() bool { return ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetPending() == 5 }, patience,
		10*time.Millisecond)
	r.eventually("same", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)

	whole := ask[controlv1.PlanResponse](r, "Plan", `{}`)
	require.Len(t, whole.GetProducts(), 5)
	require.False(t, whole.GetTruncated())
	require.False(t, ask[controlv1.PlanResponse](r, "Plan", `{"limit":5}`).GetTruncated())
	var got []string
	for after, pages := "", 1; ; pages++ {
		page := ask[controlv1.PlanResponse](r, "Plan", fmt.Sprintf(`{"limit":2,"after":%q}`, after))
		require.EqualValues(t, 6, page.GetCompared())
		for _, p := range page.GetProducts() {
			got = append(got, p.GetProductId())
		}
		if !page.GetTruncated() {
			require.Equal(t, 3, pages)
			break
		}
		require.Len(t, page.GetProducts(), 2)
		after = got[len(got)-1]
	}
	require.Equal(t, want, got)
	named := ask[controlv1.PlanResponse](r, "Plan", `{"product_ids":["p1","p3","same"],"limit":1}`)
	require.Equal(t, "p1", named.GetProducts()[0].GetProductId())
	require.True(t, named.GetTruncated())

	status, answer := r.call("Plan", `{"limit":10001}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, string(answer), "limit: must be at most 10000")
}

func TestDesired_IgnoresOlderVersion(t *testing.T) {
	r := newRig(t)
	r.cfg.GracePeriod = time.Hour
	r.start()
	r.observe("mug", "New", 20)
	r.desire("mug", "New", 20)
	r.desire("mug", "Old", 10)
	require.Eventually(t, func() bool { return len(r.kinds("mug")) == 2 }, patience, 10*time.Millisecond)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
}

func TestDrift_RepairsDifferenceAfterGracePeriod(t *testing.T) {
	r := newRig(t)
	r.start()
	r.ackCatalog()
	r.observe("mug", "Mug", 10)
	r.desire("mug", "Mug", 10)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.observe("mug", "Renamed by hand", 10)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_DRIFTED)

	commands := r.commands("mug")
	require.Eventually(t, func() bool { return commands.Load() == 1 }, patience, 10*time.Millisecond)
	// The next command comes after half a minute, the one after that a minute later.
	r.clock.advance(31 * time.Second)
	require.Eventually(t, func() bool { return commands.Load() == 2 }, patience, 10*time.Millisecond)
	r.clock.advance(31 * time.Second)
	localtest.Holds(t, 5*grace, func() bool { return commands.Load() <= 2 }, "no third command")
	r.clock.advance(31 * time.Second)
	require.Eventually(t, func() bool { return commands.Load() == 3 }, patience, 10*time.Millisecond)

	r.observe("mug", "Mug", 10)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	require.Eventually(t, func() bool {
		kinds := r.kinds("mug")
		return strings.Contains(strings.Join(kinds, " "), "repaired") && strings.Contains(strings.Join(kinds, " "),
			"drifted")
	}, patience, 20*time.Millisecond)
}

// commands counts the commands to push about a product.
func (r *rig) commands(id string) *atomic.Int64 {
	r.t.Helper()
	var n atomic.Int64
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() {
		done <- mesh.Consume(ctx, r.mesh, mesh.Worker{Service: topology.Push, Consumer: topology.PushCommand},
			func(_ context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
				if msg.Body.GetSync().GetProductId() == id && msg.Body.GetSync().GetLook() {
					n.Add(1)
				}
				return mesh.Ack()
			})
	}()
	r.t.Cleanup(func() { cancel(); <-done })
	return &n
}

func TestDrift_ExcludesProductsAheadOfPush(t *testing.T) {
	r := newRig(t)
	r.start()
	r.desire("mug", "Mug", 10)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_PENDING)
	localtest.Holds(t, 4*grace, func() bool { return r.state("mug") == controlv1.ProductState_PRODUCT_STATE_PENDING },
		"pending")
	r.ackCatalog()
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_DRIFTED)
}

func TestDrift_FindsAppliedProductsDespiteBacklog(t *testing.T) {
	r := newRig(t)
	r.start()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- mesh.Consume(ctx, r.mesh, mesh.Worker{Service: topology.Push, Consumer: topology.PushLive},
			func(_ context.Context, msg mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
				if msg.Body.GetProductId() == "refused" {
					return mesh.RetryIn(time.Hour, nil)
				}
				return mesh.Ack()
			})
	}()
	t.Cleanup(func() { cancel(); <-done })
	for i, id := range []string{"mug", "refused", "cup"} {
		r.desire(id, "A", uint64(i+1))
	}
	r.observe("plate", "A", 4)
	r.desire("plate", "A", 4)
	r.eventually("plate", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.observe("plate", "Renamed by hand", 4)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_DRIFTED)
	r.eventually("plate", controlv1.ProductState_PRODUCT_STATE_DRIFTED)
	localtest.Holds(t, 3*grace, func() bool {
		return r.state("refused") == controlv1.ProductState_PRODUCT_STATE_PENDING &&
			r.state("cup") == controlv1.ProductState_PRODUCT_STATE_PENDING
	}, "push may still be about to apply them")
}

func TestDrift_ExcludesProductsWithRetry(t *testing.T) {
	r := newRig(t)
	later := func(delay time.Duration) {
		require.NoError(t,
			r.mesh.RetryLater(t.Context(), topology.Push,
				&meshv1.Retry{Account: "default", ProductId: "mug", Version: 10}, delay))
	}
	later(time.Hour)
	r.start()
	r.ackCatalog()
	r.desire("mug", "Mug", 10)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_PENDING)
	localtest.Holds(t, 4*grace, func() bool { return r.state("mug") == controlv1.ProductState_PRODUCT_STATE_PENDING },
		"pending")
	// The schedule fires, and no push handles the product.
	later(time.Second)
	r.clock.advance(time.Minute)
	require.Eventually(t, func() bool {
		retrying, err := r.mesh.Retrying(t.Context(), topology.Push, "default", "mug")
		return err == nil && !retrying
	}, patience, 10*time.Millisecond)
	r.clock.advance(time.Minute)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_DRIFTED)
}

func TestDrift_ReportPolicyRepairsNothing(t *testing.T) {
	r := newRig(t)
	var err error
	r.cfg.Policy, err = catalog.NewPolicy(catalog.Report, nil)
	require.NoError(t, err)
	r.start()
	r.ackCatalog()
	commands := r.commands("mug")
	r.desire("mug", "Mug", 10)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_DRIFTED)
	r.clock.advance(time.Hour)
	localtest.Holds(t, 3*grace, func() bool { return commands.Load() == 0 }, "no command")
}

func TestObserved_MarksProductOnlyInStripeAsExtra(t *testing.T) {
	r := newRig(t)
	r.start()
	r.observe("stray", "Stray", 0)
	require.Eventually(t,
		func() bool { return ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetOrphans() == 1 }, patience,
		10*time.Millisecond)
	require.Empty(t, ask[controlv1.PlanResponse](r, "Plan", `{}`).GetProducts(), "extras are left alone")
}

func TestDeadLetter_StaysOpenUntilNewerVersion(t *testing.T) {
	r := newRig(t)
	r.start()
	r.ackCatalog()
	r.desire("mug", "Mug", 10)
	letter := &meshv1.DeadLetter{
		Id:        "l1",
		Service:   topology.Push,
		Account:   "default",
		ProductId: "mug",
		Version:   10,
		Reason:    topology.ReasonRefused,
		Message:   "no such tax code",
		LastAt:    timestamppb.Now(),
	}
	require.NoError(t, r.mesh.DeadLetter(t.Context(), letter))
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_DEAD)
	letters := ask[controlv1.ListDeadLettersResponse](r, "ListDeadLetters", `{}`).GetDeadLetters()
	require.Len(t, letters, 1)
	require.Equal(t, "no such tax code", letters[0].GetMessage())
	localtest.Holds(t, 3*grace, func() bool { return r.state("mug") == controlv1.ProductState_PRODUCT_STATE_DEAD },
		"the dead do not drift")

	r.observe("mug", "Better", 11)
	r.desire("mug", "Better", 11)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	require.Empty(t, ask[controlv1.ListDeadLettersResponse](r, "ListDeadLetters", `{}`).GetDeadLetters())
}

func TestDeadLetter_WithoutVersionStaysOpenUntilSync(t *testing.T) {
	r := newRig(t)
	r.cfg.GracePeriod = time.Hour
	r.start()
	r.ackCatalog()
	for _, id := range []string{"mug", "cup"} {
		r.desire(id, "A", 10)
		r.observe(id, "A", 10)
		r.eventually(id, controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
		require.NoError(t,
			r.mesh.DeadLetter(t.Context(), &meshv1.DeadLetter{
				Service:   topology.Pull,
				Account:   "default",
				ProductId: id,
				Reason:    topology.ReasonUndecodable,
			}))
		r.eventually(id, controlv1.ProductState_PRODUCT_STATE_DEAD)
	}
	kind := meshv1.OutcomeKind_OUTCOME_KIND_APPLIED
	require.NoError(t,
		r.mesh.Publish(t.Context(), topology.SyncSubject("default", kind,
			"mug"), &meshv1.Outcome{Id: "o1", Account: "default", ProductId: "mug", Kind: kind, At: timestamppb.Now()}))
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	require.Len(t, ask[controlv1.ListDeadLettersResponse](r, "ListDeadLetters", `{}`).GetDeadLetters(), 1)

	ask[controlv1.SyncProductsResponse](r, "SyncProducts", `{"product_ids":["cup"],"look":true}`)
	require.Equal(t, controlv1.ProductState_PRODUCT_STATE_IN_SYNC, r.state("cup"))
	require.Empty(t, ask[controlv1.ListDeadLettersResponse](r, "ListDeadLetters", `{}`).GetDeadLetters())
	require.Equal(t, []string{"ordered", "dead", "catalog_change"}, r.kinds("cup"))
}

func TestRun_RestartKeepsStateWithoutDuplicates(t *testing.T) {
	r := newRig(t)
	r.cfg.GracePeriod = time.Hour
	stop := r.start()
	r.desire("a", "A", 1)
	r.eventually("a", controlv1.ProductState_PRODUCT_STATE_PENDING)
	stop()
	r.desire("b", "B", 2)
	r.observe("a", "A", 1)
	r.start()
	r.eventually("a", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.eventually("b", controlv1.ProductState_PRODUCT_STATE_PENDING)
	require.Equal(t, []string{"catalog_change"}, r.kinds("a"))
}

func TestRun_FollowsRecreatedStreams(t *testing.T) {
	r := newRig(t)
	r.cfg.GracePeriod = time.Hour
	stop := r.start()
	for _, name := range []string{"A", "B", "Mug"} {
		r.observe("mug", name, 10)
	}
	r.desire("mug", "Mug", 10)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	stop()

	r.emptyNATS()
	r.start()
	r.observe("mug", "Renamed by hand", 10)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_DRIFTED)
	r.desire("mug", "Renamed by hand", 10)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	require.Equal(t, []string{"catalog_change", "catalog_change"},
		slices.DeleteFunc(r.kinds("mug"), func(kind string) bool { return kind != "catalog_change" }))
}

func TestRun_IgnoresOtherAccounts(t *testing.T) {
	r := newRig(t)
	r.cfg.Account = "renamed"
	require.NoError(t, topology.Apply(t.Context(), r.mesh.JetStream(), topology.Options{Accounts: []string{"renamed"}}))
	r.desire("mug", "Mug", 10)
	r.observe("mug", "Mug", 9)
	now := timestamppb.Now()
	require.NoError(t,
		r.mesh.Publish(t.Context(), topology.StripeSubject("default",
			"mug"), &meshv1.StripeChange{Account: "default", ProductId: "mug", EventId: "evt_1", ReceivedAt: now}))
	kind := meshv1.OutcomeKind_OUTCOME_KIND_APPLIED
	require.NoError(t,
		r.mesh.Publish(t.Context(), topology.SyncSubject("default", kind,
			"mug"), &meshv1.Outcome{Id: "o1", Account: "default", ProductId: "mug", Kind: kind, At: now}))
	require.NoError(t,
		r.mesh.DeadLetter(t.Context(), &meshv1.DeadLetter{
			Service:   topology.Push,
			Account:   "default",
			ProductId: "mug",
			Version:   10,
			Reason:    topology.ReasonRefused,
		}))
	r.start()
	require.Eventually(t, func() bool {
		for _, c := range ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetConsumers() {
			if c.GetConsumer() == "reconciliation" && c.GetPending()+c.GetInFlight() > 0 {
				return false
			}
		}
		return true
	}, patience, 10*time.Millisecond)
	require.Empty(t, r.kinds("mug"))
	require.Equal(t, controlv1.ProductState_PRODUCT_STATE_UNSPECIFIED, r.state("mug"))
	require.Empty(t, ask[controlv1.ListDeadLettersResponse](r, "ListDeadLetters", `{}`).GetDeadLetters())
}

func TestRun_SharesWorkBetweenReplicas(t *testing.T) {
	r := newRig(t)
	r.start()
	r.start()
	r.ackCatalog()
	commands := r.commands("p7")
	for i := range 50 {
		r.desire(fmt.Sprintf("p%d", i), "P", uint64(i+1))
	}
	for i := range 50 {
		r.eventually(fmt.Sprintf("p%d", i), controlv1.ProductState_PRODUCT_STATE_DRIFTED)
	}
	require.Eventually(t, func() bool { return commands.Load() == 1 }, patience, 10*time.Millisecond)
	localtest.Holds(t, 2*grace, func() bool { return commands.Load() <= 1 }, "one command for all replicas")
}

func TestStartScan_CommandsAndReportsScan(t *testing.T) {
	r := newRig(t)
	r.start()
	status, answer := r.call("GetScan", `{}`)
	require.Equal(t, http.StatusNotFound, status, string(answer))
	id := ask[controlv1.StartScanResponse](r, "StartScan", `{}`).GetId()
	stream, err := r.mesh.JetStream().Stream(t.Context(), topology.StreamCommand)
	require.NoError(t, err)
	msg, err := stream.GetLastMsgForSubject(t.Context(),
		topology.CommandSubject(topology.Pull, "default", topology.VerbScan, ""))
	require.NoError(t, err)
	command := &meshv1.Command{}
	require.NoError(t, proto.Unmarshal(msg.Data, command))
	require.Equal(t, id, command.GetId())
	require.NotNil(t, command.GetScan())
	require.NoError(t,
		r.stores.Record(topology.KeyScan, "default").Put(t.Context(), &meshv1.ScanReport{Id: id, Products: 3}))
	require.EqualValues(t, 3, ask[controlv1.GetScanResponse](r, "GetScan", `{}`).GetScan().GetProducts())
}

func TestScheduleScans_CommandsOneScanForAllReplicas(t *testing.T) {
	r := newRig(t)
	r.cfg.ScanInterval = time.Hour
	stop := r.start()
	r.start()
	subject := topology.CommandSubject(topology.Pull, "default", topology.VerbScan, "")
	commands, err := r.mesh.JetStream().Stream(t.Context(), topology.StreamCommand)
	require.NoError(t, err)
	scans := func() uint64 {
		info, err := commands.Info(t.Context(), jetstream.WithSubjectFilter(subject))
		require.NoError(t, err)
		return info.State.Subjects[subject]
	}
	require.Eventually(t, func() bool { return scans() == 1 }, patience, 10*time.Millisecond)
	stop()
	stop = r.start()
	localtest.Holds(t, 2*grace, func() bool { return scans() == 1 }, "one command for all replicas and restarts")
	require.NoError(t,
		r.stores.Record(topology.KeyScan, "default").Put(t.Context(),
			&meshv1.ScanReport{StartedAt: timestamppb.New(time.Now().Add(-2 * time.Hour))}))
	stop()
	r.start()
	require.Eventually(t, func() bool { return scans() == 2 }, patience, 10*time.Millisecond,
		"the scan after that one")
}

func TestControlAPI_RefusesBadRequests(t *testing.T) {
	r := newRig(t)
	r.cfg.Token = "secret"
	r.start()
	status, _ := r.call("GetStatus", `{}`)
	require.Equal(t, http.StatusUnauthorized, status)
	auth := []string{"Authorization", "Bearer secret"}
	status, answer := r.call("Plan", `{"product_idz":[]}`, auth...)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, string(answer), "product_idz")
	status, answer = r.call("ListHistory", `{"product_id":"x","limit":5000}`, auth...)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, string(answer), "limit: must be at most 1000")
}

func TestRun_FailsWithBadSettings(t *testing.T) {
	r := newRig(t)
	cfg := r.cfg
	cfg.LedgerURL = "postgres://someone:hidden@127.0.0.1:1/x"
	err := reconciliation.Run(t.Context(), cfg)
	require.ErrorContains(t, err, "cannot reach the database")
	require.NotContains(t, err.Error(), "hidden")
	cfg.LedgerURL = ""
	require.ErrorContains(t, reconciliation.Run(t.Context(), cfg), "LEDGER_DATABASE_URL")
}

func TestOutcome_AdoptionRemovesExtra(t *testing.T) {
	r := newRig(t)
	r.start()
	orphans := func() uint64 { return ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetOrphans() }
	for _, id := range []string{"prod_1", "prod_2", "prod_3"} {
		r.observe(id, "Mug", 0)
	}
	r.desire("mug", "Mug", 1)
	require.Eventually(t, func() bool { return orphans() == 3 }, patience, 10*time.Millisecond)

	// The same order as in push: store the link, store the record under the catalog's id, delete the other, publish the
	// outcome.
	require.NoError(t, r.stores.Links().Put(t.Context(), "default", "prod_1", "mug"))
	_, err := r.stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.StripeId, o.Version = "prod_1", 1
		o.Product = &catalogv1.Product{
			Id:       "prod_1",
			Name:     "Mug",
			Metadata: map[string]string{"driftless_product": "mug"},
		}
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, r.stores.Observed().Forget(t.Context(), "default", "prod_1"))
	outcome := &meshv1.Outcome{
		Id:        "adopted:1",
		Account:   "default",
		ProductId: "mug",
		StripeId:  "prod_1",
		Kind:      meshv1.OutcomeKind_OUTCOME_KIND_ADOPTED,
		At:        timestamppb.Now(),
	}
	require.NoError(t, r.mesh.Publish(t.Context(), topology.SyncSubject("default", outcome.GetKind(), "mug"), outcome))
	require.Eventually(t,
		func() bool { return orphans() == 2 && r.state("mug") == controlv1.ProductState_PRODUCT_STATE_IN_SYNC },
		patience, 10*time.Millisecond)
	require.Contains(t, r.kinds("mug"), "adopted")

	// An observation that was in flight while its product was linked is removed.
	require.NoError(t, r.stores.Links().Put(t.Context(), "default", "prod_2", "cup"))
	r.observe("prod_2", "Cup", 0)
	require.Eventually(t, func() bool { return orphans() == 1 }, patience, 10*time.Millisecond)
}

func TestRun_EndsIfConnectionIsClosed(t *testing.T) {
	r := newRig(t)
	line := localtest.LineTo(t, r.cfg.NATS.URL)
	cfg := r.cfg
	cfg.NATS.InProcess, cfg.HTTP = line, httpserver.Config{Addr: "127.0.0.1:0"}
	done := make(chan error, 1)
	go func() { done <- reconciliation.Run(t.Context(), cfg) }()
	r.desire("mug", "Mug", 1)
	require.Eventually(t, func() bool {
		consumers, err := r.mesh.Consumers(t.Context())
		for _, c := range consumers {
			if c.Consumer == topology.ReconciliationCatalog {
				return err == nil && c.Pending == 0 && c.InFlight == 0
			}
		}
		return false
	}, patience, 10*time.Millisecond, "at work")
	line.Abuse(t)
	require.ErrorContains(t, <-done, "the connection to NATS was closed for good")
}
