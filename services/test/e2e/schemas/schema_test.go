package schemas_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/test/e2e/schemas"
)

// create creates a schema in a database of its own.
func create(t *testing.T, s schemas.Schema) *pgxpool.Pool {
	t.Helper()
	pool := localtest.Pool(t, localtest.Postgres(t))
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	require.NoError(t, s.Create(t.Context(), conn.Conn(), 40))
	return pool
}

func mapping(t *testing.T, s schemas.Schema, account string) *config.Mapping {
	t.Helper()
	text, err := s.File("driftless.yaml")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "driftless.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	m, err := s.Config(path, account)
	require.NoError(t, err)
	return m
}

func texts(t *testing.T, pool *pgxpool.Pool, sql string) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), sql)
	require.NoError(t, err, sql)
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err, sql)
	slices.Sort(out)
	return out
}

func TestSchema_WatchNamesProducts(t *testing.T) {
	t.Parallel()
	for _, s := range schemas.All() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			pool := create(t, s)
			for _, account := range s.Accounts {
				m := mapping(t, s, account)
				products := texts(t, pool, "SELECT id::text FROM ("+m.Products+") q")
				require.NotEmpty(t, products)
				for _, w := range m.Watch {
					ids := texts(t, pool, concerned(w))
					require.True(t, slices.ContainsFunc(ids, func(id string) bool {
						// The ids of one schema have a type that ignores case.
						return slices.ContainsFunc(products, func(p string) bool { return strings.EqualFold(p, id) })
					}),
						"no row of %s concerns a product: %v", w.Table, ids[:min(len(ids), 5)])
				}
			}
		})
	}
}

var parameter = regexp.MustCompile(`@(\w+)`)

// concerned returns SQL for the ids of the products that all rows of a watched table concern.
func concerned(w config.WatchedTable) string {
	where := ""
	if w.Where != "" {
		where = " WHERE " + w.Where
	}
	if w.ProductID != "" {
		return fmt.Sprintf("SELECT DISTINCT (%s)::text FROM %s%s", w.ProductID, w.Table, where)
	}
	query := parameter.ReplaceAllString(w.Products, `watched_row."$1"`)
	//nolint:unqueryvet // the query may use any column of the row
	return fmt.Sprintf(
		"SELECT DISTINCT i.id::text FROM (SELECT * FROM %s%s) watched_row CROSS JOIN LATERAL (%s) i (id) WHERE i.id IS NOT NULL", w.Table, where, query)
}

func TestSchema_EveryChangeRuns(t *testing.T) {
	t.Parallel()
	for _, s := range schemas.All() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			pool := create(t, s)
			want := func() (out []schemas.Catalog) {
				for _, account := range s.Accounts {
					w, err := s.Want(t.Context(), pool, account)
					require.NoError(t, err)
					require.NotEmpty(t, w)
					out = append(out, w)
				}
				return out
			}
			changes, err := s.Changes()
			require.NoError(t, err)
			rereads, nothings := 0, 0
			before := want()
			for _, c := range changes {
				_, err := pool.Exec(t.Context(), c.SQL)
				require.NoError(t, err, c.Title)
				after := want()
				if c.Nothing {
					require.Equal(t, before, after, c.Title)
					nothings++
				} else {
					require.NotEqual(t, before, after, c.Title)
				}
				if c.Reread {
					rereads++
				}
				before = after
			}
			require.GreaterOrEqual(t, len(changes), 14)
			require.NotZero(t, rereads, "a change of a table that is not watched")
			require.NotZero(t, nothings, "rows that are no products")
		})
	}
}

func TestSchema_RoleCanReadMappedTables(t *testing.T) {
	t.Parallel()
	for _, s := range schemas.All() {
		if s.Role == "" {
			continue
		}
		pool := create(t, s)
		conn, err := pool.Acquire(t.Context())
		require.NoError(t, err)
		require.NoError(t, s.CreateRole(t.Context(), conn))
		m := mapping(t, s, "")
		for _, sql := range []string{"SET ROLE " + s.Role, m.Products, m.Prices, "RESET ROLE"} {
			_, err := conn.Exec(t.Context(), sql)
			require.NoError(t, err, sql)
		}
		require.NoError(t, s.RemoveRole(t.Context(), conn))
		conn.Release()
	}
}

// A comment in the configuration lists the tables that it reads and does not watch.
func TestSchema_ListsUnwatchedTables(t *testing.T) {
	t.Parallel()
	for _, s := range schemas.All() {
		text, err := s.File("driftless.yaml")
		require.NoError(t, err)
		require.NotEmpty(t, s.Unwatched)
		for _, table := range s.Unwatched {
			require.Regexp(t, "# "+regexp.QuoteMeta(table)+" is read and not watched", text, s.Name)
		}
	}
}
