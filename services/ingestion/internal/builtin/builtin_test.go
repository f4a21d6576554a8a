package builtin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/driftless-sync/driftless/services/ingestion/internal/builtin"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

func tables(t *testing.T) *pgxpool.Pool {
	t.Helper()
	database := localtest.Postgres(t)
	require.NoError(t, builtin.Migrate(t.Context(), database))
	return localtest.Pool(t, database)
}

func exec(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	_, err := pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err, sql)
}

func TestMigrate_ConcurrentStartsMigrateOnce(t *testing.T) {
	t.Parallel()
	database := localtest.Postgres(t)
	started := time.Now()
	var g errgroup.Group
	for range 4 {
		g.Go(func() error { return builtin.Migrate(t.Context(), database) })
	}
	require.NoError(t, g.Wait())
	require.NoError(t, builtin.Migrate(t.Context(), database), "a later start finds nothing to do")
	t.Logf("four starts at once took %s", time.Since(started).Round(time.Millisecond))
	var versions int
	require.NoError(t, localtest.Pool(t, database).QueryRow(t.Context(),
		"SELECT count(*) FROM driftless.ingestion_migrations WHERE version_id = 1").Scan(&versions))
	require.Equal(t, 1, versions)
}

func TestTables_RequireOnlyIDAndName(t *testing.T) {
	t.Parallel()
	pool := tables(t)
	exec(t, pool, "insert into driftless.products(id, name) values ('mug', 'Mug')")
	exec(t, pool,
		"insert into driftless.prices(id, product, currency, unit_amount) values ('mug-eur', 'mug', 'eur', 1400)")
	p := read(t, pool, "mug")
	require.Equal(t, "Mug", p.Product.GetName())
	require.True(t, p.Product.GetActive())
	require.Equal(t, "1400", p.Product.GetPrices()[0].GetUnitAmount())

	exec(t, pool, "delete from driftless.products where id = 'mug'")
	var prices int
	require.NoError(t, pool.QueryRow(t.Context(), "select count(*) from driftless.prices").Scan(&prices))
	require.Zero(t, prices, "the prices go with their product")
}

func TestTables_SayHowLongReplacedPricesStay(t *testing.T) {
	t.Parallel()
	pool := tables(t)
	exec(t, pool, "insert into driftless.products(id, name, archive_after) "+
		"values ('mug', 'Mug', '90 minutes'), ('cup', 'Cup', null), ('jug', 'Jug', '-1 hour')")
	require.Equal(t, 90*time.Minute, read(t, pool, "mug").Overlap(time.Second).AsDuration())
	require.Equal(t, time.Second, read(t, pool, "cup").Overlap(time.Second).AsDuration(), "the setting")
	require.Equal(t, "archive_after", read(t, pool, "jug").Faults[0].Field)
}

func TestTables_AcceptValuesBeyondStripesLimits(t *testing.T) {
	t.Parallel()
	pool := tables(t)
	metadata := map[string]string{}
	for i := range 51 {
		metadata[fmt.Sprintf("key%d", i)] = strings.Repeat("v", 501)
	}
	doc, err := json.Marshal(metadata)
	require.NoError(t, err)
	exec(t, pool,
		"insert into driftless.products(id, name, metadata, statement_descriptor, images) values ('a', $1, $2, '<>', $3)",
		strings.Repeat("x", 6000), string(doc), []string{"no url"})
	exec(t, pool,
		"insert into driftless.prices(id, product, currency, unit_amount, billing_scheme, tax_behavior, recurring) values "+
			"('z', 'a', 'zzz', -1, 'free', 'none', '{\"interval\": \"decade\"}')")
	p := read(t, pool, "a")
	require.Empty(t, p.Faults)
	require.Len(t, p.Product.GetName(), 6000)
	require.Len(t, p.Product.GetMetadata(), 51)
	require.Equal(t, "zzz", p.Product.GetPrices()[0].GetCurrency())
}

func TestTables_DateAndLogUpdates(t *testing.T) {
	t.Parallel()
	pool := tables(t)
	exec(t, pool, "insert into driftless.products(id, name) values ('mug', 'Mug')")
	exec(t, pool,
		"insert into driftless.prices(id, product, currency, unit_amount) values ('mug-eur', 'mug', 'eur', 1400)")
	exec(t, pool, "update driftless.products set name = 'Cup'")
	exec(t, pool, "update driftless.prices set unit_amount = 1500")
	var dated bool
	require.NoError(t, pool.QueryRow(t.Context(), "select p.updated_at > p.created_at and r.updated_at > r.created_at "+
		"from driftless.products p join driftless.prices r on r.product = p.id").Scan(&dated))
	require.True(t, dated)
	var full int
	require.NoError(t, pool.QueryRow(t.Context(), "select count(*) from pg_class where relreplident = 'f' and "+
		"oid in ('driftless.products'::regclass, 'driftless.prices'::regclass)").Scan(&full))
	require.Equal(t, 2, full)
}

func TestMigrate_NamesGrantForMissingRight(t *testing.T) {
	t.Parallel()
	database := localtest.Postgres(t)
	pool := localtest.Pool(t, database)
	u, err := url.Parse(database)
	require.NoError(t, err)
	name := strings.TrimPrefix(u.Path, "/")
	role := "clerk_" + name
	exec(t, pool, "create role "+role+" login password 'hunter2'")
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_, err := pool.Exec(ctx, "drop owned by "+role)
		require.NoError(t, err)
		_, err = pool.Exec(ctx, "drop role "+role)
		require.NoError(t, err)
	})
	u.User = url.UserPassword(role, "hunter2")

	err = builtin.Migrate(t.Context(), u.String())
	require.ErrorContains(t, err, fmt.Sprintf("GRANT CREATE ON DATABASE %q TO %q;", name, role))
	require.NotContains(t, err.Error(), "hunter2")

	exec(t, pool, "create schema driftless")
	err = builtin.Migrate(t.Context(), u.String())
	require.ErrorContains(t, err, fmt.Sprintf(`GRANT CREATE, USAGE ON SCHEMA "driftless" TO %q;`, role))

	require.NoError(t, builtin.Migrate(t.Context(), database))
	exec(t, pool, "grant create, usage on schema driftless to "+role)
	err = builtin.Migrate(t.Context(), u.String())
	require.ErrorContains(t, err, fmt.Sprintf(`GRANT ALL ON ALL TABLES IN SCHEMA "driftless" TO %q;`, role))

	exec(t, pool, "grant all on all tables in schema driftless to "+role)
	require.NoError(t, builtin.Migrate(t.Context(), u.String()))
}

func TestMigrate_KeepsPasswordsOutOfErrors(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"postgres://user:hunter2@127.0.0.1:1/catalog",
		"postgres://user:hunter2@127.0.0.1:none/catalog",
	} {
		err := builtin.Migrate(t.Context(), bad)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
		t.Log(err)
	}
}

func read(t *testing.T, pool *pgxpool.Pool, id string) mapping.State {
	t.Helper()
	m, err := mapping.New(t.Context(), pool, builtin.Mapping())
	require.NoError(t, err)
	require.Empty(t, m.Unmanaged(), "every field of Stripe has a column")
	states, err := m.Read(t.Context(), []string{id})
	require.NoError(t, err)
	require.NotNil(t, states.States[id].Product)
	return states.States[id]
}
