package writeback_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/builtin"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/ingestion/internal/validation"
	"github.com/driftless-sync/driftless/services/ingestion/internal/writeback"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

func TestMain(m *testing.M) { localtest.VerifyTestMain(m) }

// rig is a shop with its own tables, or with the built-in ones, and a writer.
type rig struct {
	t       *testing.T
	url     string
	pool    *pgxpool.Pool
	queries *config.Mapping
	builtIn bool
}

// newShop makes an operator's tables, with other names, types and forms than Stripe's.
func newShop(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, url: localtest.Postgres(t)}
	r.pool = localtest.Pool(t, r.url)
	r.exec(`CREATE SCHEMA shop`)
	r.exec(`CREATE TYPE shop.status AS ENUM ('live', 'gone')`)
	r.exec(`CREATE TABLE shop.items (sku text PRIMARY KEY, title varchar(40) NOT NULL, status shop.status DEFAULT 'live', blurb text, tags jsonb,
		photos text[], points jsonb, note text)`)
	r.exec(`CREATE TABLE shop.tariffs (code text PRIMARY KEY, sku text REFERENCES shop.items, cents numeric(12,2) NOT NULL, label text, attributes jsonb)`)
	r.exec(`INSERT INTO shop.items (sku, title, blurb, tags, photos) VALUES ('mug', 'Mug', 'Blue', '{"stock": 7, "seo_title": "A mug"}', '{https://example.com/a.png}')`)
	r.exec(`INSERT INTO shop.items (sku, title, blurb) VALUES ('cup', 'Cup', 'Red')`)
	r.exec(`INSERT INTO shop.tariffs VALUES ('mug-eur', 'mug', 1400.00, 'Euro', '{"region": "eu"}'), ('mug.usd', 'mug', 1250.50, NULL, NULL)`)
	r.queries = &config.Mapping{
		Products: `SELECT sku AS id, title AS name, status = 'live' AS active, blurb AS description, tags AS metadata, photos AS images,
			points AS marketing_features FROM shop.items`,
		Prices: `SELECT code AS id, sku AS product, 'eur' AS currency, cents AS unit_amount_decimal, label AS nickname, attributes AS metadata FROM shop.tariffs`,
		WriteBack: config.WriteBack{
			Product: `UPDATE shop.items SET title = @name, blurb = @description, tags = @metadata, photos = @images, points = @marketing_features,
				status = CASE WHEN @active THEN 'live' ELSE 'gone' END::shop.status -- @nobody
				WHERE sku = @id;`,
			Price:         `UPDATE shop.tariffs SET label = @nickname, attributes = @metadata, cents = @unit_amount_decimal WHERE code = @id AND sku = @product`,
			ImportProduct: `INSERT INTO shop.items (sku, title, blurb, tags, photos) VALUES (@id, @name, @description, @metadata, @images)`,
			ImportPrice:   `INSERT INTO shop.tariffs VALUES (@id, @product, @unit_amount_decimal, @nickname, @metadata)`,
		},
	}
	return r
}

func newBuiltIn(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, url: localtest.Postgres(t), queries: builtin.Mapping(), builtIn: true}
	r.pool = localtest.Pool(t, r.url)
	require.NoError(t, builtin.Migrate(t.Context(), r.url))
	return r
}

func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	_, err := r.pool.Exec(r.t.Context(), sql, args...)
	require.NoError(r.t, err)
}

func (r *rig) value(sql string, args ...any) (s string) {
	r.t.Helper()
	var out *string
	require.NoError(r.t, r.pool.QueryRow(r.t.Context(), sql, args...).Scan(&out))
	if out == nil {
		return "NULL"
	}
	return *out
}

// open checks the statements, as a start of ingestion does.
func (r *rig) open(pool *pgxpool.Pool) (*writeback.Writer, error) {
	r.t.Helper()
	checked, err := mapping.New(r.t.Context(), pool, r.queries)
	require.NoError(r.t, err)
	validator, err := validation.New()
	require.NoError(r.t, err)
	return writeback.New(r.t.Context(), writeback.Config{
		Pool: pool, Mapping: checked, Statements: r.queries.WriteBack, BuiltIn: r.builtIn, Validate: validator.Product,
	})
}

func (r *rig) writer() *writeback.Writer {
	r.t.Helper()
	w, err := r.open(r.pool)
	require.NoError(r.t, err)
	return w
}

// read returns a product as the mapping reads it.
func (r *rig) read(id string) *catalogv1.Product {
	r.t.Helper()
	checked, err := mapping.New(r.t.Context(), r.pool, r.queries)
	require.NoError(r.t, err)
	states, err := checked.Read(r.t.Context(), []string{id})
	require.NoError(r.t, err)
	return states.States[id].Product
}

// command returns a command to write some fields of a product back, based on the tables' current values.
func (r *rig) command(id string, edit func(*catalogv1.Product), fields ...string) writeback.Command {
	r.t.Helper()
	known := r.read(id)
	require.NotNil(r.t, known)
	wanted := proto.CloneOf(known)
	edit(wanted)
	return writeback.Command{ProductID: id, Base: known, Desired: wanted, Fields: fields}
}

func (r *rig) write(w *writeback.Writer, command writeback.Command) writeback.Result {
	r.t.Helper()
	result, err := w.Write(r.t.Context(), command)
	require.NoError(r.t, err)
	return result
}

// mustFail runs a command that must fail, and returns why it fails.
func (r *rig) mustFail(w *writeback.Writer, command writeback.Command) *writeback.Failure {
	r.t.Helper()
	before := r.read(command.ProductID)
	_, err := w.Write(r.t.Context(), command)
	var failure *writeback.Failure
	require.ErrorAs(r.t, err, &failure)
	require.Contains(r.t, failure.Message, command.ProductID)
	require.True(r.t, proto.Equal(before, r.read(command.ProductID)), "nothing is written")
	return failure
}

// beginTx starts a transaction of another session.
func (r *rig) beginTx() pgx.Tx {
	r.t.Helper()
	conn, err := pgx.Connect(r.t.Context(), r.url)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(r.t.Context())) })
	tx, err := conn.Begin(r.t.Context())
	require.NoError(r.t, err)
	return tx
}

func price(p *catalogv1.Product, id string) *catalogv1.Price {
	for _, price := range p.GetPrices() {
		if price.GetId() == id {
			return price
		}
	}
	return nil
}
