package control

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/postgres"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// away is where an operator finds what to do.
const away = "docs/runbooks/DriftlessDatabaseUnreachable.md"

// openLedger opens a ledger at an address, whether or not something listens there.
func openLedger(t *testing.T, url string) *ledger.Ledger {
	t.Helper()
	l, err := ledger.OpenMigrated(t.Context(), postgres.Database{URL: url}, ledger.Config{Account: "default"})
	require.NoError(t, err)
	t.Cleanup(l.Close)
	return l
}

// A database that hangs must not keep an operator waiting until the call's deadline.
func TestRequireLedger_EndsCallsOfADatabaseThatHangs(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it accepts connections and never answers
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	l := openLedger(t, "postgres://driftless@"+silent.Addr().String()+"/driftless?sslmode=disable")
	call := requireLedger(l.Answers, time.Millisecond, 100*time.Millisecond)(
		func(ctx context.Context, _ connect.AnyRequest) (connect.AnyResponse, error) {
			return nil, unavailable(l.Ready(ctx))
		})
	_, err = call(t.Context(), nil)
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
	require.ErrorContains(t, err, "reconciliation cannot reach the ledger's database")
	require.ErrorContains(t, err, away)
}

func TestRequireLedger_LetsASlowDatabaseAnswer(t *testing.T) {
	t.Parallel()
	l := openLedger(t, localtest.Postgres(t))
	asked := make(chan struct{})
	ask := func(ctx context.Context) error {
		defer close(asked)
		return l.Answers(ctx)
	}
	call := requireLedger(ask, time.Millisecond, time.Minute)(
		func(ctx context.Context, _ connect.AnyRequest) (connect.AnyResponse, error) {
			<-asked
			return nil, l.Ready(ctx)
		})
	_, err := call(t.Context(), nil)
	require.NoError(t, err)
}

func TestUnavailable_NamesTheLedgersDatabase(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	l := openLedger(t, "postgres://driftless@"+closed.Addr().String()+"/driftless?sslmode=disable")
	err = unavailable(l.Ready(t.Context()))
	require.ErrorContains(t, err, "reconciliation cannot reach the ledger's database")
	require.ErrorContains(t, err, away)
	require.NotContains(t, unavailable(errors.New("NATS is away")).Error(), "ledger")
}
