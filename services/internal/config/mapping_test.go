package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/config"
)

func TestMapping_WritesBack(t *testing.T) {
	m := &config.Mapping{WriteBack: config.WriteBack{
		Product: `UPDATE items SET title = @name, tags = @metadata WHERE sku = @id`,
	}}
	require.NoError(t, m.CheckWriteBack("name"))
	require.NoError(t, m.CheckWriteBack("metadata.color"))
	require.ErrorContains(t, m.CheckWriteBack("description"), "catalog.write_back.product does not use @description")
	require.ErrorContains(t, m.CheckWriteBack("prices.nickname"), "set catalog.write_back.price")
	require.ErrorContains(t, m.CheckImport(), "set catalog.write_back.import_product")
	m.WriteBack.ImportProduct = `INSERT INTO items VALUES (@id)`
	require.ErrorContains(t, m.CheckImport(), "set catalog.write_back.import_price")
	m.WriteBack.ImportPrice, m.WriteBack.Price = `INSERT INTO tariffs VALUES (@id, @product)`,
		`UPDATE tariffs SET label = @nickname WHERE code = @id`
	require.NoError(t, m.CheckImport())
	require.NoError(t, m.CheckWriteBack("prices.nickname"))
	require.ErrorContains(t, m.CheckWriteBack("prices.metadata.size"), "@metadata")

	var builtIn *config.Mapping
	require.NoError(t, builtIn.CheckWriteBack("prices.metadata.size"), "the built-in tables can")
	require.NoError(t, builtIn.CheckImport())
}

func TestWriteBack_StatementsByColumn(t *testing.T) {
	parse := func(writeBack string) (*config.Mapping, error) {
		path := filepath.Join(t.TempDir(), "driftless.yaml")
		require.NoError(t, os.WriteFile(path, []byte(`
catalog:
  products: SELECT id, name FROM items
  prices: SELECT id, product, currency, unit_amount FROM tariffs
  watch: [{table: items, product_id: id}]
  write_back:
`+writeBack), 0o600))
		var settings struct{ config.File }
		return config.Parse(&settings, "test", "", "v0", []string{"--config", path})
	}
	m, err := parse(`    product:
      name: UPDATE items SET name = @name WHERE id = @id
      active: UPDATE items SET live = true WHERE id = @id
    price: UPDATE tariffs SET label = @nickname WHERE id = @id
    import_product: INSERT INTO items VALUES (@id)
`)
	require.NoError(t, err)
	require.Equal(t,
		map[string]string{
			"name":   "UPDATE items SET name = @name WHERE id = @id",
			"active": "UPDATE items SET live = true WHERE id = @id",
		}, m.WriteBack.ProductFields)
	require.Equal(t, config.WriteBack{
		ProductFields: m.WriteBack.ProductFields, Price: "UPDATE tariffs SET label = @nickname WHERE id = @id",
		ImportProduct: "INSERT INTO items VALUES (@id)",
	}, m.WriteBack)
	require.NoError(t, m.CheckWriteBack("name"))
	require.NoError(t, m.CheckWriteBack("prices.nickname"))
	require.ErrorContains(t, m.CheckWriteBack("description"),
		"set catalog.write_back.product.description to the statement")
	require.ErrorContains(t, m.CheckWriteBack("active"), "catalog.write_back.product.active does not use @active")

	for wrong, want := range map[string]string{
		"    prodcut: UPDATE items SET name = @name\n":         "prodcut",
		"    product: [UPDATE items SET name = @name]\n":       "write_back.product must be a statement, or statements by the column",
		"    price: {nickname: }\n":                            "write_back.price.nickname must be a statement",
		"    import_product: {id: INSERT INTO items VALUES}\n": "7:21: catalog: cannot unmarshal",
	} {
		_, err := parse(wrong)
		require.ErrorContains(t, err, want, wrong)
	}
}
