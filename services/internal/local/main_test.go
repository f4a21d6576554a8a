package local

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestMain is also the program of the processes that the tests kill: see runElsewhere.
func TestMain(m *testing.M) {
	if dir := os.Getenv("LOCAL_TEST_DIR"); dir != "" {
		serveUntilKilled(os.Getenv("LOCAL_TEST_SERVER"), dir)
	}
	goleak.VerifyTestMain(m)
}

var discard = slog.New(slog.DiscardHandler)

func serveUntilKilled(kind, dir string) {
	url := ""
	switch kind {
	case "nats":
		server, err := StartNATS(context.Background(), NATSConfig{DataDir: dir, Logger: discard})
		if err != nil {
			panic(err)
		}
		url = server.URL()
	case "postgres":
		server, err := StartPostgres(context.Background(), PostgresConfig{DataDir: dir, Logger: discard})
		if err != nil {
			panic(err)
		}
		url = fmt.Sprintf("%s %d", server.URL(), server.Pid())
	}
	fmt.Println(url)
	_, _ = io.Copy(io.Discard, os.Stdin) // ends with the test process at the latest
	os.Exit(0)
}

// runElsewhere runs a server in its own process. It returns the output, which begins with the URL, and kill, which ends
// the process with SIGKILL.
func runElsewhere(t *testing.T, kind, dir string) (output []string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LOCAL_TEST_SERVER="+kind, "LOCAL_TEST_DIR="+dir)
	cmd.Stderr = os.Stderr
	_, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err, "the other process did not start its server")
	return strings.Fields(line), kill
}

// tempDir returns a temporary directory that the user that Postgres runs as can enter.
func tempDir(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/tmp", "driftless-test-") //nolint:usetesting // below t.TempDir it cannot
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}
