package push_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// failures returns the failed attempts that push has published.
func (r *rig) failures() (out []*meshv1.Outcome) {
	r.t.Helper()
	stream, err := r.mesh.JetStream().Stream(r.t.Context(), topology.StreamSync)
	require.NoError(r.t, err)
	info, err := stream.Info(r.t.Context())
	require.NoError(r.t, err)
	for seq := uint64(1); seq <= info.State.LastSeq; seq++ {
		msg, err := stream.GetMsg(r.t.Context(), seq)
		require.NoError(r.t, err)
		o := &meshv1.Outcome{}
		require.NoError(r.t, proto.Unmarshal(msg.Data, o))
		if o.GetKind() == meshv1.OutcomeKind_OUTCOME_KIND_FAILED {
			out = append(out, o)
		}
	}
	return out
}

func TestFailed_ReportsFirstAttemptsAndThenEachDoubling(t *testing.T) {
	t.Parallel()
	r := newRig(t, stripesim.Fault{Kind: stripesim.FaultErrorBefore, Method: http.MethodPost, Object: "mug", Count: 3})
	r.push()
	r.want(mug("Mug", "1400"), 10)
	r.applied("mug", 10)
	failed := r.failures()
	require.Len(t, failed, 2, "three attempts failed: the third is not reported")
	for i, o := range failed {
		require.EqualValues(t, i+1, o.GetAttempts())
		require.Equal(t, "mug", o.GetProductId())
		require.EqualValues(t, 10, o.GetVersion())
		require.Regexp(t, "^req_", o.GetStripeRequestId())
		require.Equal(t, "server_error", o.GetFailure())
		require.Contains(t, o.GetDetail(), o.GetStripeRequestId(), "it has Stripe's words")
		delay := o.GetNextAttemptAt().AsTime().Sub(o.GetAt().AsTime())
		require.Positive(t, delay)
		require.LessOrEqual(t, delay, 2*time.Second)
	}
	require.NotEqual(t, failed[0].GetId(), failed[1].GetId())
}

func TestFailed_ReportsAHaltOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, stripesim.Fault{Kind: stripesim.FaultKeyRevoked, Method: http.MethodPost})
	r.push()
	r.want(mug("Mug", "1400"), 10)
	require.Eventually(t, func() bool { return len(r.failures()) == 1 }, patience, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		reason, err := r.stores.Halted("default").GetString(t.Context())
		return err == nil && reason != ""
	}, patience, 10*time.Millisecond)
	require.Len(t, r.failures(), 1)
}
