package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// programsDir is the folder in which programs has built. It is empty if no test has called programs.
var programsDir string

// programs builds Driftless once and returns the folder.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "driftless-programs-")
	if err != nil {
		return "", err
	}
	programsDir = dir
	out, err := exec.Command("go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", dir, "../../cmd/driftless",
		"../../cmd/ingestion", "../../cmd/push", "../../cmd/pull", "../../cmd/reconciliation",
		"../../cmd/console").CombinedOutput()
	if err != nil {
		return "", &buildError{out, err}
	}
	return dir, nil
})

type buildError struct {
	out []byte
	err error
}

func (e *buildError) Error() string { return e.err.Error() + ": " + string(e.out) }

func TestMain(m *testing.M) {
	code := m.Run()
	if programsDir != "" {
		_ = os.RemoveAll(programsDir)
	}
	os.Exit(code)
}

// meshProcess is `driftless up` as a process.
type meshProcess struct {
	t    *testing.T
	dir  string
	data string
	cmd  *exec.Cmd
	log  *lockedBuffer
	At   struct {
		Ingest   string         `json:"ingest"`
		Push     string         `json:"push"`
		Webhook  string         `json:"webhook"`
		Control  string         `json:"control"`
		Stripe   string         `json:"stripe"`
		Database string         `json:"database"`
		NATS     string         `json:"nats"`
		Token    string         `json:"token"`
		Pids     map[string]int `json:"pids"`
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func up(t *testing.T, data string, with ...func(*exec.Cmd)) *meshProcess {
	t.Helper()
	dir, err := programs()
	require.NoError(t, err)
	p := &meshProcess{t: t, dir: dir, data: data, log: &lockedBuffer{}}
	p.cmd = exec.Command(filepath.Join(dir, "driftless"), "up", "--ports", "auto", "--json", "--data-dir", data)
	p.cmd.Env = append(os.Environ(), "DATABASE_URL=", "NATS_URL=", "STRIPE_API_KEY=")
	for _, f := range with {
		f(p.cmd)
	}
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(p.stop)
	line, err := bufio.NewReader(out).ReadBytes('\n')
	require.NoError(t, err, p.log.String())
	require.NoError(t, json.Unmarshal(line, &p.At))
	return p
}

// stop ends the mesh as Ctrl-C does.
func (p *meshProcess) stop() {
	if p.cmd.ProcessState != nil {
		return
	}
	require.NoError(p.t, p.cmd.Process.Signal(os.Interrupt))
	require.NoError(p.t, p.cmd.Wait(), p.log.String())
}

func (p *meshProcess) command(args ...string) *exec.Cmd {
	return exec.Command(filepath.Join(p.dir, "driftless"), append(args, "--data-dir", p.data)...)
}

// The test kills each service with kill -9 while the demo makes its changes. The services restart, and everything
// converges.
func TestServices_KillLosesNothing(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	require.NoError(t, os.Chmod(data, 0o755))
	p := up(t, data)
	demo := p.command("demo", "--timeout", "3m")
	out := &lockedBuffer{}
	demo.Stdout, demo.Stderr = out, out
	require.NoError(t, demo.Start())
	done := make(chan error, 1)
	go func() { done <- demo.Wait() }()
	for _, name := range []string{"push", "ingestion", "pull", "reconciliation"} {
		require.NoError(t, syscall.Kill(p.At.Pids[name], syscall.SIGKILL), name)
		select {
		case err := <-done:
			done <- err
		case <-time.After(1500 * time.Millisecond):
		}
	}
	require.NoError(t, <-done, "%s\n%s", out, p.log)
	t.Log("\n" + out.String())
	require.Contains(t, p.log.String(), "will be restarted")

	// The data outlives the mesh.
	p.stop()
	p = up(t, data)
	require.NoError(t, p.command("plan", "--wait-converged", "60s").Run())
	shown, err := p.command("status", "-o", "json").Output()
	require.NoError(t, err, "%s", shown)
	var status struct {
		InSync uint64 `json:"in_sync"`
	}
	require.NoError(t, json.Unmarshal(shown, &status))
	require.EqualValues(t, 42, status.InSync, "the seed and the demo's two products")
}
