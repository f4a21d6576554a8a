package writeback_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheck_FindsTypesThatCannotHoldStripesIDs(t *testing.T) {
	r := newShop(t)
	found, err := r.writer().Check(t.Context())
	require.NoError(t, err)
	require.Empty(t, found)

	r.exec(`CREATE EXTENSION citext; CREATE DOMAIN shop.code AS citext; CREATE DOMAIN shop.number AS int;
		CREATE TABLE shop.things (no shop.number, ref uuid, code shop.code, kind shop.status)`)
	r.queries.WriteBack.ImportProduct = `INSERT INTO shop.things (no) VALUES (@id)`
	r.queries.WriteBack.ImportPrice = `INSERT INTO shop.things (ref, code) VALUES (@product, @id)`
	found, err = r.writer().Check(t.Context())
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.Contains(t, found[0].Message, "catalog.write_back.import_product takes @id as ")
	require.Contains(t, found[0].Message, "(like prod_NffrFeUfNV2Hib): no product of Stripe's can be imported")
	require.Contains(t, found[1].Message,
		"catalog.write_back.import_price takes @product as uuid, which cannot hold Stripe's ids (like prod_NffrFeUfNV2Hib): "+
			"no price of Stripe's can be imported")
}
