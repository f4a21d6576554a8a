package ingestion_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

func TestCapture_RemovesFormerSpellingOfID(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.exec(`CREATE EXTENSION citext`)
	r.exec(`ALTER TABLE items ALTER COLUMN id TYPE citext`)
	r.exec(`ALTER TABLE tariffs ALTER COLUMN item TYPE citext`)
	r.exec(`INSERT INTO items VALUES ('Mug', 'Mug')`)
	r.exec(`INSERT INTO tariffs VALUES ('mug-eur', 'Mug')`)
	r.start()
	r.waitCaptured()
	require.Len(t, r.latest("Mug").GetProduct().GetPrices(), 1)

	r.exec(`UPDATE items SET id = 'MUG' WHERE id = 'mug'`)
	r.waitCaptured()
	require.Len(t, r.latest("MUG").GetProduct().GetPrices(), 1)
	removal := r.latest("Mug")
	require.Equal(t, catalogv1.Operation_OPERATION_DELETE, removal.GetOperation())
	require.Equal(t, catalogv1.Source_SOURCE_WAL, removal.GetSource())

	// A spelling that CATALOG never had is no product.
	r.exec(`UPDATE tariffs SET item = 'mug'`)
	r.waitCaptured()
	require.Nil(t, r.latest("mug"))
	require.Equal(t, catalogv1.Operation_OPERATION_UPSERT, r.latest("MUG").GetOperation())
}
