package cli

import (
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/docpage"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// repository is the folder of the pages.
const repository = "../../.."

// pagesElsewhere have tests of their own.
var pagesElsewhere = map[string]string{
	"docs/getting-started.md": "TestGettingStarted_CommandsWork",
	"docs/tutorial.md":        "TestTutorial_CommandsWork",
	"docs/guard.md":           "TestGuardPage_CommandsWork",
	"docs/install.md":         "scripts/test-release",
	"docs/preview.md":         "TestPreviewPage_CommandsWork",
}

// pageStates bring the mesh to the state that a block is about, before each line of the block that has the text. The
// product that the pages call PRODUCT or mug is in that state then.
var pageStates = []struct {
	page, text string
	prepare    func(*pageRig)
}{
	{"docs/operations.md", "driftless dead list", (*pageRig).dead},
	{"docs/operations.md", "driftless dead drop", (*pageRig).dead},
	{"docs/operations.md", "driftless rollback", (*pageRig).rename},
	{"docs/operations.md", "driftless approve PRODUCT", (*pageRig).held},
	{"docs/policy.md", "driftless drift", (*pageRig).drift},
	{"docs/time-machine.md", "driftless rollback", (*pageRig).rename},
	{"docs/runbooks/DriftlessConvergenceLateSlow.md", "driftless dead drop", (*pageRig).dead},
	{"docs/runbooks/DriftlessDeadLetters.md", "driftless dead list", (*pageRig).dead},
	{"docs/runbooks/DriftlessDriftReported.md", "driftless drift", (*pageRig).drift},
	{"docs/runbooks/DriftlessDriftWaits.md", "driftless drift", (*pageRig).drift},
	{"docs/runbooks/DriftlessGuardHeld.md", "driftless status", (*pageRig).held},
	{"docs/runbooks/DriftlessGuardHeld.md", "driftless approve PRODUCT", (*pageRig).held},
}

// pages returns the blocks of commands of all pages, by page.
func pages(t *testing.T) map[string][]docpage.Block {
	t.Helper()
	out := map[string][]docpage.Block{}
	add := func(path string) {
		blocks, err := docpage.Read(path)
		require.NoError(t, err)
		if len(blocks) > 0 {
			name, err := filepath.Rel(repository, path)
			require.NoError(t, err)
			out[filepath.ToSlash(name)] = blocks
		}
	}
	add(repository + "/README.md")
	require.NoError(t, filepath.WalkDir(repository+"/docs", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			add(path)
		}
		return err
	}))
	return out
}

// Every command line of driftless on a page has commands and flags that exist, whether a test runs it or not.
func TestPages_CommandLinesParse(t *testing.T) {
	all := pages(t)
	t.Chdir(t.TempDir())
	for _, file := range []string{"driftless.yaml", "next.yaml"} {
		require.NoError(t, os.WriteFile(file, nil, 0o600))
	}
	lines := 0
	for _, blocks := range all {
		for _, b := range blocks {
			for _, words := range docpage.Commands(b.Script) {
				if filepath.Base(words[0]) != "driftless" {
					continue
				}
				for i, word := range words {
					words[i] = strings.NewReplacer("SERVICE", topology.Push, "/etc/driftless/", "").Replace(word)
				}
				lines++
				if slices.Equal(words[1:], []string{"--version"}) {
					continue // it ends the program
				}
				parser, _ := newParser(t.Context())
				if _, err := parser.Parse(words[1:]); err != nil {
					t.Errorf("%s: %q: %v", b, words, err)
				}
			}
		}
	}
	require.Greater(t, lines, 150)
}

// Every block of commands on a page is run here or by another test, or says why not.
func TestPages_CommandsWork(t *testing.T) { //nolint:tparallel // the pages share one mesh, one after the other
	t.Parallel()
	all := pages(t)
	for page := range pagesElsewhere {
		require.NotEmpty(t, all[page], page)
		delete(all, page)
	}
	r := newPageRig(t, "guard", "allow8")
	r.preparePages()
	isReset := false
	for _, page := range slices.Sorted(maps.Keys(all)) {
		t.Run(page, func(t *testing.T) {
			r.t = t
			if !isReset {
				r.reset()
			}
			isReset = true
			for _, b := range all[page] {
				isReset = isReset && pageState(page, b) == nil
				r.block(page, b)
			}
		})
	}
}

// pagePrelude lets a script go on after an answer "differs", and ends what would run for ever.
const pagePrelude = `set -e -o pipefail
driftless() {
	local code=0
	case " $* " in
	*" --watch "* | " tail"*" -f "* | " top ") timeout -s INT 1 driftless "$@" || code=$?; [ $code = 124 ] && code=0 ;;
	*) command driftless "$@" || code=$? ;;
	esac
	case $code in
	0 | 2 | 3) return 0 ;;
	*) echo "driftless $* exited with $code" >&2; return $code ;;
	esac
}
`

// preparePages makes the files and variables that pages assume.
func (r *pageRig) preparePages() {
	r.write("driftless.yaml", "guard_amount_change: 40\n")
	r.write("products.yaml",
		"products: [{id: jug, name: Jug, prices: [{id: jug-eur, currency: eur, unit_amount: 900}]}]\n")
	r.write(".data/token", scriptToken+"\n")
	r.env = append(r.env, "DATABASE_URL="+r.mesh.database, "NATS_URL="+r.mesh.natsURL, "TERM=dumb",
		"STRIPE_API_KEY="+simulatorKey, "STRIPE_API_BASE="+r.mesh.url("stripe"))
	commit(r.t, r.mesh.database, []string{
		"INSERT INTO driftless.products (id, name) VALUES ('cup', 'Cup'), ('pot', 'Pot'), ('club-office', 'Club'), " +
			"('mug-stoneware-350', 'Stoneware Mug')",
		"INSERT INTO driftless.prices (id, product, currency, unit_amount) VALUES ('cup-eur', 'cup', 'eur', 1200), " +
			"('mug-stoneware-350-eur', 'mug-stoneware-350', 'eur', 1600)",
	})
}

// reset brings the mesh to the state in which every page begins: nothing differs.
func (r *pageRig) reset() {
	r.t.Helper()
	require.NoError(r.t, r.mesh.refuse(nil))
	commit(r.t, r.mesh.database, []string{
		"UPDATE driftless.products SET name = 'Mug', active = true, description = 'Holds 350 ml.', " +
			`metadata = '{"crm_id": "1"}' WHERE id = 'mug'`,
		"UPDATE driftless.prices SET unit_amount = 1400 WHERE id = 'mug-eur'",
	})
	out, code := r.run("driftless resume && driftless sync mug || driftless approve mug --reason reset")
	require.Zero(r.t, code, out)
	out, code = r.run("driftless plan --wait-converged 1m mug && driftless approve --for 0s --reason reset")
	require.Zero(r.t, code, out)
	r.moment = time.Now().UTC().Format(time.RFC3339Nano)
}

// pageState returns what brings the mesh to the state that the block is about. Nil means that any state will do.
func pageState(page string, b docpage.Block) func(*pageRig) {
	for _, s := range pageStates {
		if s.page == page && strings.Contains(b.Script, s.text) {
			return s.prepare
		}
	}
	return nil
}

// block runs a block of a page.
func (r *pageRig) block(page string, b docpage.Block) {
	r.t.Helper()
	script := b.Runnable()
	prepare := pageState(page, b)
	if script == "" {
		return
	}
	for _, words := range docpage.Commands(script) {
		// They would reach the machine, or a cluster, of the person who runs the test.
		if slices.Contains([]string{"kubectl", "helm", "docker", "nats", "stripe", "sudo", "git", "brew"}, words[0]) {
			r.t.Errorf("%s: a test does not run %s: mark the block, as docs/house-style.md says", b, words[0])
			return
		}
	}
	parts := []string{script}
	if prepare != nil {
		parts = slices.Collect(strings.Lines(script))
	}
	for _, part := range parts {
		if prepare != nil {
			r.reset()
			prepare(r)
		}
		out, code := r.run(pagePrelude + r.here(part))
		if code != 0 || wrongCall.MatchString(out) {
			r.t.Errorf("%s: exited with %d\n%s\n%s", b, code, part, out)
		} else if b.Output != "" {
			if err := docpage.Compare(b.Output, out); err != nil {
				r.t.Errorf("%s: %s", b, err)
			}
		}
	}
}

// wrongCall finds the answers of the APIs to calls that can never be right. curl exits with 0 then.
var wrongCall = regexp.MustCompile(
	`"code":"(invalid_argument|unauthenticated|permission_denied|unimplemented|internal)"|404 page not found`)

// past finds the times of the past on a page.
var past = regexp.MustCompile(`(--at|--from|--to) ('[^']*'|[\w-]+)`)

// here replaces the names and addresses of the pages with those of this mesh.
func (r *pageRig) here(script string) string {
	address := func(name string) string { return strings.TrimPrefix(r.mesh.url(name), "http://") }
	script = past.ReplaceAllString(script, "$1 "+r.moment)
	return strings.NewReplacer(
		"https://api.stripe.com", r.mesh.url("stripe"),
		"scripts/driftless", "driftless",
		"127.0.0.1:8080", address(topology.Ingestion),
		"127.0.0.1:8081", address(topology.Pull),
		"127.0.0.1:8082", address(topology.Reconciliation),
		"127.0.0.1:8083", address(topology.Push),
		"127.0.0.1:12111", address("stripe"),
		"http://ingestion:8080", r.mesh.url(topology.Ingestion),
		"http://pull:8081", r.mesh.url(topology.Pull),
		"http://reconciliation:8082", r.mesh.url(topology.Reconciliation),
		"http://push:8083", r.mesh.url(topology.Push),
		"PRODUCT", "mug", "SERVICE", "push",
	).Replace(script)
}

// rename changes the name of the product.
func (r *pageRig) rename() {
	r.t.Helper()
	commit(r.t, r.mesh.database, []string{"UPDATE driftless.products SET name = 'Large mug' WHERE id = 'mug'"})
	awaitQuiet(r.t, &cli{Local: config.Local{DataDir: r.dir}})
}

// dead makes a change of the product that Stripe refuses.
func (r *pageRig) dead() {
	r.t.Helper()
	require.NoError(r.t, r.mesh.refuse([]string{"mug"}))
	r.rename()
}

// held makes a change of the product that the guard holds.
func (r *pageRig) held() {
	r.t.Helper()
	commit(r.t, r.mesh.database, []string{"UPDATE driftless.prices SET unit_amount = 14 WHERE id = 'mug-eur'"})
	awaitQuiet(r.t, &cli{Local: config.Local{DataDir: r.dir}})
}

// drift changes the product in Stripe, which does not answer the calls that would repair it.
func (r *pageRig) drift() {
	r.t.Helper()
	_, err := r.mesh.sim.AddFault(r.t.Context(), stripesim.Fault{
		Kind: stripesim.FaultUnavailable, Method: http.MethodPost, Object: "mug",
	})
	require.NoError(r.t, err)
	// The catalog may have the values of an earlier edit, which was written back.
	r.edits++
	edit := fmt.Sprint("Edit ", r.edits)
	require.NoError(r.t, r.mesh.dashboard("edit", "mug",
		[]string{"name=" + edit, "description=" + edit, "metadata[crm_id]=" + edit}))
	require.Eventually(r.t, func() bool {
		out, _ := r.run("driftless drift list")
		return strings.Count(out, fmt.Sprintf("Stripe %q", edit)) == 3
	}, scriptTimeout, 100*time.Millisecond)
}
