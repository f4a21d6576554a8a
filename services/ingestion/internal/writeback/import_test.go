package writeback_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/writeback"
)

func imported() *catalogv1.Product {
	return &catalogv1.Product{
		Id: "prod_abc", Active: new(true), Name: "Plate", Description: "Flat",
		Images: []string{"https://example.com/p.png"}, UnitLabel: "plate",
		Metadata: map[string]string{"size": "L"}, Prices: []*catalogv1.Price{
			{Id: "plate-eur", Currency: "eur", UnitAmount: "900", Nickname: "Euro"},
			{Id: "plate-fine", Currency: "eur", UnitAmountDecimal: "0.5"},
		},
	}
}

func TestWrite_ImportsProduct(t *testing.T) {
	r := newShop(t)
	w := r.writer()
	command := writeback.Command{ProductID: "prod_abc", Desired: imported(), Import: true}
	require.Equal(t, writeback.Written, r.write(w, command))
	p := r.read("prod_abc")
	require.Equal(t, "Plate Flat L", p.GetName()+" "+p.GetDescription()+" "+p.GetMetadata()["size"])
	require.Len(t, p.GetPrices(), 2)
	require.Equal(t, "0.5", price(p, "plate-fine").GetUnitAmountDecimal())
	require.Equal(t, "Euro", price(p, "plate-eur").GetNickname())
	require.Equal(t, writeback.Done, r.write(w, command), "the same command again")
}

func TestWrite_ImportReplacesNothing(t *testing.T) {
	command := writeback.Command{ProductID: "prod_abc", Desired: imported(), Import: true}
	t.Run("there before", func(t *testing.T) {
		r := newShop(t)
		r.exec(`INSERT INTO shop.items (sku, title) VALUES ('prod_abc', 'Ours')`)
		require.Equal(t, writeback.Superseded, r.write(r.writer(), command))
		require.Equal(t, "Ours", r.read("prod_abc").GetName())
	})
	t.Run("inserted meanwhile", func(t *testing.T) {
		r := newShop(t)
		w, tx := r.writer(), r.beginTx()
		_, err := tx.Exec(t.Context(), `INSERT INTO shop.items (sku, title) VALUES ('prod_abc', 'Ours')`)
		require.NoError(t, err)
		var result writeback.Result
		var failed error
		var wg sync.WaitGroup
		wg.Go(func() { result, failed = w.Write(t.Context(), command) })
		waitForLock(t, r.pool)
		require.NoError(t, tx.Commit(t.Context()))
		wg.Wait()
		require.NoError(t, failed)
		require.Equal(t, writeback.Superseded, result)
		require.Equal(t, "Ours", r.read("prod_abc").GetName())
	})
	t.Run("a row that the mapping does not show", func(t *testing.T) {
		r := newShop(t)
		r.queries.Products += ` WHERE note IS NULL`
		r.exec(`INSERT INTO shop.items (sku, title, note) VALUES ('prod_abc', 'Ours', 'hidden')`)
		require.Contains(t, r.mustFail(r.writer(), command).Message, "duplicate key")
		r.queries.WriteBack.ImportProduct += ` ON CONFLICT (sku) DO NOTHING`
		require.Contains(t, r.mustFail(r.writer(), command).Message, "changed 0 rows")
	})
	t.Run("a price of another product", func(t *testing.T) {
		r := newShop(t)
		taken := writeback.Command{ProductID: "prod_abc", Desired: imported(), Import: true}
		taken.Desired.Prices[0].Id = "mug-eur"
		require.Contains(t, r.mustFail(r.writer(), taken).Message,
			"catalog.write_back.import_price is refused by Postgres: duplicate key")
	})
	t.Run("no statement", func(t *testing.T) {
		r := newShop(t)
		r.queries.WriteBack.ImportProduct = ""
		require.Contains(t, r.mustFail(r.writer(), command).Message, "set catalog.write_back.import_product")
	})
}
