package e2e_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/stripesim"
)

// dataDir returns a directory that Postgres' user can enter.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	// Both, or Postgres' files are elsewhere and stay there.
	require.NoError(t, errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)))
	return dir
}

// ask runs a statement in the mesh's private Postgres and returns its one value.
func (p *meshProcess) ask(sql string) (answer string) {
	p.t.Helper()
	conn, err := pgx.Connect(p.t.Context(), p.At.Database)
	require.NoError(p.t, err)
	defer conn.Close(p.t.Context())
	require.NoError(p.t, conn.QueryRow(p.t.Context(), sql).Scan(&answer))
	return answer
}

const countProducts = `SELECT count(*)::text FROM driftless.products`

func TestUp_WithStripeKeySeedsNothing(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- stripesim.Run(ctx, stripesim.Config{Listener: listener, Limits: stripesim.Limits{Off: true}})
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	p := up(t, dataDir(t), func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, "STRIPE_API_KEY="+key, "STRIPE_API_BASE=http://"+listener.Addr().String())
	})
	require.Equal(t, "0", p.ask(countProducts), "the sample catalog is not written to a real Stripe account")
}

func TestUp_RefusesSimulatorDataForStripe(t *testing.T) {
	t.Parallel()
	data := dataDir(t)
	dir, err := programs()
	require.NoError(t, err)
	p := up(t, data)
	requireHealthy(t, filepath.Join(dir, "driftless"), data)
	p.stop()
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "driftless"), "up", "--data-dir", data)
	cmd.Env = append(os.Environ(), "STRIPE_API_KEY="+key)
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "was used with the simulator, and now STRIPE_API_KEY says Stripe")
}

// requireHealthy requires that doctor finds nothing, and looks at everything, once Stripe has delivered an event.
func requireHealthy(t *testing.T, driftless, data string) {
	t.Helper()
	var report []byte
	require.Eventually(t, func() bool {
		var err error
		report, err = exec.CommandContext(t.Context(), driftless, "doctor", "--data-dir", data).Output()
		return err == nil
	}, patience, 100*time.Millisecond)
	require.Contains(t, string(report), " 0 findings, 0 not looked at.")
}

func TestUp_SeedsEmptyCatalogAndEndsWithPostgres(t *testing.T) {
	t.Parallel()
	data := dataDir(t)
	p := up(t, data, func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, "--no-seed") })
	require.Equal(t, "mine", p.ask(`INSERT INTO driftless.products (id, name) VALUES ('mine', 'Mine') RETURNING id`))
	p.stop()

	p = up(t, data)
	require.Equal(t, "1", p.ask(countProducts), "an existing catalog gets no samples")
	first, _, _ := strings.Cut(p.ask(`SELECT pg_read_file('postmaster.pid')`), "\n")
	pid, err := strconv.Atoi(first)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGINT))
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	select {
	case err := <-ended:
		require.Error(t, err)
	case <-time.After(patience):
		require.NoError(t, p.cmd.Process.Kill())
		<-ended
		require.FailNow(t, "the mesh goes on without its Postgres")
	}
	require.Equal(t, 1, p.cmd.ProcessState.ExitCode())
	require.Contains(t, p.log.String(), "the private Postgres has ended; its log, ")
}
