package control_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/heartbeat"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

// announced is a process that announces itself as a service does, and does nothing else.
type announced struct {
	// kill ends it as SIGKILL does, and stop as SIGTERM does.
	kill, stop func()
}

func announce(r *controltest.Rig, service, version string) announced {
	r.T.Helper()
	cfg := r.Config.NATS
	cfg.Name, cfg.Version = service, version
	m, err := mesh.Connect(r.T.Context(), cfg)
	require.NoError(r.T, err)
	ctx, cancel := context.WithCancel(r.T.Context())
	done := make(chan error, 1)
	go func() {
		done <- heartbeat.Run(ctx, heartbeat.Config{
			Service:  service,
			Mesh:     m,
			Interval: 100 * time.Millisecond,
			Describe: func(p *meshv1.Process) { p.Doing = "waits for changes" },
		})
	}()
	r.T.Cleanup(func() {
		cancel()
		m.Close()
	})
	return announced{
		kill: m.Conn().Close,
		stop: func() {
			cancel()
			require.NoError(r.T, <-done)
		},
	}
}

func status(r *controltest.Rig) *controlv1.GetStatusResponse {
	return controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`)
}

// service returns the state of a service.
func service(r *controltest.Rig, name string) *controlv1.ServiceStatus {
	for _, s := range controltest.Ask[controlv1.ListProcessesResponse](r, "ListProcesses", `{}`).GetServices() {
		if s.GetService() == name {
			return s
		}
	}
	return nil
}

func hasNotice(notices []*controlv1.Notice, kind, text string) bool {
	for _, n := range notices {
		if n.GetKind() == kind && n.GetText() == text {
			return true
		}
	}
	return false
}

// All parts share one reconciliation.
func TestGetStatus_ShowsProcessesAndFlow(t *testing.T) {
	r := controltest.New(t)
	r.Config.GracePeriod = time.Hour
	r.Config.NATS.Version = "1.0.0"
	r.Start()
	eventually := func(condition func() bool, what string) {
		t.Helper()
		require.Eventually(t, condition, controltest.Patience, 20*time.Millisecond, what)
	}

	eventually(func() bool { return service(r, topology.Reconciliation).GetRunning() == 1 }, "it announces itself")
	require.Equal(t, []string{"1.0.0"}, service(r, topology.Reconciliation).GetVersions())
	require.Equal(t, "keeps the ledger", service(r, topology.Reconciliation).GetDoing())
	require.True(t, hasNotice(status(r).GetProblems(), "service",
		"push does not run: no process has announced itself within an hour"))

	// Two versions of push.
	first, second := announce(r, topology.Push, "1.0.0"), announce(r, topology.Push, "0.9.0")
	eventually(func() bool { return service(r, topology.Push).GetRunning() == 2 }, "both run")
	require.Empty(t, service(r, topology.Push).GetProblem())
	eventually(func() bool {
		return hasNotice(status(r).GetNotes(), "version",
			"the services run different versions: push 0.9.0, push 1.0.0, reconciliation 1.0.0")
	}, "the versions differ")

	// One of them is killed, and the other one stops.
	first.kill()
	eventually(func() bool { return service(r, topology.Push).GetRunning() == 1 }, "a killed process is missed")
	require.Equal(t, "lost", service(r, topology.Push).GetProcesses()[1].GetState())
	second.stop()
	require.Zero(t, service(r, topology.Push).GetRunning())
	require.Contains(t, service(r, topology.Push).GetProblem(), "does not run: stopped ")

	// A change waits, since no push takes it.
	r.Desire("mug", "Mug", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_PENDING)
	s := status(r)
	require.NotNil(t, s.GetOldestDifferenceAt())
	flow := map[string]*controlv1.FlowStatus{}
	for _, f := range s.GetFlow() {
		flow[f.GetName()] = f
	}
	require.EqualValues(t, 1, flow["live"].GetWaiting())
	require.NotNil(t, flow["live"].GetOldestAt())
	require.Zero(t, flow["bulk"].GetWaiting())
	require.Nil(t, flow["bulk"].GetOldestAt())
	eventually(func() bool {
		for _, f := range status(r).GetFlow() {
			if f.GetName() == "live" {
				return f.PerSecond != nil && f.GetPerSecond() == 0 && f.GetLeft() == nil
			}
		}
		return false
	}, "nothing moves, so nothing is known of the end")
}

func TestListRetries_PagesRetries(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	for i := range 5 {
		require.NoError(t, r.Mesh.RetryLater(t.Context(), topology.Push, &meshv1.Retry{
			Account:   "default",
			ProductId: fmt.Sprintf("p%d", i),
			Version:   uint64(i + 1),
			Attempts:  uint64(i),
			Lane:      "live",
			Error:     "Stripe: An unknown error occurred [req_1]",
		}, time.Hour))
	}
	var got []string
	for after, pages := uint64(0), 0; ; pages++ {
		page := controltest.Ask[controlv1.ListRetriesResponse](r, "ListRetries",
			fmt.Sprintf(`{"limit":2,"after":%d}`, after))
		require.EqualValues(t, 5, page.GetTotal())
		for _, retry := range page.GetRetries() {
			got = append(got, retry.GetProductId())
			require.True(t, retry.GetDueAt().AsTime().After(page.GetAt().AsTime()))
		}
		if after = page.GetNext(); after == 0 {
			require.Equal(t, 2, pages)
			break
		}
	}
	require.Equal(t, []string{"p0", "p1", "p2", "p3", "p4"}, got)
	s := status(r)
	require.True(t, hasNotice(s.GetProblems(), "failing",
		"4 products keep failing: p4 after 4 attempts: Stripe: An unknown error occurred [req_1]"), "p0 has not failed")
	for _, f := range s.GetFlow() {
		if f.GetName() == "retries" {
			require.EqualValues(t, 5, f.GetWaiting())
			require.NotNil(t, f.GetNextAt())
		}
	}

	// Nobody takes it, as if push were paused.
	require.NoError(t, r.Mesh.RetryLater(t.Context(), topology.Push, &meshv1.Retry{
		Account: "default", ProductId: "due", Version: 9, Attempts: 1, Lane: "live",
	}, time.Second))
	require.Eventually(t, func() bool {
		return controltest.Ask[controlv1.ListRetriesResponse](r, "ListRetries", `{}`).GetDue() == 1
	}, controltest.Patience, 50*time.Millisecond)
}

// All parts share one reconciliation and its ledger.
func TestListActivity(t *testing.T) {
	r := controltest.New(t)
	r.Config.GracePeriod = time.Hour
	stop := r.Start()
	list := func(request string) []*controlv1.ActivityEntry {
		return controltest.Ask[controlv1.ListActivityResponse](r, "ListActivity", request).GetEntries()
	}
	require.Empty(t, list(`{"latest":5}`))
	r.Desire("mug", "Mug", 10)
	r.Desire("cup", "Cup", 11)
	require.Eventually(t, func() bool { return len(list(`{}`)) == 2 }, controltest.Patience, 10*time.Millisecond)
	all := list(`{}`)
	require.Less(t, all[0].GetId(), all[1].GetId())
	require.Equal(t, "catalog_change", all[0].GetEntry().GetKind())
	require.NotEmpty(t, all[0].GetEntry().GetChanges())
	require.Equal(t, all[1:], list(fmt.Sprintf(`{"after":%d}`, all[0].GetId())))
	require.Equal(t, all[1].GetId(), list(`{"latest":1}`)[0].GetId())
	require.Len(t, list(`{"limit":1}`), 1)
	require.Len(t, list(`{"product_ids":["cup"]}`), 1)
	require.Empty(t, list(`{"failed":true}`))

	// It waits for what comes.
	last := all[1].GetId()
	require.Empty(t, list(fmt.Sprintf(`{"after":%d,"wait":"0.1s"}`, last)))
	arrived := make(chan []*controlv1.ActivityEntry, 1)
	go func() { arrived <- list(fmt.Sprintf(`{"after":%d,"wait":"30s"}`, last)) }()
	r.AddDeadLetter(topology.Push, "mug", "refused_by_stripe", 10)
	entries := <-arrived
	require.Equal(t, "mug", entries[0].GetProductId())
	require.Equal(t, "dead", entries[0].GetEntry().GetKind())
	require.Equal(t, entries, list(`{"failed":true,"latest":10}`))

	// A stop of the service does not wait for those who wait.
	last = entries[len(entries)-1].GetId()
	ended := make(chan int, 1)
	go func() {
		code, _ := r.Call("ListActivity", fmt.Sprintf(`{"after":%d,"wait":"30s"}`, last+1000))
		ended <- code
	}()
	require.Empty(t, list(fmt.Sprintf(`{"after":%d,"wait":"0.5s"}`, last+1000)), "the other call waits by now")
	began := time.Now()
	stop()
	require.Less(t, time.Since(began), 4*time.Second, "the time to drain is 5 s")
	require.Equal(t, 200, <-ended)
}

func TestListProducts_Filters(t *testing.T) {
	r := controltest.New(t)
	r.Config.GracePeriod = time.Hour
	r.Start()
	r.Desire("mug", "Stoneware Mug", 10)
	r.Observe("mug", "Stoneware Mug", 10)
	r.Desire("cup", "Cup", 11)
	r.Observe("poster", "Old POSTER of a mug", 0)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.Eventually("cup", controlv1.ProductState_PRODUCT_STATE_PENDING)
	r.Eventually("poster", controlv1.ProductState_PRODUCT_STATE_ORPHAN)
	for request, want := range map[string][]string{
		`{}`:                    {"cup", "mug", "poster"},
		`{"kinds":["catalog"]}`: {"cup", "mug"},
		`{"kinds":["extra"]}`:   {"poster"},
		`{"kinds":["left"]}`:    nil,
		`{"search":"MUG"}`:      {"mug", "poster"},
		`{"search":"%"}`:        nil,
		`{"states":["PRODUCT_STATE_PENDING","PRODUCT_STATE_ORPHAN"]}`: {"cup", "poster"},
		`{"search":"u","states":["PRODUCT_STATE_PENDING"]}`:           {"cup"},
		`{"limit":1}`: {"cup"},
		`{"limit":1,"after":"cup","kinds":["catalog","extra"]}`: {"mug"},
	} {
		var got []string
		for _, p := range controltest.Ask[controlv1.ListProductsResponse](r, "ListProducts", request).GetProducts() {
			got = append(got, p.GetProductId())
		}
		require.Equal(t, want, got, request)
	}
	status, _ := r.Call("ListProducts", `{"kinds":["orphan"]}`)
	require.Equal(t, 400, status)
}
