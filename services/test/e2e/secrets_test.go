package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// environ returns the environment of a process as the kernel has it.
func environ(t *testing.T, pid int) map[string]string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	require.NoError(t, err)
	out := map[string]string{}
	for entry := range strings.SplitSeq(string(data), "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		out[name] = value
	}
	return out
}

// calls makes a call as curl does, and returns its status.
func (p *meshProcess) calls(url, token string) int {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, url, strings.NewReader("{}"))
	require.NoError(p.t, err)
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(p.t, err)
	require.NoError(p.t, resp.Body.Close())
	return resp.StatusCode
}

func TestUp_GivesEachServiceItsSecretsOnly(t *testing.T) {
	t.Parallel()
	data := dataDir(t)
	// The data directory comes from a version that made no token, so only the token is missing.
	up(t, data).stop()
	require.NoError(t, os.Remove(filepath.Join(data, "token")))

	p := up(t, data, func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, "AWS_SECRET_ACCESS_KEY=of-the-shell", "DRIFTLESS_TOKEN=")
	})
	connection, err := pgx.ParseConfig(p.At.Database)
	require.NoError(t, err)
	webhook, err := os.ReadFile(filepath.Join(data, "webhook.secret"))
	require.NoError(t, err)
	secrets := map[string][]string{
		connection.Password:                {topology.Ingestion, topology.Reconciliation},
		p.At.Token:                         {topology.Ingestion, topology.Reconciliation},
		strings.TrimSpace(string(webhook)): {topology.Pull},
		"sk_test_driftlesssimulator":       {topology.Push, topology.Pull},
		"of-the-shell":                     {},
	}
	for _, service := range killable {
		for secret, owners := range secrets {
			require.NotEmpty(t, secret)
			var found []string
			for name, value := range environ(t, p.At.Pids[service]) {
				if strings.Contains(value, secret) {
					found = append(found, name)
				}
			}
			owns := false
			for _, owner := range owners {
				owns = owns || owner == service
			}
			require.Equal(t, owns, len(found) > 0, "%s has a secret of %v in %v", service, owners, found)
		}
	}

	// The APIs require the token in the data directory, and the commands find it there.
	for _, file := range []string{"token", "mesh.json"} {
		info, err := os.Stat(filepath.Join(data, file))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), file)
	}
	for _, url := range []string{
		p.At.Control + "/driftless.control.v1.ControlService/GetStatus",
		p.At.Ingest + "/driftless.ingest.v1.IngestService/WaitCaptured",
	} {
		require.Equal(t, http.StatusUnauthorized, p.calls(url, ""), url)
		require.Equal(t, http.StatusUnauthorized, p.calls(url, "wrong"), url)
		require.Equal(t, http.StatusOK, p.calls(url, p.At.Token), url)
	}
	out, err := p.command("plan", "--wait-converged", "1m").CombinedOutput()
	require.NoError(t, err, string(out))

	// The arguments of psql and the output of up contain no password.
	psql := exec.CommandContext(t.Context(), filepath.Join(p.dir, "driftless"), "psql", "-Xc",
		`\! tr '\0' ' ' </proc/$PPID/cmdline; echo; printenv PGPASSWORD`)
	psql.Env = append(os.Environ(), "DRIFTLESS_DATA_DIR="+data, "PGPASSWORD=another")
	out, err = psql.CombinedOutput()
	require.NoError(t, err, string(out))
	arguments, password, _ := strings.Cut(string(out), "\n")
	require.Contains(t, arguments, "--dbname=postgres://")
	require.NotContains(t, arguments, connection.Password)
	require.Equal(t, connection.Password, strings.TrimSpace(password), "psql has the password anyway")
	require.NotContains(t, p.log.String(), connection.Password)
	require.NotContains(t, p.log.String(), p.At.Token)
	p.stop()

	again := up(t, data)
	require.Equal(t, p.At.Token, again.At.Token, "a token outlives the mesh")
	again.stop()
	open := up(t, data, func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, "--token", "") })
	require.Empty(t, open.At.Token)
	require.Equal(t, http.StatusOK, open.calls(open.At.Control+"/driftless.control.v1.ControlService/GetStatus", ""))
}
