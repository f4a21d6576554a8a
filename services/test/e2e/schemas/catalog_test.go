package schemas

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func mug() Catalog {
	c := Catalog{}
	p := c.product("mug", "Mug")
	p.set("metadata.color", "blue")
	p.price("mug-eur", "eur", "1400")
	return c
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	require.Empty(t, Differences(mug(), mug()))
	for name, c := range map[string]struct {
		change func(seen Catalog)
		want   string
	}{
		"a field differs": {
			change: func(c Catalog) { c["mug"]["name"] = "Cup" },
			want:   `product mug: name is "Cup", want "Mug"`,
		},
		"a field is missing": {
			change: func(c Catalog) { delete(c["mug"], "metadata.color") },
			want:   `product mug: metadata.color is "", want "blue"`,
		},
		"a field too many": {
			change: func(c Catalog) { c["mug"]["url"] = "x" },
			want:   `product mug: url is "x", want ""`,
		},
		"an amount differs": {
			change: func(c Catalog) { c["mug"]["prices.mug-eur.unit_amount"] = "1" },
			want:   `product mug: prices.mug-eur.unit_amount is "1", want "1400"`,
		},
		"the product is missing": {
			change: func(c Catalog) { delete(c, "mug") },
			want:   "product mug is not in Stripe",
		},
		"a product that left sells": {
			change: func(c Catalog) { c.product("cup", "Cup") },
			want:   `product cup is not in the catalog: active is "true"`,
		},
		"a price that left is there": {
			change: func(c Catalog) { c["cup"] = Fields{"active": "false", "prices.x.active": "true"} },
			want:   `product cup is not in the catalog: prices.x.active is "true"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := mug()
			c.change(seen)
			require.Equal(t, []string{c.want}, Differences(mug(), seen))
		})
	}
	seen := mug()
	seen["cup"] = Fields{"active": "false", "name": "Cup"}
	require.Empty(t, Differences(mug(), seen), "an archived product may stay")
}

func TestMinor_RoundsHalfAwayFromZero(t *testing.T) {
	t.Parallel()
	rows := &tables{}
	for _, c := range []struct{ amount, currency, want string }{
		{"14", "eur", "1400"},
		{"19.965", "usd", "1997"},
		{"0.004", "usd", "0"},
		{"1499.5", "jpy", "1500"},
		{"3.1254", "kwd", "3130"},
	} {
		require.Equal(t, c.want, rows.minor(c.amount, c.currency), "%s %s", c.amount, c.currency)
	}
	require.Equal(t, "0.35", rows.cents("0.0035"))
	require.Equal(t, "1200", rows.cents("12"))
	require.NoError(t, rows.err)
}

func TestTables_KeepTheFirstError(t *testing.T) {
	t.Parallel()
	rows := &tables{}
	rows.minor("12,50", "eur")
	rows.cents("")
	require.EqualError(t, rows.err, `"12,50" is no number`)
	require.Empty(t, rows.all("product"))

	rows = &tables{}
	require.True(t, rows.inForce(row{"status": "active", "starts_at": "2020-01-01T00:00:00+00:00"}))
	require.NoError(t, rows.err)
	rows.inForce(row{"status": "active", "starts_at": "soon"})
	require.ErrorContains(t, rows.err, `"soon" is no time`)
}

func TestFlatten(t *testing.T) {
	t.Parallel()
	f := Fields{}
	flatten(f, "", map[string]any{
		"id":     "x",
		"empty":  nil,
		"list":   []any{"a", map[string]any{"name": "b"}},
		"nested": map[string]any{"flag": true, "none": nil},
	}, "id")
	require.Equal(t, Fields{"list.0": "a", "list.1.name": "b", "nested.flag": "true"}, f)
}
