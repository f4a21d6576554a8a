package cli

import (
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/rogpeppe/go-internal/testscript"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/config"
)

// mappedShopTables are tables of a shop that has no other columns than these.
const mappedShopTables = `CREATE TABLE shop_products (sku text PRIMARY KEY, title text NOT NULL, blurb text);
	CREATE TABLE shop_prices (id text PRIMARY KEY, sku text NOT NULL REFERENCES shop_products, cents bigint NOT NULL);
	ALTER TABLE shop_products REPLICA IDENTITY FULL;
	ALTER TABLE shop_prices REPLICA IDENTITY FULL;`

// shopMapping maps the tables of the shop. Write-back can change a title and an amount, and nothing else.
func shopMapping() *config.Mapping {
	return &config.Mapping{
		Products: `SELECT sku AS id, title AS name, blurb AS description FROM shop_products`,
		Prices:   `SELECT id, sku AS product, 'eur' AS currency, cents AS unit_amount FROM shop_prices`,
		Watch: []config.WatchedTable{
			{Table: "shop_products", ProductID: "sku"},
			{Table: "shop_prices", ProductID: "sku"},
		},
		WriteBack: config.WriteBack{
			Product: `UPDATE shop_products SET title = @name WHERE sku = @id`,
			Price:   `UPDATE shop_prices SET cents = @unit_amount WHERE id = @id`,
		},
	}
}

// noteMoment stores the latest version of a product in a variable, and the time in another: mug_1 and mug_1_at.
func noteMoment(ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 2, "moment NAME PRODUCT")
	m := stateOf(ts).running(ts)
	client, err := address{Control: m.url("reconciliation")}.control(&cli{Token: scriptToken})
	ts.Check(err)
	resp, err := client.ListProducts(m.t.Context(),
		connect.NewRequest(&controlv1.ListProductsRequest{ProductIds: args[1:]}))
	ts.Check(err)
	if len(resp.Msg.GetProducts()) != 1 {
		ts.Fatalf("there is no product %s", args[1])
	}
	ts.Setenv(args[0], fmt.Sprint(resp.Msg.GetProducts()[0].GetDesired().GetVersion()))
	ts.Setenv(args[0]+"_at", time.Now().UTC().Format(time.RFC3339Nano))
}
