package writeback_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/writeback"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

// TestExample_Works runs what deploy/driftless.example.yaml shows, which docs/mapping.md shows too.
func TestExample_Works(t *testing.T) {
	const example = "../../../../deploy/driftless.example.yaml"
	var settings struct{ config.File }
	queries, err := config.Parse(&settings, "test", "", "v0", []string{"--config", example})
	require.NoError(t, err)
	doc, err := os.ReadFile("../../../../docs/mapping.md")
	require.NoError(t, err)
	for _, statement := range []string{
		queries.WriteBack.Product, queries.WriteBack.Price,
		queries.WriteBack.ImportProduct, queries.WriteBack.ImportPrice,
	} {
		require.Contains(t, string(doc), statement)
	}

	r := &rig{t: t, url: localtest.Postgres(t), queries: queries}
	r.pool = localtest.Pool(t, r.url)
	for statement := range strings.SplitSeq(`CREATE SCHEMA shop;
		CREATE TABLE shop.items (sku text PRIMARY KEY, title text, discontinued boolean, blurb text);
		CREATE TABLE shop.tariffs (code text PRIMARY KEY, item_sku text, currency text, cents int)`, ";") {
		r.exec(statement)
	}
	w := r.writer()
	require.Equal(t, writeback.Written,
		r.write(w, writeback.Command{ProductID: "mug", Import: true, Desired: &catalogv1.Product{
			Id: "mug", Active: new(false), Name: "Mug",
			Prices: []*catalogv1.Price{{Id: "mug-eur", Currency: "eur", UnitAmount: "1400"}},
		}}))
	require.Equal(t, writeback.Written, r.write(w, r.command("mug", func(p *catalogv1.Product) {
		p.Active, p.Description, price(p, "mug-eur").UnitAmount = new(true), "Blue", "1500"
	}, "active", "description", "prices.mug-eur.unit_amount")))
	require.Equal(t, "false Blue 1500",
		r.value(`SELECT discontinued::text || ' ' || blurb || ' ' || cents FROM shop.items JOIN shop.tariffs ON item_sku = sku`))
}
