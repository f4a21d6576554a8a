package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCatalog_IsSharedByAccounts(t *testing.T) {
	const file = `
accounts:
  eu:
    catalog:
      products: SELECT id, name FROM items WHERE shop = 'eu'
  us:
    catalog:
      products: SELECT id, name FROM items WHERE shop = 'us'
      watch: [{table: us.items, product_id: id}]
      write_back: {price: UPDATE us.tariffs SET label = @nickname WHERE id = @id}
  all:
catalog: # stands behind the accounts, and lacks products
  prices: SELECT id, item AS product, currency, cents AS unit_amount FROM tariffs
  watch: [{table: items, product_id: id}, {table: tariffs, product_id: item}]
  write_back:
    product: UPDATE items SET name = @name WHERE id = @id
    price: UPDATE tariffs SET label = @nickname WHERE id = @id
`
	t.Setenv("DRIFTLESS_ACCOUNT", "eu")
	_, _, err := parse(t, file)
	require.ErrorContains(t, err, "catalog: products must be a query")
	require.ErrorContains(t, err, "accounts: all", "the account that gets it")

	complete := file + "  products: SELECT id, name FROM items\n"
	_, eu, err := parse(t, complete)
	require.NoError(t, err)
	require.Equal(t, "SELECT id, name FROM items WHERE shop = 'eu'", eu.Products)
	require.Equal(t, "SELECT id, item AS product, currency, cents AS unit_amount FROM tariffs", eu.Prices)
	require.Len(t, eu.Watch, 2)

	t.Setenv("DRIFTLESS_ACCOUNT", "us")
	_, us, err := parse(t, complete)
	require.NoError(t, err)
	require.Equal(t, []WatchedTable{{Table: "us.items", ProductID: "id"}}, us.Watch, "a list is replaced as a whole")
	require.NoError(t, us.CheckWriteBack("name"))
	require.NoError(t, us.CheckWriteBack("prices.nickname"))
	require.Equal(t, "UPDATE us.tariffs SET label = @nickname WHERE id = @id", us.WriteBack.Price)

	t.Setenv("DRIFTLESS_ACCOUNT", "all")
	_, all, err := parse(t, complete)
	require.NoError(t, err)
	require.Equal(t, "SELECT id, name FROM items", all.Products)
}

func TestAliases_ReferToTheWholeFile(t *testing.T) {
	const file = `
x-shared: &prices SELECT id, item AS product, currency, cents AS unit_amount FROM tariffs
accounts:
  eu:
    stripe_rate: &rate 7
    catalog: &eu
      products: SELECT id, name FROM items WHERE shop = 'eu'
      prices: *prices
      watch: &watch
        - &items {table: items, product_id: id}
        - {<<: *items, table: tariffs, product_id: item}
  us:
    stripe_rate: *rate
    catalog:
      <<: *eu
      products: SELECT id, name FROM items WHERE shop = 'us'
      watch: *watch
`
	for account, products := range map[string]string{
		"eu": "SELECT id, name FROM items WHERE shop = 'eu'",
		"us": "SELECT id, name FROM items WHERE shop = 'us'",
	} {
		t.Setenv("DRIFTLESS_ACCOUNT", account)
		s, m, err := parse(t, file)
		require.NoError(t, err)
		require.InDelta(t, 7, s.StripeRate, 0)
		require.Equal(t, products, m.Products)
		require.Equal(t, "SELECT id, item AS product, currency, cents AS unit_amount FROM tariffs", m.Prices)
		require.Equal(t, []WatchedTable{{Table: "items", ProductID: "id"}, {Table: "tariffs", ProductID: "item"}},
			m.Watch)
	}
}

func TestAliases_Errors(t *testing.T) {
	for name, c := range map[string]struct{ yaml, want string }{
		"no anchor":       {"slot: *none\n", `:1:7: there is no anchor "none"`},
		"an anchor later": {"slot: *later\npublication: &later x\n", `there is no anchor "later" before this alias`},
		"in itself":       {"catalog: &a\n  products: *a\n", `alias "a" is inside its own anchor`},
		"not a mapping":   {"slot: &a x\ncatalog:\n  <<: *a\n", "<< takes a mapping"},
		"not a catalog":   {"catalog: everything\n", "catalog must have products, prices and watch"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := parse(t, c.yaml)
			require.ErrorContains(t, err, c.want)
		})
	}
}
