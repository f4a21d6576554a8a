package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// failWriteBack stores the letter of a write-back that the tables refused, and returns it.
func (b *bench) failWriteBack() *meshv1.DeadLetter {
	b.t.Helper()
	p, err := b.Product(b.t.Context(), product)
	require.NoError(b.t, err)
	letter := &meshv1.DeadLetter{
		Id:        "refused",
		Service:   topology.Ingestion,
		Account:   "default",
		ProductId: product,
		Version:   p.Desired.GetVersion(),
		Reason:    topology.ReasonWriteBackFailed,
		Message:   "refused by Postgres: ask the copy desk",
		LastAt:    timestamppb.New(b.now),
	}
	require.NoError(b.t, b.Apply(b.t.Context(), ledger.DeadLetterChange(letter, ledger.Entry{
		EventID: "DEAD:refused", Product: product, At: b.now, Kind: "dead", Version: letter.GetVersion(),
	})))
	return letter
}

func (b *bench) openLetters() int {
	b.t.Helper()
	letters, err := b.DeadLetters(b.t.Context(), ledger.Letters{}, 10)
	require.NoError(b.t, err)
	return len(letters)
}

func (b *bench) keep(side ledger.Side) []*ledger.Drift {
	b.t.Helper()
	entry := ledger.Entry{EventID: "decision", Product: product, At: b.now, Kind: "resolved"}
	decided, err := b.Decide(b.t.Context(), product, nil, entry, ledger.Decision{Keep: side}, nil)
	require.NoError(b.t, err)
	return decided
}

// The pages tell operators that no letter stays, and how the write-back is tried again.
func TestFailedWriteBack_LeavesWaitingDriftAndNoLetter(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]catalog.Rule{"description": {Owner: catalog.OwnerStripe}})
	b.syncBoth("A")
	b.observe("theirs", "")
	b.findDrift()
	require.Len(t, b.commands, 1)
	b.failWriteBack()
	require.Zero(t, b.openLetters())
	require.Equal(t, ledger.Waiting, b.latest().State)
	require.Equal(t, "refused by Postgres: ask the copy desk", b.latest().Detail)

	require.Len(t, b.keep(ledger.StripeSide), 1)
	b.now = b.now.Add(time.Hour)
	b.findDrift()
	require.Len(t, b.commands, 2)
	require.Equal(t, []string{"description"}, b.commands[1].WriteBack)
}

// The pages tell operators that the letter stays if the guard holds the change, and that they have to drop it.
func TestFailedWriteBack_OfHeldChangeLeavesLetter(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.syncBoth("A")
	applied := b.sequence - 1
	version := b.desireProduct(product, "B")
	b.observeHold(product, "A", applied, heldBy(version, b.now, "amount_change"))
	require.Equal(t, ledger.Held, b.state())
	letter := b.failWriteBack()
	require.Equal(t, 1, b.openLetters())
	require.Equal(t, ledger.Dead, b.state())
	require.Empty(t, b.keep(ledger.CatalogSide), "a held change is no drift")
	require.Equal(t, ledger.Dead, b.state())

	dropped, err := b.Drop(t.Context(), letter,
		ledger.Entry{EventID: "DROP", Product: product, At: b.now, Kind: "dropped"})
	require.NoError(t, err)
	require.True(t, dropped)
	require.Equal(t, ledger.Held, b.state(), "it can be approved or rejected again")
}
