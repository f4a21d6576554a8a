package e2e_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// accountsFile configures all services of this test. DRIFTLESS_ACCOUNT selects the account.
const accountsFile = `
nats_url: %[1]s
database_url: %[2]s
stripe_api_base: %[3]s
stripe_rate: 1000
stripe_endpoint_rate: 1000
log_level: error
ingestion_addr: 127.0.0.1:0
push_addr: 127.0.0.1:0
pull_addr: 127.0.0.1:0
reconciliation_addr: 127.0.0.1:0
accounts:
  eu:
    stripe_api_key: sk_test_eu
    stripe_rate: 0.5
    catalog:
      products: SELECT id, name FROM shop WHERE region = 'eu'
      prices: SELECT id || '-price' AS id, id AS product, 'eur' AS currency, 1400 AS unit_amount FROM shop WHERE region = 'eu'
      watch: [{table: public.shop, product_id: id}]
  us:
    stripe_api_key: sk_test_us
    catalog:
      products: SELECT id, name FROM shop WHERE region = 'us'
      prices: SELECT id || '-price' AS id, id AS product, 'usd' AS currency, 1500 AS unit_amount FROM shop WHERE region = 'us'
      watch: [{table: public.shop, product_id: id}]
`

// The test runs two sets of services with one file, one NATS server and one database.
func TestAccounts_AreSeparate(t *testing.T) {
	t.Parallel()
	const each = 20
	natsURL, _ := localtest.NATS(t)
	database := localtest.Postgres(t)
	pool := localtest.Pool(t, database)
	exe := func(sql string, args ...any) {
		t.Helper()
		_, err := pool.Exec(context.WithoutCancel(t.Context()), sql, args...)
		require.NoError(t, err)
	}
	exe("CREATE TABLE shop (id text PRIMARY KEY, name text NOT NULL, region text NOT NULL)")
	for _, region := range []string{"eu", "us"} {
		exe("INSERT INTO shop SELECT $1 || '-' || i, 'Mug', $1 FROM generate_series(1, $2::int) i", region, each)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	simURL := "http://" + listener.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- stripesim.Run(ctx, stripesim.Config{
			Listener: listener, Limits: stripesim.Limits{Off: true},
			APIKeys: []stripesim.APIKey{
				{Key: "sk_test_eu", Account: "acct_eu"},
				{Key: "sk_test_us", Account: "acct_us"},
			},
		})
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})

	config := filepath.Join(t.TempDir(), "driftless.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, accountsFile, natsURL, database, simURL), 0o600))
	dir, err := programs()
	require.NoError(t, err)
	program := func(account, name string, args []string, env ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(dir, name), args...)
		cmd.Env = append(append(os.Environ(), "DRIFTLESS_CONFIG="+config, "DRIFTLESS_ACCOUNT="+account), env...)
		cmd.Stderr = os.Stderr
		return cmd
	}
	require.NoError(t, program("", "driftless", []string{"topology", "apply"}).Run(), "of all accounts of the file")
	running := map[string]*exec.Cmd{}
	start := func(account, service string, env ...string) {
		t.Helper()
		cmd := program(account, service, nil, env...)
		require.NoError(t, cmd.Start())
		running[account+" "+service] = cmd
	}
	stop := func(name string) {
		cmd := running[name]
		delete(running, name)
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		require.NoError(t, cmd.Wait(), name)
	}
	t.Cleanup(func() {
		for name := range running {
			stop(name)
		}
		for _, account := range []string{"eu", "us"} {
			// Postgres notices a moment later that the process that read the slot has ended.
			require.Eventually(t, func() bool {
				_, err := pool.Exec(context.WithoutCancel(t.Context()), "SELECT pg_drop_replication_slot($1)",
					"driftless_"+account)
				return err == nil
			}, patience, tick, "drop the slot of %s", account)
		}
	})
	for _, account := range []string{"eu", "us"} {
		for _, service := range []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation} {
			start(account, service)
		}
	}

	held := func(account string) map[string]*stripe.Product {
		t.Helper()
		api := client.New("sk_test_"+account,
			&stripe.Backends{API: stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
				URL: stripe.String(simURL), LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull},
			})})
		out := map[string]*stripe.Product{}
		list := api.Products.List(&stripe.ProductListParams{Active: stripe.Bool(true)})
		for list.Next() {
			out[list.Product().ID] = list.Product()
		}
		require.NoError(t, list.Err())
		return out
	}
	exactly := func(account string, n int) {
		t.Helper()
		require.Eventually(t, func() bool { return len(held(account)) == n }, patience, tick)
		for id := range held(account) {
			require.Equal(t, account, id[:2], id)
		}
	}
	exactly("us", each)
	require.Less(t, len(held("eu")), each,
		"its budget is its own, and small: at a call in two seconds it is not done yet")
	stop("eu push")
	start("eu", topology.Push, "STRIPE_RATE=1000")
	exactly("eu", each)
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: natsURL, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	for _, account := range []string{"eu", "us"} {
		revision, err := state.New(m).Budget(account).GetAt(t.Context(), &meshv1.Budget{})
		require.NoError(t, err)
		require.NotZero(t, revision, account)
	}
	revision, err := state.New(m).Budget("default").GetAt(t.Context(), &meshv1.Budget{})
	require.NoError(t, err)
	require.Zero(t, revision)

	// A product that moves leaves one account and appears in the other.
	exe("UPDATE shop SET region = 'us', name = 'Moved' WHERE id = 'eu-1'")
	require.Eventually(t, func() bool {
		p := held("us")["eu-1"]
		return p != nil && p.Name == "Moved" && held("eu")["eu-1"] == nil
	}, patience, tick)
	require.Len(t, held("us"), each+1)
	require.Len(t, held("eu"), each-1)
}
