package e2e_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// How many histories each policy goes through, and the seed of the first; those of the others follow it.
const (
	historiesVariable = "DRIFTLESS_HISTORIES"
	seedVariable      = "DRIFTLESS_HISTORY_SEED"
)

// TestHistories_Converge takes a mesh of processes through random histories: edits and deletions on both
// sides, webhooks that are lost, late, doubled and overtaken, scans, restarts and kills. In the end both sides are as
// the policy wants them, the ledger explains whatever still differs, has seen every difference that others made to what
// was at rest, and nobody does anything any more.
//
// It takes minutes, and runs only where DRIFTLESS_HISTORIES says how many histories each policy gets, as scripts/chaos
// does. DRIFTLESS_HISTORY_SEED is which is the first, 1 if it is not set: a seed gives the same events again, not the
// same moments.
func TestHistories_Converge(t *testing.T) {
	if os.Getenv(historiesVariable) == "" {
		t.Skipf("%s is not set: how many histories each policy is to go through, half a minute each: scripts/chaos",
			historiesVariable)
	}
	count, seed := 1, 1
	for name, to := range map[string]*int{historiesVariable: &count, seedVariable: &seed} {
		if text := os.Getenv(name); text != "" {
			var err error
			*to, err = strconv.Atoi(text)
			require.NoError(t, err, name)
		}
	}
	const owned = "active=%[1]s,default_price=%[1]s,description=%[1]s,metadata=%[1]s,name=%[1]s,prices.active=%[1]s,prices.nickname=%[1]s"
	for _, c := range []struct{ name, drift, rules, extras string }{
		{"repair", "repair", "", "archive"},
		{"report", "report", "", "report"},
		{"stripe", "repair", fmt.Sprintf(owned, "stripe"), "import"},
		{"newest", "repair", fmt.Sprintf(owned, "newest"), "ignore"},
		{
			"mixed", "repair",
			"description=stripe,metadata=newest,name=catalog:report,prices.nickname=stripe:report,active=newest:report",
			"ignore",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &historyRig{
				rig: newRig(t, unlimited,
					processes("DRIFTLESS_DRIFT_POLICY="+c.drift, "DRIFTLESS_POLICY="+c.rules,
						"DRIFTLESS_EXTRAS="+c.extras)),
				extras: c.extras, keys: strings.Contains(c.rules, "metadata="), strays: map[string]bool{},
				theirKeys: map[string]bool{},
			}
			for i := range count {
				h.live(seed + i)
			}
		})
	}
}

// historyRig is a mesh that histories happen to.
type historyRig struct {
	*rig

	extras string
	// keys of metadata that the catalog does not have are differences, because it is not their owner.
	keys bool
	// name of the history, with which its products' ids begin.
	name string
	// strays are the products that were made in Stripe, and theirKeys those whose metadata others have written, in all
	// histories.
	strays, theirKeys map[string]bool
	// silent says whether something has happened in Stripe that no event tells of.
	silent bool
}

// live has one history happen, and looks at its end.
func (h *historyRig) live(seed int) {
	h.t.Helper()
	h.t.Logf("history of seed %d; to repeat it: %s=%d go test ./cmd/e2e -run '^%s$'", seed, seedVariable, seed,
		h.t.Name())
	h.name, h.silent = fmt.Sprintf("h%d", seed), false
	past := histories.Example(seed)
	for _, f := range past.faults {
		_, err := h.admin.AddFault(h.t.Context(), f)
		require.NoError(h.t, err)
	}
	var told strings.Builder
	defer func() { h.t.Logf("what happened:%s", told.String()) }()
	for _, e := range past.events {
		fmt.Fprintf(&told, "\n%s %s", time.Now().Format("15:04:05.000"), e)
		if result := e.do(h); result != nil {
			fmt.Fprintf(&told, ": %v", result)
		}
	}
	require.NoError(h.t, h.admin.ClearFaults(h.t.Context()))
	fmt.Fprintf(&told, "\n%s the end", time.Now().Format("15:04:05.000"))
	h.settle()
	h.quiet()
	h.explained()
}

// await waits for a condition, which says why it does not hold.
func (h *historyRig) await(what string, holds func(context.Context) (why string)) {
	h.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		why := holds(h.t.Context())
		if why == "" {
			return
		}
		require.True(h.t, time.Now().Before(deadline), "%s: %s", what, why)
		select {
		case <-h.t.Context().Done():
		case <-time.After(30 * time.Millisecond):
		}
	}
}

// settle waits until the mesh has nothing to do any more, once it has been told what no event told. What waits for a
// person is decided for the catalog.
func (h *historyRig) settle() {
	h.t.Helper()
	if h.silent {
		h.scan()
		h.silent = false
	}
	h.atRest()
	for {
		waiting := h.drift("waiting")
		if len(waiting) == 0 {
			return
		}
		for _, d := range waiting {
			require.NotEmpty(h.t, d.GetDetail(), d)
			field := d.GetDifference().GetField()
			if field == "" {
				field = "-"
			}
			_, err := h.control.ResolveDrift(h.t.Context(), connect.NewRequest(&controlv1.ResolveDriftRequest{
				ProductId: d.GetProductId(), Fields: []string{field}, Keep: controlv1.Keep_KEEP_CATALOG,
			}))
			if connect.CodeOf(err) != connect.CodeNotFound {
				require.NoError(h.t, err)
			}
		}
		h.atRest()
	}
}

// scan has all of Stripe read, and waits for the end.
func (h *historyRig) scan() {
	h.t.Helper()
	var id string
	h.await("a scan is ordered", func(ctx context.Context) string {
		resp, err := h.control.StartScan(ctx, connect.NewRequest(&controlv1.StartScanRequest{}))
		if err != nil {
			return err.Error()
		}
		id = resp.Msg.GetId()
		return ""
	})
	h.await("the scan ends", func(ctx context.Context) string {
		resp, err := h.control.GetScan(ctx, connect.NewRequest(&controlv1.GetScanRequest{}))
		if err != nil {
			return err.Error()
		}
		if s := resp.Msg.GetScan(); s.GetId() != id || s.GetFinishedAt() == nil {
			return fmt.Sprint(s)
		}
		return ""
	})
}

// atRest waits until everything is captured, every webhook has come, nothing is in flight, and nobody mends anything.
func (h *historyRig) atRest() {
	h.t.Helper()
	h.captured()
	h.pulled()
	calm := 0
	h.await("at rest", func(ctx context.Context) string {
		plan, err := h.control.Plan(ctx, connect.NewRequest(&controlv1.PlanRequest{}))
		if err != nil {
			return err.Error()
		}
		status, err := h.control.GetStatus(ctx, connect.NewRequest(&controlv1.GetStatusRequest{}))
		if err != nil {
			return err.Error()
		}
		s, why := status.Msg, ""
		switch {
		case plan.Msg.GetInFlight() > 0:
			why = fmt.Sprintf("%d messages in flight", plan.Msg.GetInFlight())
		case s.GetPending() > 0 || s.GetDead() > 0 || s.GetRetrying() > 0:
			why = fmt.Sprintf("%d pending, %d dead, %d retrying: %v", s.GetPending(), s.GetDead(), s.GetRetrying(),
				plan.Msg.GetProducts())
		}
		for _, d := range h.drift("found", "repairing") {
			if d.GetState() == "repairing" || d.GetDifference().GetAction() != "report" {
				why = fmt.Sprint(d)
			}
		}
		if why != "" {
			calm = 0
			return why
		}
		if calm++; calm < 3 {
			return "not looked at often enough"
		}
		return ""
	})
}

// pulled waits until every webhook has been delivered, or lost, and Stripe's events have been read since.
func (h *historyRig) pulled() {
	h.t.Helper()
	h.await("webhooks", func(ctx context.Context) string {
		stats, err := h.admin.Stats(ctx)
		if err != nil {
			return err.Error()
		}
		if n := stats.Webhooks.Pending; n > 0 {
			return fmt.Sprintf("%d are pending", n)
		}
		return ""
	})
	// The reading that is under way may be older.
	var first time.Time
	h.await("events are read", func(ctx context.Context) string {
		status, err := h.control.GetStatus(ctx, connect.NewRequest(&controlv1.GetStatusRequest{}))
		if err != nil {
			return err.Error()
		}
		at := status.Msg.GetLastPoll().GetAt().AsTime()
		if first.IsZero() {
			first = time.Now()
		}
		if at.Before(first.Add(time.Second)) {
			return fmt.Sprintf("last at %s", at)
		}
		return ""
	})
}

func (h *historyRig) captured() {
	h.t.Helper()
	h.await("captured", func(ctx context.Context) string {
		if _, err := h.ingest.WaitCaptured(ctx, connect.NewRequest(&ingestv1.WaitCapturedRequest{})); err != nil {
			return err.Error()
		}
		return ""
	})
}

// quiet waits until nothing is written to Stripe, and nothing is told on SYNC, for some seconds; then it must stay so.
// Confirmations may come late.
func (h *historyRig) quiet() {
	h.t.Helper()
	activity := func() string {
		counts := []string{fmt.Sprint(h.writes())}
		info, err := h.mesh.JetStream().Stream(h.t.Context(), topology.StreamSync)
		require.NoError(h.t, err)
		state, err := info.Info(h.t.Context(), jetstream.WithSubjectFilter("sync.>"))
		require.NoError(h.t, err)
		for subject, n := range state.State.Subjects {
			if parts := strings.Split(subject, "."); parts[2] != "confirmed" {
				counts = append(counts, fmt.Sprintf("%s:%d", subject, n))
			}
		}
		slices.Sort(counts)
		return strings.Join(counts, " ")
	}
	last, since := "", time.Now()
	h.await("quiet", func(context.Context) string {
		if now := activity(); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) < time.Second {
			return last
		}
		return ""
	})
	localtest.Holds(h.t, 2*time.Second, func() bool { return activity() == last }, "nobody does anything any more")
}

// explained compares the sides by themselves: what differs is open drift with both values, and nothing else is.
func (h *historyRig) explained() {
	h.t.Helper()
	h.await("the ledger explains what differs", func(context.Context) string {
		differ, open := h.differences(), map[string]string{}
		for _, d := range h.drift() {
			open[d.GetProductId()+" "+d.GetDifference().GetField()] = d.GetDifference().GetCatalog() + " / " +
				d.GetDifference().GetStripe()
		}
		return unlike(differ, open)
	})
}
