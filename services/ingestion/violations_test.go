package ingestion_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// margin finds built-in prices of less than 10 percent above what the product costs.
var margin = config.ProductCheck{
	Name: "margin",
	Query: `SELECT p.product, p.id FROM driftless.prices p JOIN costs c ON c.product = p.product
		WHERE p.unit_amount < c.amount * 1.1`,
	Message: "margin below 10 percent",
}

// costs makes a table of what products cost, and uses the built-in tables with checks.
func (r *rig) costs(checks ...config.ProductCheck) {
	r.t.Helper()
	r.exec(`CREATE TABLE costs (product text PRIMARY KEY, amount bigint)`)
	r.cfg.Mapping = &config.Mapping{Checks: checks}
}

func (r *rig) sell(product string, amount int) {
	r.t.Helper()
	r.exec(`INSERT INTO driftless.products (id, name) VALUES ($1, $1) ON CONFLICT DO NOTHING`, product)
	r.exec(`INSERT INTO driftless.prices (id, product, currency, unit_amount) VALUES ($1 || '-eur', $1, 'eur', $2)
		ON CONFLICT (id) DO UPDATE SET unit_amount = excluded.unit_amount`, product, amount)
	r.waitCaptured()
}

// violations returns the violations of the latest state of a product.
func (r *rig) violations(product string) []string {
	r.t.Helper()
	out := []string{}
	for _, v := range r.latest(product).GetViolations() {
		out = append(out, v.GetCheck()+": "+v.GetMessage())
	}
	return out
}

func (r *rig) requireViolations(product string, want ...string) {
	r.t.Helper()
	r.eventually(product+" violates "+strings.Join(want, ", "),
		func() bool { return slices.Equal(want, r.violations(product)) })
}

func TestChecks_ReachCatalogWithTheProduct(t *testing.T) {
	r := newRig(t)
	r.costs(margin)
	r.exec(`INSERT INTO costs VALUES ('mug', 1000)`)
	r.start()
	r.sell("mug", 1050)
	const low = "margin: margin below 10 percent: mug-eur"
	require.Equal(t, []string{low}, r.violations("mug"))
	require.Equal(t, catalogv1.Source_SOURCE_WAL, r.latest("mug").GetSource())
	r.sell("mug", 1200)
	require.Empty(t, r.violations("mug"))

	// A change of the violations alone is a change, and the comparison finds it: costs are not watched.
	before := r.latest("mug")
	r.exec(`UPDATE costs SET amount = 1150`)
	r.requireViolations("mug", low)
	after := r.latest("mug")
	require.Greater(t, after.GetVersion(), before.GetVersion())
	require.True(t, proto.Equal(before.GetProduct(), after.GetProduct()))
	require.Equal(t, catalogv1.Source_SOURCE_COMPARISON, after.GetSource())
	r.eventually("compared", func() bool { return r.report().GetCompared().GetPublished() == 1 })
	require.Zero(t, r.report().GetCompared().GetMissed(), "capture has not missed a state of the product")
	require.Equal(t, []string{"costs"}, r.report().GetUnwatchedTables())
	r.exec(`UPDATE costs SET amount = 1000`)
	r.eventually("passes", func() bool { return len(r.violations("mug")) == 0 })
}

func TestChecks_RefuseMakesDeadLetter(t *testing.T) {
	r := newRig(t)
	euro := config.ProductCheck{
		Name: "euro",
		Query: `SELECT id FROM driftless.products p
			WHERE NOT EXISTS (SELECT FROM driftless.prices WHERE product = p.id AND currency = 'eur')`,
		Message: "has no price in EUR", Severity: "refuse",
	}
	r.costs(margin, euro)
	r.exec(`INSERT INTO costs VALUES ('mug', 1000)`)
	r.start()
	r.exec(`INSERT INTO driftless.products (id, name) VALUES ('mug', 'Mug')`)
	r.waitCaptured()
	letter := r.dead("mug")
	require.Equal(t, topology.ReasonCheckFailed, letter.GetReason())
	require.Equal(t, "check euro", letter.GetStep())
	require.Equal(t,
		"product mug is refused by catalog.checks: check euro: has no price in EUR; correct the catalog, or the check",
		letter.GetMessage())
	require.Nil(t, r.latest("mug"))
	r.sell("mug", 1050)
	require.Equal(t, []string{"margin: margin below 10 percent: mug-eur"}, r.violations("mug"))
	require.Empty(t, r.latest("mug").GetProduct().GetDescription())
	// The comparison reaches the same verdict on a product that was refused before.
	r.exec(`DELETE FROM driftless.prices`)
	r.waitCaptured()
	require.Equal(t, topology.ReasonCheckFailed, r.dead("mug").GetReason())
}

// logs collects the records of a logger.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

func TestChecks_ThatFailAreReportedAndReleaseNothing(t *testing.T) {
	r := newRig(t)
	r.exec(`CREATE TABLE limits (n int); INSERT INTO limits VALUES (1)`)
	r.costs(config.ProductCheck{
		Name: "limit", Query: `SELECT p.id FROM driftless.products p, limits WHERE 100 / n > 50`, Message: "too many",
	})
	out := &logs{}
	r.cfg.Logger = slog.New(slog.NewTextHandler(out, nil))
	r.start()
	r.sell("mug", 1000)
	require.Equal(t, []string{"limit: too many"}, r.violations("mug"))

	r.exec(`UPDATE limits SET n = 0`)
	r.eventually("reported", func() bool { return len(r.report().GetFailingChecks()) == 1 })
	failing := r.report().GetFailingChecks()[0]
	require.Equal(t, "limit", failing.GetCheck())
	require.Equal(t, "division by zero (SQLSTATE 22012)", failing.GetMessage())
	require.WithinDuration(t, time.Now(), failing.GetSince().AsTime(), testTimeout)
	// The row is written again, and the product is the same.
	r.exec(`UPDATE driftless.products SET name = name`)
	r.waitCaptured()
	require.Equal(t, []string{"limit: too many"}, r.violations("mug"), "what it has found stays")
	r.sell("mug", 2000)
	require.Empty(t, r.violations("mug"), "a new state is not held, because on_error is ignore")
	require.Equal(t, 1, out.count("a check of catalog.checks fails"), "once for its cause")

	r.exec(`UPDATE limits SET n = 1`)
	r.requireViolations("mug", "limit: too many")
	r.eventually("over", func() bool { return len(r.report().GetFailingChecks()) == 0 })
	require.Equal(t, 1, out.count("a check of catalog.checks runs again"))
}

// A check that refuses a product and then fails keeps refusing that state of it.
func TestChecks_ThatFailKeepRefusing(t *testing.T) {
	r := newRig(t)
	r.exec(`CREATE TABLE limits (n int); INSERT INTO limits VALUES (1)`)
	r.costs(config.ProductCheck{
		Name: "limit", Query: `SELECT p.id FROM driftless.products p, limits WHERE 100 / n > 50`, Message: "too many",
		Severity: "refuse",
	})
	r.start()
	r.sell("mug", 1000)
	require.Equal(t, topology.ReasonCheckFailed, r.dead("mug").GetReason())
	r.exec(`UPDATE limits SET n = 0`)
	r.eventually("reported", func() bool { return len(r.report().GetFailingChecks()) == 1 })
	compared := r.report().GetCompared().GetFinishedAt().AsTime()
	r.exec(`UPDATE limits SET n = 0`)
	r.eventually("compared again",
		func() bool { return r.report().GetCompared().GetFinishedAt().AsTime().After(compared) })
	require.Nil(t, r.latest("mug"))
}

func TestChecks_StraysAreReported(t *testing.T) {
	r := newRig(t)
	r.costs(config.ProductCheck{Name: "stray", Query: `SELECT product FROM costs`, Message: "no"})
	r.exec(`INSERT INTO costs VALUES ('nobody', 1)`)
	r.start()
	r.eventually("reported", func() bool { return len(r.report().GetFailingChecks()) == 1 })
	require.Contains(t, r.report().GetFailingChecks()[0].GetMessage(), `it returns 1 ids that are no products, such as "nobody"`)
	r.exec(`DELETE FROM costs`)
	r.eventually("over", func() bool { return len(r.report().GetFailingChecks()) == 0 })
}

// Whatever the application does, the violations in CATALOG are those that the query returns for the same state.
func TestChecks_ViolationsInCatalogEqualTheQuery(t *testing.T) {
	r := newRig(t)
	r.costs(margin)
	r.start()
	rapid.Check(t, func(p *rapid.T) {
		for range rapid.IntRange(1, 8).Draw(p, "edits") {
			product := fmt.Sprint("p", rapid.IntRange(1, 4).Draw(p, "product"))
			amount := rapid.IntRange(90, 130).Draw(p, "amount")
			switch rapid.IntRange(0, 2).Draw(p, "edit") {
			case 0:
				r.exec(`INSERT INTO costs VALUES ($1, $2) ON CONFLICT (product) DO UPDATE SET amount = excluded.amount`,
					product, amount)
				// Costs are not watched, so the application writes the product, too.
				r.exec(`UPDATE driftless.products SET name = name WHERE id = $1`, product)
			case 1:
				r.sell(product, amount)
			default:
				r.exec(`DELETE FROM driftless.products WHERE id = $1`, product)
			}
		}
		r.waitCaptured()
		rows, err := r.pool.Query(t.Context(), `SELECT p.id, coalesce(v.detail, '') FROM driftless.products p
			LEFT JOIN (`+margin.Query+`) v(product, detail) ON v.product = p.id`)
		require.NoError(p, err)
		defer rows.Close()
		for rows.Next() {
			var product, detail string
			require.NoError(p, rows.Scan(&product, &detail))
			want := []string{}
			if detail != "" {
				want = append(want, "margin: margin below 10 percent: "+detail)
			}
			require.Equal(p, want, r.violations(product), product)
		}
		require.NoError(p, rows.Err())
	})
}

// The examples of the page work as they stand.
func TestChecks_ExamplesOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/mapping.md")
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(page), "\n## Checks\n")
	require.True(t, ok)
	_, block, _ := strings.Cut(section, "```yaml\n")
	block, _, _ = strings.Cut(block, "```")
	path := filepath.Join(t.TempDir(), "driftless.yaml")
	require.NoError(t, os.WriteFile(path, []byte(block), 0o600))
	t.Setenv("DRIFTLESS_ACCOUNT", "default")
	var settings struct{ config.File }
	r := newRig(t)
	r.cfg.Mapping, err = config.Parse(&settings, "test", "", "v0", []string{"--config", path})
	require.NoError(t, err)
	r.exec(`CREATE SCHEMA shop; CREATE TABLE shop.costs (product text, currency text, amount bigint);
		INSERT INTO shop.costs VALUES ('mug', 'eur', 1000)`)
	r.start()
	r.sell("mug", 1050)
	require.Equal(t, []string{"margin: margin below 10 percent: mug-eur"}, r.violations("mug"))
	r.exec(`UPDATE driftless.prices SET currency = 'usd'`)
	r.waitCaptured()
	require.Contains(t, r.dead("mug").GetMessage(), "check euro: no price in EUR")
}
