package local

import (
	"context"
	"net/url"
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
)

func config(dir string) PostgresConfig {
	return PostgresConfig{DataDir: dir, NoFsync: true, Logger: discard}
}

func startPostgres(t *testing.T, cfg PostgresConfig) *Postgres {
	t.Helper()
	server, err := StartPostgres(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	return server
}

// query runs one statement and returns its first value, or "" if it has none.
func query(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), sql)
	require.NoError(t, err)
	values, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return strings.Join(values, "")
}

func TestStartPostgres_IsReadyForLogicalReplication(t *testing.T) {
	t.Parallel()
	server := startPostgres(t, config(tempDir(t)))
	for setting, want := range map[string]string{
		"wal_level": "logical", "max_replication_slots": "10", "max_wal_senders": "10", "server_encoding": "UTF8",
		"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "password_encryption": "scram-sha-256",
	} {
		require.Equal(t, want, query(t, server.URL(), "SHOW "+setting), setting)
	}
	require.Equal(t, "driftless", query(t, server.URL(), "SELECT current_database()::text"))
	require.Equal(t, "C.UTF-8",
		query(t, server.URL(), "SELECT datcollate FROM pg_database WHERE datname = 'driftless'"))
}

func TestStartPostgres_KeepsDataAcrossRestart(t *testing.T) {
	t.Parallel()
	cfg := config(filepath.Join(tempDir(t), "made", "if", "absent"))
	server := startPostgres(t, cfg)
	query(t, server.URL(), "CREATE TABLE kept AS SELECT 'here' AS value")
	require.NoError(t, server.Close())
	require.NoError(t, server.Close(), "a second Close is harmless")

	cfg.Port = server.port // free again at once
	again := startPostgres(t, cfg)
	require.Equal(t, server.URL(), again.URL(), "the password stays")
	require.Equal(t, "here", query(t, again.URL(), "SELECT value FROM kept"))
}

func TestStartPostgres_RequiresPassword(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	server := startPostgres(t, config(dir))
	wrong, err := url.Parse(server.URL())
	require.NoError(t, err)
	wrong.User = url.UserPassword(superuser, "guess")
	_, err = pgx.Connect(t.Context(), wrong.String())
	require.ErrorContains(t, err, "password authentication failed")

	info, err := os.Stat(filepath.Join(dir, "password"))
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
}

func TestStartPostgres_RecoversWhenAllProcessesAreKilled(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	output, kill := runElsewhere(t, "postgres", dir)
	query(t, output[0], "CREATE TABLE kept AS SELECT 'here' AS value")
	pid, err := strconv.Atoi(output[1])
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	kill()
	require.FileExists(t, filepath.Join(dir, "cluster", "postmaster.pid"))

	server := startPostgres(t, config(dir))
	require.Equal(t, "here", query(t, server.URL(), "SELECT value FROM kept"))
}

func TestStartPostgres_StartsAfterParentWasKilled(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	output, kill := runElsewhere(t, "postgres", dir)
	query(t, output[0], "CREATE TABLE kept AS SELECT 'here' AS value")
	kill()
	server := startPostgres(t, config(dir))
	require.Equal(t, "here", query(t, server.URL(), "SELECT value FROM kept"))
}

func TestStartPostgres_StopsServerThatWasLeftRunning(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	first := startPostgres(t, config(dir))
	query(t, first.URL(), "CREATE TABLE kept AS SELECT 'here' AS value")
	require.NoError(t, first.Close())

	// The state after a killed run where the system has no parent-death signal.
	installed, err := findBinaries(t.Context())
	require.NoError(t, err)
	bin, err := first.home.compatible(installed)
	require.NoError(t, err)
	leftover := exec.Command(bin.path("postgres"),
		append([]string{"-D", first.home.cluster()}, settings(config(dir), first.port)...)...)
	first.home.account.applyTo(leftover)
	require.NoError(t, leftover.Start())
	require.Eventually(t, func() bool {
		conn, err := pgx.Connect(context.Background(), first.URL())
		return err == nil && conn.Close(context.Background()) == nil
	}, 10*time.Second, 20*time.Millisecond)

	cfg := config(dir)
	cfg.Port = first.port // in use by the leftover server
	server := startPostgres(t, cfg)
	require.NoError(t, leftover.Wait(), "stopped in order")
	require.Equal(t, "here", query(t, server.URL(), "SELECT value FROM kept"))
}

func TestStartPostgres_DetectsReusedProcessID(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	server := startPostgres(t, config(dir))
	require.NoError(t, server.Close())

	// A harmless program of the user that Postgres runs as. The stale file has its process id.
	bystander := exec.Command("sleep", "600")
	server.home.account.applyTo(bystander)
	require.NoError(t, bystander.Start())
	defer func() {
		require.NoError(t, bystander.Process.Kill(), "it must not have been stopped")
		_ = bystander.Wait()
	}()
	stale := strconv.Itoa(bystander.Process.Pid) + "\n" + server.home.cluster() + "\n"
	pidFile := filepath.Join(server.home.cluster(), "postmaster.pid")
	require.NoError(t, os.WriteFile(pidFile, []byte(stale), 0o600))
	require.NoError(t, server.home.account.chown(pidFile))

	require.NotEmpty(t, query(t, startPostgres(t, config(dir)).URL(), "SELECT version()"))
}

func TestStartPostgres_RepeatsInterruptedInitialisation(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "cluster.new", "base"), 0o700))
	require.NotEmpty(t, query(t, startPostgres(t, config(dir)).URL(), "SELECT version()"))
}

func TestStartPostgres_RefusesDirectoryInUse(t *testing.T) {
	t.Parallel()
	cfg := config(tempDir(t))
	startPostgres(t, cfg)
	_, err := StartPostgres(t.Context(), cfg)
	require.ErrorIs(t, err, ErrInUse)
	require.ErrorContains(t, err, "process "+strconv.Itoa(os.Getpid())+" runs on")
}

func TestStartPostgres_RefusesPortInUse(t *testing.T) {
	t.Parallel()
	cfg := config(tempDir(t))
	cfg.Port = takePort(t)
	_, err := StartPostgres(t.Context(), cfg)
	require.ErrorIs(t, err, ErrPortTaken)
}

func TestStartPostgres_ErrorShowsEndOfLog(t *testing.T) {
	t.Parallel()
	cfg := config(tempDir(t))
	cfg.Settings = map[string]string{"wal_level": "fractal"}
	_, err := StartPostgres(t.Context(), cfg)
	require.ErrorIs(t, err, errExited)
	require.ErrorContains(t, err, `invalid value for parameter "wal_level": "fractal"`)
}

func TestStartPostgres_RefusesClusterOfOtherVersion(t *testing.T) {
	t.Parallel()
	cfg := config(tempDir(t))
	server := startPostgres(t, cfg)
	require.NoError(t, server.Close())
	require.NoError(t, os.WriteFile(filepath.Join(server.home.cluster(), "PG_VERSION"), []byte("9\n"), 0o600))
	_, err := StartPostgres(t.Context(), cfg)
	require.ErrorIs(t, err, ErrNoPostgres)
	require.ErrorContains(t, err, "install postgresql-9")
}

func TestStartPostgres_ReportsMissingPassword(t *testing.T) {
	t.Parallel()
	cfg := config(tempDir(t))
	server := startPostgres(t, cfg)
	require.NoError(t, server.Close())
	require.NoError(t, os.WriteFile(server.home.password(), nil, 0o600))
	_, err := StartPostgres(t.Context(), cfg)
	require.ErrorContains(t, err, "delete the data directory to start over")
	require.ErrorContains(t, err, "is empty")
	require.NoError(t, os.Remove(server.home.password()))
	_, err = StartPostgres(t.Context(), cfg)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "delete the data directory to start over")
}

func TestPostgres_ExitedReportsDeath(t *testing.T) {
	t.Parallel()
	server := startPostgres(t, config(tempDir(t)))
	require.NoError(t, syscall.Kill(server.Pid(), syscall.SIGQUIT))
	select {
	case <-server.Exited():
	case <-time.After(10 * time.Second):
		t.Fatal("Exited is not closed")
	}
}

func TestStartPostgres_HidesEnvironment(t *testing.T) {
	t.Setenv("STRIPE_API_KEY", "rk_test_secret")
	t.Setenv("PGDATA", "/nowhere")
	server := startPostgres(t, config(tempDir(t)))
	environment, err := os.ReadFile("/proc/" + strconv.Itoa(server.Pid()) + "/environ")
	if os.IsNotExist(err) {
		t.Skip("needs /proc")
	}
	require.NoError(t, err)
	require.NotContains(t, string(environment), "rk_test_secret")
	require.NotContains(t, string(environment), "/nowhere")
}
