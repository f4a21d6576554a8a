package cli

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/guard"
)

// heldBy returns the rules that hold a product, in order of their names.
func heldBy(h *catalogv1.Hold) []string {
	rules := map[string]bool{}
	for _, f := range h.GetFindings() {
		rules[f.GetRule()] = true
	}
	return slices.Sorted(maps.Keys(rules))
}

// isCounted reports whether only a rule that counts holds a product.
func isCounted(rules []string) bool {
	return slices.Equal(rules, []string{string(guard.ArchivedProducts)})
}

// requireHeld compares what the preview showed as held with what push holds. Push may get the changes that count in
// another order. So only their number is the same.
func (r *reality) requireHeld(b batch, before, after map[string]*catalogv1.Observed) (held int) {
	shown := map[string]bool{}
	var shownCounted, counted []string
	for _, p := range b.shown {
		id := p.GetProductId()
		shown[id] = true
		if p.GetRefused() != "" {
			// Nothing is published, so push goes on with what it had.
			require.Equal(r, heldBy(before[id].GetHold()), heldBy(after[id].GetHold()), id)
			r.requireMade(b, id, false)
			continue
		}
		want, have := heldBy(p.GetHold()), heldBy(after[id].GetHold())
		if isCounted(want) {
			shownCounted, want = append(shownCounted, id), nil
		}
		r.requireMade(b, id, len(have) == 0)
		if isCounted(have) {
			counted, have = append(counted, id), nil
		}
		require.ElementsMatch(r, want, have, "%s: shown %v, held %v", id, p.GetHold(), after[id].GetHold())
		held += len(have)
	}
	require.Len(r, counted, len(shownCounted), "%s: shown %v, held %v", guard.ArchivedProducts, shownCounted, counted)
	for id, o := range after {
		if !shown[id] {
			require.Equal(r, heldBy(before[id].GetHold()), heldBy(o.GetHold()), id)
		}
	}
	return held + len(counted)
}

// approveAll approves everything that is held, and waits until push has made it.
func (r *reality) approveAll() {
	client, err := address{}.control(r.cli)
	require.NoError(r, err)
	for request := (&controlv1.ApproveRequest{All: true, Actor: "ann", Reason: "test"}); ; {
		resp, err := client.Approve(r.Context(), connect.NewRequest(request))
		require.NoError(r, err)
		if request.After = resp.Msg.GetNext(); request.GetAfter() == "" {
			break
		}
	}
	require.Eventually(r, func() bool {
		status, err := client.GetStatus(r.Context(), connect.NewRequest(&controlv1.GetStatusRequest{}))
		return err == nil && status.Msg.GetHeld() == 0
	}, scriptTimeout, 20*time.Millisecond)
	awaitQuiet(r.T, r.cli)
}

// With the guard on, what the preview shows as held is what push holds, and push makes exactly the other calls.
func TestPreview_EqualsRealityUnderTheGuard(t *testing.T) {
	t.Parallel()
	r := newReality(t, "guard", "allow8")
	held, calls := 0, 0
	for n := range 6 {
		before := observedProducts(t, r.cli)
		b := r.edit(50)
		held += r.requireHeld(b, before, observedProducts(t, r.cli))
		calls += len(b.made)
		if t.Failed() {
			t.Fatalf("batch %d:\n%s", n, strings.Join(b.statements, "\n"))
		}
		if n%2 == 1 {
			r.approveAll()
		}
	}
	require.Greater(t, held, 20)
	require.Greater(t, calls, 50)
}
