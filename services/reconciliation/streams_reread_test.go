package reconciliation_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

// hasReadTo waits until the ledger has stored that a stream was read up to a sequence.
func hasReadTo(t *testing.T, r *controltest.Rig, stream string, want uint64) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), r.Config.LedgerURL)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	var got int64
	require.Eventually(t, func() bool {
		require.NoError(t, conn.QueryRow(t.Context(), `SELECT coalesce(max(read_to), -1)
			FROM driftless_ledger.stream_position WHERE stream = $1`, stream).Scan(&got))
		return got >= int64(want)
	}, controltest.Patience, 20*time.Millisecond, "%s was read up to %d of %d", stream, &got, want)
}

// unknownBecause waits until equality is unknown for a reason. There is no answer while a stream does not exist.
func unknownBecause(t *testing.T, r *controltest.Rig, reason string) {
	t.Helper()
	var answer []byte
	require.Eventually(t, func() bool {
		r.Report(nil)
		_, answer = r.Call("GetStatus", `{}`)
		return strings.Contains(string(answer), reason)
	}, controltest.Patience, 20*time.Millisecond, &answer)
}

// SYNC is made again while reconciliation runs. How far the earlier one was read says nothing about it.
func TestStreams_MadeAgainAndPurgedUnreadAreRepaired(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	stop := inSync(t, r, "mug")
	r.Pull()
	for i := range 5 {
		r.PublishOutcome("mug", fmt.Sprint("before-", i))
	}
	hasReadTo(t, r, topology.StreamSync, 5)
	require.NoError(t, r.Mesh.JetStream().DeleteStream(t.Context(), topology.StreamSync))
	require.NoError(t, topology.Apply(t.Context(), r.Mesh.JetStream(), topology.Options{}))
	unknownBecause(t, r, "stream SYNC is not the one that the ledger was made from")
	repaired(t, r)
	stop()

	r.PublishOutcome("mug", "after-0")
	r.PublishOutcome("mug", "after-1")
	purge(t, r, topology.StreamSync)
	r.Start()
	unknownBecause(t, r, "messages of stream SYNC may have been removed before they were read")
	repaired(t, r)
}

// While a reread waits for a scan, a limit of SYNC removes entries that were read.
func TestStreams_LimitDuringRereadBeginsNoOther(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	stop := inSync(t, r, "mug")
	r.Pull()
	r.PublishOutcome("mug", "first")
	hasReadTo(t, r, topology.StreamSync, 1)
	stop()
	r.Observe("mug", "Renamed in Stripe", 10)
	purge(t, r, observedStream)

	r.Start()
	knowsRemoval(t, r, observedStream)
	for i := range 5 {
		r.PublishOutcome("mug", fmt.Sprint("during-", i))
	}
	hasReadTo(t, r, topology.StreamSync, 6)
	purge(t, r, topology.StreamSync)
	neverAgain := r.AsksStatus(func(s *controlv1.GetStatusResponse) {
		if strings.Contains(s.GetEquality().GetUnknown(), "stream SYNC") {
			t.Errorf("unknown: %s", s.GetEquality().GetUnknown())
		}
	})
	r.Observe("mug", "Renamed in Stripe", 10)
	repaired(t, r)
	// The positions are stored and checked once more.
	r.PublishOutcome("mug", "last")
	hasReadTo(t, r, topology.StreamSync, 7)
	r.Known()
	neverAgain()
}

// Reconciliation is behind, and later states have replaced those which it has not read. That is looked up once.
func TestStreams_ReplacedMessagesAreLookedUpOnce(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	stop := inSync(t, r, "mug", "cup")
	r.Pull()
	r.Known()
	stop()
	_, err := r.Mesh.JetStream().PauseConsumer(t.Context(), observedStream,
		topology.ReconciliationObserved.Durable("default"), r.Now().Add(time.Hour))
	require.NoError(t, err)
	for i := range 10 {
		for _, id := range []string{"mug", "cup"} {
			r.Observe(id, fmt.Sprint("Name ", i), uint64(20+i))
		}
	}
	stream, err := r.Mesh.JetStream().Stream(t.Context(), observedStream)
	require.NoError(t, err)
	first := stream.CachedInfo().State.FirstSeq
	require.Greater(t, first, uint64(3), "the stream begins behind what was read")

	r.Start()
	hasReadTo(t, r, observedStream, first-1)
	r.Report(nil)
	require.NotContains(t, r.Equality().GetUnknown(), "removed")
}

// The copy is older than a rename in Stripe, and OBSERVED has lost the message that said so.
func TestLedger_RestoredWhileRunningNoticesPurgeSinceCopy(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	inSync(t, r, "mug")
	r.Pull()
	r.Known()
	hasReadTo(t, r, observedStream, 1)
	older := r.CopyLedger()
	r.Observe("mug", "Renamed in Stripe", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_DRIFTED)
	hasReadTo(t, r, observedStream, 2)
	purge(t, r, observedStream)

	r.RestoreLedger(older)
	unknownBecause(t, r, "messages of stream "+observedStream+" may have been removed")
	r.Observe("mug", "Renamed in Stripe", 10)
	r.Idle()
	repaired(t, r)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_DRIFTED)
}
