package api_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
	"github.com/driftless-sync/driftless/services/ingestion/internal/api"
	"github.com/driftless-sync/driftless/services/ingestion/internal/builtin"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/ingestion/internal/validation"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

func TestMain(m *testing.M) { localtest.VerifyTestMain(m) }

// rig is the API over a database with the built-in tables.
type rig struct {
	t      testing.TB
	pool   *pgxpool.Pool
	url    string
	http   *http.Client
	client ingestv1connect.IngestServiceClient
}

func newRig(t testing.TB, options ...func(*api.Config)) *rig {
	t.Helper()
	database := localtest.Postgres(t)
	require.NoError(t, builtin.Migrate(t.Context(), database))
	return serve(t, localtest.Pool(t, database), options...)
}

func serve(t testing.TB, pool *pgxpool.Pool, options ...func(*api.Config)) *rig {
	t.Helper()
	validator, err := validation.New()
	require.NoError(t, err)
	cfg := api.Config{
		Pool: pool, Validator: validator, BuiltIn: true, Logger: slog.New(slog.DiscardHandler),
		WaitCaptured: func(context.Context) (uint64, error) { return 42, nil },
	}
	for _, option := range options {
		option(&cfg)
	}
	server := httptest.NewUnstartedServer(api.New(cfg))
	server.Config.Protocols = protocols()
	server.Start()
	t.Cleanup(server.Close)
	return &rig{
		t: t, pool: pool, url: server.URL, http: server.Client(),
		client: ingestv1connect.NewIngestServiceClient(server.Client(), server.URL),
	}
}

func protocols() *http.Protocols {
	p := &http.Protocols{}
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

func (r *rig) upsert(products ...*catalogv1.Product) ([]*ingestv1.UpsertedProduct, error) {
	resp, err := r.client.UpsertProducts(context.Background(),
		connect.NewRequest(&ingestv1.UpsertProductsRequest{Products: products}))
	if err != nil {
		return nil, err
	}
	return resp.Msg.GetProducts(), nil
}

func (r *rig) mustUpsert(products ...*catalogv1.Product) {
	r.t.Helper()
	_, err := r.upsert(products...)
	require.NoError(r.t, err)
}

func (r *rig) archive(ids ...string) error {
	_, err := r.client.ArchiveProducts(context.Background(),
		connect.NewRequest(&ingestv1.ArchiveProductsRequest{Ids: ids}))
	return err
}

func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	_, err := r.pool.Exec(context.Background(), sql, args...)
	require.NoError(r.t, err)
}

// rows returns the versions of all rows, which change whenever a row is written.
func (r *rig) rows() []string {
	r.t.Helper()
	var out []string
	require.NoError(r.t, r.pool.QueryRow(context.Background(), `SELECT coalesce(array_agg(v ORDER BY v), '{}') FROM (
		SELECT id || ' ' || ctid || ' ' || xmin AS v FROM driftless.products
		UNION ALL SELECT id || ' ' || ctid || ' ' || xmin FROM driftless.prices) rows`).Scan(&out))
	return out
}

func (r *rig) mapping() *mapping.Mapping {
	r.t.Helper()
	m, err := mapping.New(context.Background(), r.pool, builtin.Mapping())
	require.NoError(r.t, err)
	return m
}

// violations returns the details of a refusal.
func violations(t testing.TB, err error) []string {
	t.Helper()
	require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err), "%v", err)
	refused := &connect.Error{}
	require.ErrorAs(t, err, &refused)
	var out []string
	for _, d := range refused.Details() {
		v, err := d.Value()
		require.NoError(t, err)
		violation, ok := v.(*ingestv1.FieldViolation)
		require.True(t, ok)
		out = append(out, violation.GetField()+" ("+violation.GetProductId()+"): "+violation.GetMessage())
	}
	return out
}

func product(id string, prices ...*catalogv1.Price) *catalogv1.Product {
	return &catalogv1.Product{Id: id, Name: "Product " + id, Prices: prices}
}

func price(id string) *catalogv1.Price {
	return &catalogv1.Price{Id: id, Currency: "eur", UnitAmount: "1400"}
}
