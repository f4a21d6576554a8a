package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// A product left the tables while all of NATS was made again. CATALOG has no message of it, and OBSERVED has only what
// a scan found. Only the ledger knows that the catalog had it.
func TestRebaseRemoved_ArchivesProductThatNobodyElseKnows(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.syncBoth("A")
	b.now = b.now.Add(time.Hour)
	found := &catalogv1.Observed{
		Account: "default", ProductId: product,
		Product: &catalogv1.Product{Id: product, Name: "Mug", Description: "A", Active: proto.Bool(true)},
	}
	before := b.now
	require.NoError(t, b.Apply(t.Context(),
		ledger.RebaseRemoved(product, before),
		ledger.RebaseObserved(found, ledger.Position{Sequence: 1, Stored: before}, before)))
	b.now = b.now.Add(time.Hour)
	b.findDrift()
	require.Equal(t, []ledger.Commands{{Repair: true, Archive: true}}, b.commands)

	// A removal on CATALOG is an order for push like any other.
	b.commands = nil
	b.sequence = 1000
	require.NoError(t, b.Apply(t.Context(), ledger.DesiredChange(&catalogv1.ProductChange{
		Account: "default", ProductId: product, Version: 1000, Operation: catalogv1.Operation_OPERATION_DELETE,
	}, ledger.Position{Sequence: 7, Stored: b.now}, ledger.Entry{})))
	b.observe("A", "")
	b.now = b.now.Add(time.Hour)
	b.findDrift()
	require.Equal(t, []ledger.Commands{{Repair: true}}, b.commands)
}

// A product left the tables, and CATALOG lost the message that said so before push had seen it.
func TestRebaseRemoved_ForgetsMessageThatCatalogLost(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.syncBoth("A")
	b.sequence = 1000
	require.NoError(t, b.Apply(t.Context(), ledger.DesiredChange(&catalogv1.ProductChange{
		Account: "default", ProductId: product, Version: 1000, Operation: catalogv1.Operation_OPERATION_DELETE,
	}, ledger.Position{Sequence: 7, Stored: b.now}, ledger.Entry{})))
	removed := b.now
	b.now = b.now.Add(time.Hour)
	found := &catalogv1.Observed{
		Account: "default", ProductId: product,
		Product: &catalogv1.Product{Id: product, Name: "Mug", Description: "A", Active: proto.Bool(true)},
	}
	n, err := b.ApplyAgain(t.Context(), ledger.RebaseRemoved(product, removed.Add(-time.Second)))
	require.NoError(t, err)
	require.Zero(t, n, "the message is later than the comparison")
	require.NoError(t, b.Apply(t.Context(),
		ledger.RebaseRemoved(product, b.now),
		ledger.RebaseObserved(found, ledger.Position{Sequence: 1, Stored: b.now}, b.now)))
	ids, err := b.IDsWithState(t.Context(), ledger.CatalogSide, "", 10)
	require.NoError(t, err)
	require.Empty(t, ids, "CATALOG has no message of any product")
	n, err = b.ApplyAgain(t.Context(), ledger.RebaseRemoved(product, b.now))
	require.NoError(t, err)
	require.Zero(t, n)

	b.now = b.now.Add(time.Hour)
	b.findDrift()
	require.Equal(t, []ledger.Commands{{Repair: true, Archive: true}}, b.commands)
}
