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

// The variables are the number of histories of each policy or the seconds for all of them, and the first seed. The
// other seeds follow.
const (
	historiesVariable = "DRIFTLESS_HISTORIES"
	secondsVariable   = "DRIFTLESS_HISTORY_SECONDS"
	seedVariable      = "DRIFTLESS_HISTORY_SEED"
)

// The test runs a mesh of processes through random histories: edits and deletions on both sides, webhooks that are
// lost, late, duplicated and reordered, scans, restarts and kills. In the end both sides are as the policy wants them,
// and the ledger explains every remaining difference. The ledger has also seen every difference that others made to
// idle products, and no service does anything any more.
//
// The test takes minutes. It runs only if DRIFTLESS_HISTORIES is set to the number of histories of each policy, or
// DRIFTLESS_HISTORY_SECONDS to a time, as scripts/chaos does. In a given time it runs at least one history, and begins
// no other once the time is up. DRIFTLESS_HISTORY_SEED is the first seed. Defaults to 1. A seed repeats the same
// events, but not their timing.
func TestHistories_Converge(t *testing.T) {
	if os.Getenv(historiesVariable) == "" && os.Getenv(secondsVariable) == "" {
		t.Skipf("neither %s nor %s is set: how many histories each policy is to go through, half a minute each: "+
			"scripts/chaos", historiesVariable, secondsVariable)
	}
	count, seconds, seed := 1, 0, 1
	for name, to := range map[string]*int{
		historiesVariable: &count, secondsVariable: &seconds, seedVariable: &seed,
	} {
		if text := os.Getenv(name); text != "" {
			var err error
			*to, err = strconv.Atoi(text)
			require.NoError(t, err, name)
		}
	}
	const owned = "active=%[1]s,default_price=%[1]s,description=%[1]s,metadata=%[1]s,name=%[1]s,prices.active=%[1]s,prices.nickname=%[1]s"
	policies := []struct{ name, drift, rules, extras string }{
		{"repair", "repair", "", "archive"},
		{"report", "report", "", "report"},
		{"stripe", "repair", fmt.Sprintf(owned, "stripe"), "import"},
		{"newest", "repair", fmt.Sprintf(owned, "newest"), "ignore"},
		{
			"mixed", "repair",
			"description=stripe,metadata=newest,name=catalog:report,prices.nickname=stripe:report,active=newest:report",
			"ignore",
		},
	}
	begun := time.Now()
	// end is when no other history of the policies up to this one begins.
	end := func(policy int) time.Time {
		return begun.Add(time.Duration(seconds) * time.Second * time.Duration(policy+1) / time.Duration(len(policies)))
	}
	for n := range policies {
		// Short runs with other seeds begin with other policies.
		c := policies[(seed+n)%len(policies)]
		if seconds > 0 && n > 0 && time.Now().After(end(len(policies)-1)) {
			t.Logf("no time is left for the policy %s", c.name)
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			h := &historyRig{
				rig: newRig(t, unlimited,
					processes("DRIFTLESS_DRIFT_POLICY="+c.drift, "DRIFTLESS_POLICY="+c.rules,
						"DRIFTLESS_EXTRAS="+c.extras)),
				extras: c.extras, keys: strings.Contains(c.rules, "metadata="), strays: map[string]bool{},
				theirKeys: map[string]bool{},
			}
			for i := 0; i == 0 || seconds == 0 && i < count || seconds > 0 && time.Now().Before(end(n)); i++ {
				h.runHistory(seed + i)
			}
		})
	}
}

// historyRig is a mesh that runs histories.
type historyRig struct {
	*rig

	extras string
	// keys means that metadata keys that the catalog does not have are differences, because the catalog does not own
	// them.
	keys bool
	// name is the name of the history. Its products' ids begin with it.
	name string
	// strays are the products that were created in Stripe. theirKeys are those whose metadata others have written. Both
	// cover all histories.
	strays, theirKeys map[string]bool
	// silent means that Stripe was edited without an event.
	silent bool
}

// runHistory runs one history and checks its end.
func (h *historyRig) runHistory(seed int) {
	h.t.Helper()
	h.t.Logf("history of seed %d; to repeat it: %s=%d go test ./services/test/e2e -run '^%s$'", seed, seedVariable, seed,
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
	h.waitSettled()
	h.waitQuiet()
	h.checkExplained()
}

// await waits for a condition, which returns why it does not hold.
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

// waitSettled waits until the mesh has nothing to do any more, once a scan has found edits without an event. Drift that
// waits for a decision is decided for the catalog.
func (h *historyRig) waitSettled() {
	h.t.Helper()
	if h.silent {
		h.scan()
		h.silent = false
	}
	h.waitIdle()
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
		h.waitIdle()
	}
}

// scan orders a scan and waits for its end.
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

// waitIdle waits until everything is captured, every webhook has arrived, nothing is in flight, and no repair is
// running.
func (h *historyRig) waitIdle() {
	h.t.Helper()
	h.captured()
	h.waitPulled()
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

// waitPulled waits until every webhook has been delivered or lost, and Stripe's events have been read since.
func (h *historyRig) waitPulled() {
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
	// The read that is running may be older.
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

// waitQuiet waits until nothing is written to Stripe and nothing is published on SYNC for some seconds. It then checks
// that this stays so. Confirmations may come late.
func (h *historyRig) waitQuiet() {
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
	localtest.Holds(h.t, 2*time.Second, func() bool { return activity() == last }, "no service makes a request")
}

// checkExplained compares the sides itself. Every difference must be open drift with both values, and there must be no
// other open drift.
func (h *historyRig) checkExplained() {
	h.t.Helper()
	h.await("the ledger explains what differs", func(context.Context) string {
		differ, open := h.differences(), map[string]string{}
		for _, d := range h.drift() {
			open[d.GetProductId()+" "+d.GetDifference().GetField()] = d.GetDifference().GetCatalog() + " / " +
				d.GetDifference().GetStripe()
		}
		return explainMismatch(differ, open)
	})
}
