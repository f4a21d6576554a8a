package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/docpage"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// tutorialStripe is the simulator's address on the page.
const tutorialStripe = "http://127.0.0.1:12111"

// The commands of docs/tutorial.md work in their order, and print what the page says. For the Stripe account of the
// page's last part, another simulator stands in.
func TestTutorial_CommandsWork(t *testing.T) {
	t.Parallel()
	blocks, err := docpage.Read("../../../docs/tutorial.md")
	require.NoError(t, err)
	require.Greater(t, len(blocks), 25)
	s := newReader(t)
	for _, b := range blocks {
		if script := b.Runnable(); script != "" {
			s.do(b, script)
		}
	}
}

// reader does what the page says, with a folder and a shell's environment.
type reader struct {
	t      *testing.T
	dir    string
	env    []string
	stripe string
	mesh   *exec.Cmd
}

func newReader(t *testing.T) *reader {
	t.Helper()
	// The page makes a role, and roles belong to the whole server.
	database := localtest.PostgresServer(t, nil).URL()
	bin, err := programs()
	require.NoError(t, err)
	r := &reader{t: t, dir: dataDir(t)}
	// Postgres' user enters the data directory through this one.
	require.NoError(t, os.Chmod(filepath.Dir(r.dir), 0o755))
	r.env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "DATABASE_URL="+database, "LEDGER_DATABASE_URL=",
		"NATS_URL=", "STRIPE_API_KEY=", "STRIPE_API_BASE="+startStripe(t), "DRIFTLESS_CONFIG=", "TERM=dumb")
	return r
}

// startStripe starts a simulator and returns its address.
func startStripe(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() {
		done <- stripesim.Run(ctx, stripesim.Config{Listener: listener, Limits: stripesim.Limits{Off: true}})
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return "http://" + listener.Addr().String()
}

// changes finds the commands that change something. Other commands may be repeated.
var changes = regexp.MustCompile(`psql|curl .*-[dX] |driftless (init|sync|up) `)

// do runs a block. A block that only asks is repeated until it prints what the page says: the page's reader is slower
// than a test.
func (r *reader) do(b docpage.Block, script string) {
	r.t.Helper()
	script = strings.ReplaceAll(script, tutorialStripe, r.stripe)
	script = strings.ReplaceAll(script, "driftless up ", "driftless up --ports auto --service-log-level error ")
	script = r.export(script)
	if strings.Contains(script, "driftless up ") && !strings.Contains(script, "--once") {
		r.up(script)
		return
	}
	if strings.HasPrefix(script, "psql -q \"$DATABASE_URL\" -c \"SELECT pg_drop_replication_slot") {
		r.stop()
	}
	for deadline := time.Now().Add(time.Minute); ; {
		out := r.run(b, script)
		err := docpage.Compare(b.Output, out)
		if b.Output == "" || err == nil {
			return
		}
		if changes.MatchString(script) || time.Now().After(deadline) {
			require.NoError(r.t, err, b)
		}
		<-time.After(100 * time.Millisecond)
	}
}

// export takes the lines that set variables of the reader's shell, and returns the others.
func (r *reader) export(script string) string {
	var rest strings.Builder
	for line := range strings.Lines(script) {
		if variables, ok := strings.CutPrefix(line, "export "); ok {
			r.env = append(r.env, strings.Fields(variables)...)
		} else {
			rest.WriteString(line)
		}
	}
	return rest.String()
}

func (r *reader) command(script string) *exec.Cmd {
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir, cmd.Env = r.dir, r.env
	return cmd
}

// run returns what a script prints. It may exit with 2: something differs.
func (r *reader) run(b docpage.Block, script string) string {
	r.t.Helper()
	cmd := r.command(script)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if exit := (&exec.ExitError{}); errors.As(err, &exit) && exit.ExitCode() == 2 {
		err = nil
	}
	require.NoError(r.t, err, "%s\n%s\n%s%s", b, script, out, errs.String())
	return strings.ReplaceAll(string(out), r.dir+"/", "")
}

// up starts the mesh in the first terminal, after the one that ran there.
func (r *reader) up(script string) {
	r.t.Helper()
	r.stop()
	cmd := r.command("exec " + strings.TrimSpace(script) + " --json")
	log := &lockedBuffer{}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	require.NoError(r.t, err)
	require.NoError(r.t, cmd.Start())
	r.mesh = cmd
	r.t.Cleanup(r.stop)
	line, err := bufio.NewReader(out).ReadBytes('\n')
	require.NoError(r.t, err, log)
	var at struct {
		Stripe string `json:"stripe"`
	}
	require.NoError(r.t, json.Unmarshal(line, &at))
	r.stripe = at.Stripe
}

// stop ends the mesh as Ctrl-C does.
func (r *reader) stop() {
	if r.mesh == nil {
		return
	}
	require.NoError(r.t, r.mesh.Process.Signal(os.Interrupt))
	require.NoError(r.t, r.mesh.Wait())
	r.mesh = nil
}
