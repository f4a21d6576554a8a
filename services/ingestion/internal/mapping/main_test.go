package mapping_test

import (
	"context"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

func TestMain(m *testing.M) { localtest.VerifyTestMain(m) }

// shop is a database with an operator's tables, and the mapping that reads them.
type shop struct {
	t       *testing.T
	url     string
	pool    *pgxpool.Pool
	queries config.Mapping
}

// newShop makes the tables. The queries are those of the documentation, unless the test sets others.
func newShop(t *testing.T, sql string) *shop {
	t.Helper()
	s := &shop{t: t, url: localtest.Postgres(t), queries: config.Mapping{
		Products: `SELECT id, name FROM items`,
		Prices:   `SELECT id, item AS product, 'eur' AS currency, cents AS unit_amount FROM tariffs`,
	}}
	s.pool = localtest.Pool(t, s.url)
	s.exec(sql)
	return s
}

func (s *shop) exec(sql string, args ...any) {
	s.t.Helper()
	_, err := s.pool.Exec(s.t.Context(), sql, args...)
	require.NoError(s.t, err)
}

func (s *shop) mapping() *mapping.Mapping {
	s.t.Helper()
	m, err := mapping.New(s.t.Context(), s.pool, &s.queries)
	require.NoError(s.t, err)
	return m
}

func (s *shop) read(ids ...string) mapping.Reading {
	s.t.Helper()
	r, err := s.mapping().Read(s.t.Context(), ids)
	require.NoError(s.t, err)
	return r
}

// as connects as a role that may only read the tables of the schema public.
func (s *shop) as(role string) *pgxpool.Pool {
	s.t.Helper()
	s.exec(`CREATE ROLE ` + role + ` LOGIN PASSWORD 'secret'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO ` + role)
	owner := s.pool
	s.t.Cleanup(func() {
		_, err := owner.Exec(context.Background(), `DROP OWNED BY `+role+`; DROP ROLE `+role)
		require.NoError(s.t, err)
	})
	u, err := url.Parse(s.url)
	require.NoError(s.t, err)
	u.User = url.UserPassword(role, "secret")
	return localtest.Pool(s.t, u.String())
}
