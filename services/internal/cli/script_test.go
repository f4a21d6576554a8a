package cli

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
)

// awaitInterval is the time between two runs of await. With -update, an answer counts once it was the same for
// settledTime.
const (
	awaitInterval = 100 * time.Millisecond
	settledTime   = 2 * time.Second
)

var update = flag.Bool("update", false, "write the golden files in testdata/script")

// TestMain is also the program driftless that the scripts run.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"driftless": func() { os.Exit(Main(os.Args[1:])) },
	})
}

// TestScript runs the scripts in testdata/script. A script runs driftless as somebody does in a shell, and compares
// all that it prints with golden files:
//
//	mesh                     starts a mesh; driftless finds it on its data directory
//	run 2 plan               runs driftless, which must exit with 2
//	await 2 plan.txt plan    runs it until it exits with 2 and prints what plan.txt has
//	cmp out plan.txt         compares all that it printed, normalized, with a golden file
//
// `go test ./internal/cli -run TestScript -update` writes the golden files. See names.golden for what is normalized.
func TestScript(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, "TZ=UTC", "DRIFTLESS_ACTOR=operator", "DRIFTLESS_DATA_DIR="+env.WorkDir+"/data")
			t, _ := env.T().(testing.TB)
			env.Values[stateKey{}] = &scriptState{t: t, names: names{}}
			// Postgres' own user must be able to enter it.
			return os.Mkdir(env.WorkDir+"/data", 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"mesh":      startMesh,
			"down":      stopPart,
			"up":        startPart,
			"sql":       runSQL,
			"dashboard": editInStripe,
			"fault":     addFault,
			"subscribe": addSubscriptions,
			"sell":      addPaymentLink,
			"forbid":    forbidReads,
			"sqlfile":   runSQLFile,
			"run":       runDriftless,
			"await":     awaitGolden,
			"token":     setToken,
			"show":      showFile,
			"moment":    noteMoment,
		},
	})
}

// scriptState is the state of one script.
type scriptState struct {
	t     testing.TB
	mesh  *testMesh
	names names
}

type stateKey struct{}

func stateOf(ts *testscript.TestScript) *scriptState {
	return ts.Value(stateKey{}).(*scriptState)
}

func (s *scriptState) running(ts *testscript.TestScript) *testMesh {
	if s.mesh == nil {
		ts.Fatalf("the script has no mesh: start one with the command mesh")
	}
	return s.mesh
}

// usage ends the script if a command has the wrong number of arguments.
func usage(ts *testscript.TestScript, ok bool, text string) {
	if !ok {
		ts.Fatalf("usage: %s", text)
	}
}

// runDriftless runs driftless and writes what it printed to the file out, normalized.
func runDriftless(ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) > 0, "run CODE ARGUMENTS...")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	out, have := execDriftless(ts, args[1:])
	writeOut(ts, out)
	if have != want {
		ts.Fatalf("driftless %s exited with %d, not %d", strings.Join(args[1:], " "), have, want)
	}
}

// awaitGolden runs driftless until it exits with a code and prints what a golden file has. It is for what the services
// do in their own time. With -update it waits until driftless prints the same for a while. The file out has what was
// printed last, so that cmp shows what differs.
func awaitGolden(ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) > 2, "await CODE GOLDEN ARGUMENTS...")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	golden, last, since := ts.ReadFile(args[1]), "", time.Now()
	for deadline := time.Now().Add(scriptTimeout); ; {
		printed, code := execDriftless(ts, args[2:])
		out := writeOut(ts, printed)
		if code != want || out != last {
			last, since = out, time.Now()
		}
		if *update && time.Since(since) > settledTime || !*update && code == want && out == golden {
			return
		}
		if time.Now().After(deadline) {
			if code != want {
				ts.Fatalf("driftless %s exits with %d, not %d", strings.Join(args[2:], " "), code, want)
			}
			return
		}
		<-time.After(awaitInterval)
	}
}

// execDriftless returns what driftless printed, with the errors after the output, and the exit code.
func execDriftless(ts *testscript.TestScript, args []string) (out string, code int) {
	var exit *exec.ExitError
	if err := ts.Exec("driftless", args...); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	out = ts.ReadFile("stdout")
	ts.Check(checkOutput(args, out))
	if errs := ts.ReadFile("stderr"); errs != "" {
		out += "stderr:\n" + errs
	}
	return out, code
}

// writeOut writes a text to the file out, normalized, and returns that.
func writeOut(ts *testscript.TestScript, out string) string {
	text := stateOf(ts).names.golden(out, ts.Getenv("WORK"))
	ts.Check(os.WriteFile(ts.MkAbs("out"), []byte(text), 0o600))
	return text
}

// showFile writes a file to the file out, normalized.
func showFile(ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1, "show FILE")
	writeOut(ts, ts.ReadFile(args[0]))
}

// setToken makes driftless send another token.
func setToken(ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1, "token TOKEN")
	ts.Setenv("DRIFTLESS_TOKEN", args[0])
}

// runSQL runs a statement in the catalog's database.
func runSQL(ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1, "sql STATEMENT")
	ts.Check(stateOf(ts).running(ts).exec(args[0]))
}

// editInStripe changes a product in Stripe as somebody does in its Dashboard.
func editInStripe(ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) > 1, "dashboard create|edit|delete ID FIELD=VALUE...")
	ts.Check(stateOf(ts).running(ts).dashboard(args[0], args[1], args[2:]))
}

// addFault makes the simulator refuse the writes of a product. Without an argument it ends all faults.
func addFault(ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) < 2, "fault [PRODUCT]")
	ts.Check(stateOf(ts).running(ts).refuse(args))
}

// runSQLFile runs the statements in a file, as psql does with its standard input.
func runSQLFile(ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1, "sqlfile FILE")
	ts.Check(stateOf(ts).running(ts).exec(ts.ReadFile(args[0])))
}

func startMesh(ts *testscript.TestScript, _ bool, args []string) {
	s := stateOf(ts)
	if s.mesh != nil {
		ts.Fatalf("the script has a mesh already")
	}
	s.mesh = newTestMesh(s.t, args)
	ts.Check(s.mesh.endpoints().save(ts.Getenv("DRIFTLESS_DATA_DIR")))
	ts.Setenv("STRIPE_API_BASE", s.mesh.url("stripe"))
}

func stopPart(ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1, "down SERVICE|nats")
	stateOf(ts).running(ts).stop(args[0])
}

func startPart(ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1, "up SERVICE")
	stateOf(ts).running(ts).start(args[0])
}

func TestHelp_EveryCommandHasGoldenFile(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("testdata/script/help.txtar")
	require.NoError(t, err)
	parser, _ := newParser(t.Context())
	for _, node := range parser.Model.Leaves(false) {
		if !node.Passthrough && !node.Hidden {
			require.Contains(t, string(script), "\nrun 0 "+commandOf(node)+" --help\n")
		}
	}
}
