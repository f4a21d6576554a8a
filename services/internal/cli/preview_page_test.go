package cli

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/config"
)

// pageRig runs the commands of a page in a folder, with driftless on the path.
type pageRig struct {
	t    *testing.T
	dir  string
	env  []string
	mesh *testMesh
	// moment is when the mesh was last as at the beginning of a page.
	moment string
	// edits counts the edits in Stripe that are drift.
	edits int
}

// pageCommands returns the lines of the page's blocks of shell commands.
func pageCommands(t *testing.T, page string) (out []string) {
	t.Helper()
	text, err := os.ReadFile("../../../docs/" + page)
	require.NoError(t, err)
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		out = append(out, slices.Collect(strings.Lines(block[1]))...)
	}
	return out
}

func newPageRig(t *testing.T, options ...string) *pageRig {
	t.Helper()
	r := newPageRigOf(t, newTestMesh(t, options))
	commit(t, r.mesh.database, []string{
		"INSERT INTO driftless.products (id, name) VALUES ('mug', 'Mug')",
		"INSERT INTO driftless.prices (id, product, currency, unit_amount) VALUES ('mug-eur', 'mug', 'eur', 1400)",
	})
	awaitQuiet(t, &cli{Local: config.Local{DataDir: r.dir}})
	return r
}

// newPageRigOf returns a rig for a mesh that runs.
func newPageRigOf(t *testing.T, m *testMesh) *pageRig {
	t.Helper()
	r := &pageRig{t: t, mesh: m, dir: t.TempDir()}
	require.NoError(t, m.endpoints().save(r.dir))
	program, err := os.Executable()
	require.NoError(t, err)
	bin := t.TempDir()
	// TestMain runs the command line if the program has its name.
	require.NoError(t, os.Symlink(program, filepath.Join(bin, "driftless")))
	require.NoError(t, os.WriteFile(filepath.Join(bin, "gh"), []byte("#!/bin/sh\necho \"gh $*\"\ncat comment.md\n"), 0o700))
	r.env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "DRIFTLESS_DATA_DIR="+r.dir)
	return r
}

func (r *pageRig) write(name, text string) {
	r.t.Helper()
	require.NoError(r.t, os.MkdirAll(filepath.Dir(filepath.Join(r.dir, name)), 0o700))
	require.NoError(r.t, os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600))
}

// run runs a script as a step of GitHub Actions does, and returns its output and exit code.
func (r *pageRig) run(script string, env ...string) (out string, code int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), scriptTimeout)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-e", "-o", "pipefail", "-c", script)
	shell.Dir, shell.Env = r.dir, slices.Concat(r.env, env)
	// The end of the script also ends the programs that it has started.
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	shell.Cancel = func() error { return syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) }
	output, err := shell.CombinedOutput()
	if shell.ProcessState == nil {
		require.NoError(r.t, err)
	}
	return string(output), shell.ProcessState.ExitCode()
}

func TestPreviewPage_CommandsWork(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/preview.md")
	require.NoError(t, err)
	r := newPageRig(t)
	r.write("migration.sql", "UPDATE driftless.products SET name = 'Large mug' WHERE id = 'mug';\n")
	r.write("driftless.yaml", "guard_amount_change: 40\n")
	r.write("next.yaml", `catalog:
  products: SELECT id, upper(name) AS name FROM driftless.products
  prices: SELECT id, product, currency, unit_amount FROM driftless.prices
  watch: [{table: driftless.products, product_id: id}, {table: driftless.prices, product_id: product}]
`)
	commands := slices.DeleteFunc(pageCommands(t, "preview.md"), func(command string) bool {
		return strings.HasPrefix(command, "driftless preview ")
	})
	require.Len(t, commands, 4)
	for _, command := range commands {
		out, code := r.run(command)
		require.Equal(t, 2, code, "%s%s", command, out)
		require.Contains(t, out, "mug", command)
	}

	recipe := regexp.MustCompile("(?s)      - run: \\|\n(.*?)```").FindStringSubmatch(string(page))
	require.NotNil(t, recipe)
	script := strings.ReplaceAll(recipe[1], "\n          ", "\n")
	out, code := r.run("git init -q -b main . && git config user.email a@example.com && git config user.name A && " +
		"git commit -q --allow-empty -m base && git checkout -q -b change")
	require.Zero(t, code, out)
	env := []string{"BASE=main", "PULL_REQUEST=7"}
	out, code = r.run(script, env...)
	require.Zero(t, code, out)
	require.Empty(t, out, "there is no migration")
	for name, step := range map[string]struct {
		sql, want string
		code      int
	}{
		"1.sql": {"UPDATE driftless.products SET name = 'Mug XL';\n", "0 to create, 1 to change", 0},
		"2.sql": {"UPDATE driftless.prices SET unit_amount = 14;\n", "of them held by the guard", 1},
		"3.sql": {"COMMIT;\n", "COMMIT ends the transaction", 1},
	} {
		r.write("migrations/"+name, step.sql)
		out, code = r.run("git add migrations && git commit -q -m x", env...)
		require.Zero(t, code, out)
		out, code = r.run(script, env...)
		require.Equal(t, step.code, code, out)
		require.Contains(t, out, step.want)
		require.Equal(t, name != "3.sql",
			strings.Contains(out, "gh pr comment 7 --body-file comment.md\n### Driftless"), out)
		out, code = r.run("git rm -q -r migrations && git commit -q -m back")
		require.Zero(t, code, out)
	}
}
