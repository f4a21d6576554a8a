package e2e_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// The commands of docs/getting-started.md work in their order, print what the page says, and write nothing that they
// should not write.
func TestGettingStarted_CommandsWork(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/getting-started.md")
	require.NoError(t, err)
	stripe := startStripe(t)

	database := localtest.Postgres(t)
	dir := dataDir(t)
	// Postgres' user enters the data directory through this one.
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	bin, err := programs()
	require.NoError(t, err)
	run := func(script string) string {
		// The ports of the page may be in use on this machine.
		script = strings.ReplaceAll(script, "driftless up ", "driftless up --ports auto --service-log-level error ")
		cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "DATABASE_URL="+database,
			"LEDGER_DATABASE_URL="+database, "DRIFTLESS_CONFIG=",
			"NATS_URL=", "STRIPE_API_KEY="+key, "STRIPE_API_BASE="+stripe, "TERM=dumb")
		var errs strings.Builder
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if exit := (&exec.ExitError{}); errors.As(err, &exit) && exit.ExitCode() == 2 {
			// Differences, or open questions.
			err = nil
		}
		require.NoError(t, err, "%s\n%s%s", script, out, errs.String())
		return string(out)
	}

	commands := 0
	page = notRun.ReplaceAll(page, nil)
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```\n(?:\n```text\n(.*?)```)?").
		FindAllStringSubmatch(string(page), -1) {
		script, want := block[1], block[2]
		if strings.HasPrefix(script, "export ") || script == "driftless up --config driftless.yaml\n" {
			continue
		}
		commands++
		out := run(script)
		if want != "" {
			require.Equal(t, want, withoutTimes(strings.ReplaceAll(out, dir+"/", "")), script)
		}
	}
	require.GreaterOrEqual(t, commands, 7)

	requests, err := stripesim.Admin{BaseURL: stripe}.Requests(t.Context(), stripesim.RequestFilter{})
	require.NoError(t, err)
	require.Empty(t, requests, "a dry run writes to Stripe")
	pool := localtest.Pool(t, database)
	var slots, tables int
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT
		(SELECT count(*) FROM pg_replication_slots WHERE database = current_database()),
		(SELECT count(*) FROM pg_tables WHERE schemaname LIKE 'driftless%')`).Scan(&slots, &tables))
	require.Zero(t, slots, "a slot that nobody reads holds the log")
	require.Zero(t, tables, "the ledger of a dry run is elsewhere")
}

// notRun matches a block of commands that the page says no test runs.
var notRun = regexp.MustCompile("(?s)<!-- not run: [^\n]*-->\n```sh\n.*?```\n")

var (
	clockPattern = regexp.MustCompile(`\b\d\d:\d\d(:\d\d)?( [A-Z]+[-+0-9]*)?\b`)
	agoPattern   = regexp.MustCompile(`\d+m?\d*s ago`)
)

func withoutTimes(text string) string {
	return agoPattern.ReplaceAllString(clockPattern.ReplaceAllString(text, "CLOCK"), "AGO")
}
