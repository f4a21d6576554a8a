package e2e_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// codeBlocks returns the blocks of a page by language, in order.
func codeBlocks(t *testing.T, path string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	out := map[string][]string{}
	for _, part := range strings.Split(string(text), "\n```")[1:] {
		language, body, _ := strings.Cut(part, "\n")
		if language != "" {
			out[language] = append(out[language], body+"\n")
		}
	}
	return out
}

// Everything on the page works as it stands.
func TestCheckoutPage_CommandsWork(t *testing.T) {
	r := newRig(t, stripesim.Config{}, func(r *rig) { r.stripeIDs = true })
	blocks := codeBlocks(t, "../../../docs/checkout.md")
	r.upsert(&catalogv1.Product{
		Id: "mug", Name: "Mug", DefaultPrice: "mug-eur",
		Prices: []*catalogv1.Price{{Id: "mug-eur", Currency: "eur", UnitAmount: "1400"}},
	})
	r.waitConverged()
	_, prices := r.stripeProduct("mug")
	id := prices["mug-eur"].ID
	require.Eventually(t, func() bool { return r.activePrices()["mug-eur"] == id }, patience, 10*time.Millisecond)

	r.exec("CREATE ROLE shop LOGIN PASSWORD 'shop'")
	t.Cleanup(func() {
		_, err := r.pool.Exec(context.WithoutCancel(t.Context()), "DROP OWNED BY shop; DROP ROLE shop")
		require.NoError(t, err)
	})
	shop, err := pgx.ParseConfig(r.database)
	require.NoError(t, err)
	shop.User, shop.Password = "shop", "shop"
	app, err := pgx.ConnectConfig(t.Context(), shop)
	require.NoError(t, err)
	defer app.Close(t.Context())
	require.Len(t, blocks["sql"], 5)
	for i, sql := range blocks["sql"] {
		if strings.HasPrefix(sql, "GRANT") {
			_, err := app.Exec(t.Context(), "SELECT FROM driftless.stripe_ids")
			require.ErrorContains(t, err, "permission denied", "nobody may read it at first")
			r.exec(sql)
			continue
		}
		if strings.HasPrefix(sql, "LISTEN") {
			_, err := app.Exec(t.Context(), sql)
			require.NoError(t, err)
			continue
		}
		rows, err := app.Query(t.Context(), sql)
		require.NoError(t, err)
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err, sql)
		if i == len(blocks["sql"])-1 {
			require.Empty(t, found, "there is no sandbox here")
		} else {
			require.Equal(t, []string{id}, found, sql)
		}
	}

	dir := t.TempDir()
	program := filepath.Join(dir, "main.go")
	require.Len(t, blocks["go"], 1)
	require.NoError(t, os.WriteFile(program, []byte(blocks["go"][0]), 0o600))
	run := exec.CommandContext(t.Context(), "go", "run", program)
	run.Env = append(os.Environ(), "DATABASE_URL="+r.database)
	out, err := run.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, id+"\n", string(out))

	require.Len(t, blocks["python"], 1)
	script := filepath.Join(dir, "price.py")
	require.NoError(t, os.WriteFile(script, []byte(blocks["python"][0]), 0o600))
	if python, err := exec.LookPath("python3"); err == nil {
		out, err := exec.CommandContext(t.Context(), python, "-m", "py_compile", script).CombinedOutput()
		require.NoError(t, err, string(out))
	}

	bin, err := programs()
	require.NoError(t, err)
	for _, command := range blocks["sh"] {
		sh := exec.CommandContext(t.Context(), "sh", "-c",
			strings.ReplaceAll(command, "https://api.stripe.com", r.simURL))
		sh.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "DATABASE_URL="+r.database,
			"STRIPE_API_KEY="+key)
		out, err := sh.CombinedOutput()
		require.NoError(t, err, string(out))
		if strings.HasPrefix(command, "curl") {
			require.Contains(t, string(out), id)
		}
	}

	require.Len(t, blocks["yaml"], 2)
	var settings struct {
		StripeIDs bool `yaml:"stripe_ids"`
		Catalog   struct {
			WriteIDs *config.WriteIDs `yaml:"write_ids"`
		} `yaml:"catalog"`
	}
	require.NoError(t, yaml.UnmarshalWithOptions([]byte(strings.Join(blocks["yaml"], "")), &settings, yaml.Strict()))
	require.True(t, settings.StripeIDs)
	require.Equal(t, "stripe_price_id", settings.Catalog.WriteIDs.Prices.Column)

	r.exec("UPDATE driftless.prices SET unit_amount = 1500 WHERE id = 'mug-eur'")
	told, err := app.WaitForNotification(t.Context())
	require.NoError(t, err)
	require.Equal(t, "mug", told.Payload)
	r.waitConverged()
	_, prices = r.stripeProduct("mug")
	require.NotEqual(t, id, prices["mug-eur"].ID)
	require.Eventually(t, func() bool { return r.activePrices()["mug-eur"] == prices["mug-eur"].ID }, patience,
		10*time.Millisecond)
}
