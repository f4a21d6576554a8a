package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/config"
)

func TestMappingSaysWhatCanBeWrittenBack(t *testing.T) {
	m := &config.Mapping{WriteBack: config.WriteBack{
		Product: `UPDATE items SET title = @name, tags = @metadata WHERE sku = @id`,
	}}
	require.NoError(t, m.WritesBack("name"))
	require.NoError(t, m.WritesBack("metadata.color"))
	require.ErrorContains(t, m.WritesBack("description"), "catalog.write_back.product does not use @description")
	require.ErrorContains(t, m.WritesBack("prices.nickname"), "set catalog.write_back.price")
	require.ErrorContains(t, m.Imports(), "set catalog.write_back.import_product")
	m.WriteBack.ImportProduct = `INSERT INTO items VALUES (@id)`
	require.ErrorContains(t, m.Imports(), "set catalog.write_back.import_price")
	m.WriteBack.ImportPrice, m.WriteBack.Price = `INSERT INTO tariffs VALUES (@id, @product)`, `UPDATE tariffs SET label = @nickname WHERE code = @id`
	require.NoError(t, m.Imports())
	require.NoError(t, m.WritesBack("prices.nickname"))
	require.ErrorContains(t, m.WritesBack("prices.metadata.size"), "@metadata")

	var builtIn *config.Mapping
	require.NoError(t, builtIn.WritesBack("prices.metadata.size"), "the built-in tables can")
	require.NoError(t, builtIn.Imports())
}
