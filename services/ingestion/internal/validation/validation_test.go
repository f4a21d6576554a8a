package validation

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
)

func validator(t testing.TB) *Validator {
	t.Helper()
	v, err := New()
	require.NoError(t, err)
	return v
}

func keys(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprintf("key%d", i)] = "v"
	}
	return m
}

func TestProduct_NamesEveryLimit(t *testing.T) {
	t.Parallel()
	v := validator(t)
	for name, c := range map[string]struct {
		change func(*catalogv1.Product)
		want   []string
	}{
		"fine":     {func(*catalogv1.Product) {}, nil},
		"id empty": {func(p *catalogv1.Product) { p.Id = "" }, []string{"id: must not be empty"}},
		"id with space": {
			func(p *catalogv1.Product) { p.Id = "a b" },
			[]string{`id: may hold only letters, digits, _ and -, not "a b"`},
		},
		"id of 256": {
			func(p *catalogv1.Product) { p.Id = strings.Repeat("x", 256) },
			[]string{"id: must have at most 255 characters, not 256"},
		},
		"name empty":   {func(p *catalogv1.Product) { p.Name = "" }, []string{"name: must not be empty"}},
		"name of 5000": {func(p *catalogv1.Product) { p.Name = strings.Repeat("ß", 5000) }, nil},
		"name of 5001": {
			func(p *catalogv1.Product) { p.Name = strings.Repeat("ß", 5001) },
			[]string{"name: must have at most 5000 characters, not 5001"},
		},
		"metadata of 50": {func(p *catalogv1.Product) { p.Metadata = keys(50) }, nil},
		"metadata of 51": {
			func(p *catalogv1.Product) { p.Metadata = keys(51) },
			[]string{"metadata: must have at most 50 keys, not 51"},
		},
		"empty value": {
			func(p *catalogv1.Product) { p.Metadata = map[string]string{"a.b": ""} },
			[]string{`metadata["a.b"]: must not be empty`},
		},
		"images of 9": {
			func(p *catalogv1.Product) { p.Images = make9() },
			[]string{"images: must have at most 8 items, not 9"},
		},
		"image": {
			func(p *catalogv1.Product) { p.Images = []string{"x y"} },
			[]string{`images[0]: must be a URL, not "x y"`},
		},
		"unit_label of 13": {
			func(p *catalogv1.Product) { p.UnitLabel = strings.Repeat("u", 13) },
			[]string{"unit_label: must have at most 12 characters, not 13"},
		},
		"statement_descriptor": {
			func(p *catalogv1.Product) { p.StatementDescriptor = "<123>" },
			[]string{
				`statement_descriptor: must not hold < > \ " or ', not "<123>"`,
				"statement_descriptor: must contain at least one Latin letter",
			},
		},
		"both key and value": {
			func(p *catalogv1.Product) {
				p.Metadata = map[string]string{strings.Repeat("k", 41): strings.Repeat("v", 501)}
			},
			[]string{
				`metadata["` + strings.Repeat("k", 41) + `"]: the key must have at most 40 characters, not 41`,
				`metadata["` + strings.Repeat("k", 41) + `"]: must have at most 500 characters, not 501`,
			},
		},
		"key with bracket": {
			func(p *catalogv1.Product) { p.Metadata = map[string]string{"a[b": "v"} },
			[]string{`metadata["a[b"]: the key must not hold [ or ], not "a[b"`},
		},
		"default_price": {
			func(p *catalogv1.Product) { p.DefaultPrice = "gone" },
			[]string{"default_price: must be the id of one of the product's active prices, not gone"},
		},
		"package_dimensions": {
			func(p *catalogv1.Product) {
				p.PackageDimensions = &catalogv1.PackageDimensions{
					Height: "1.234",
					Length: "1",
					Weight: "1",
					Width:  "1",
				}
			},
			[]string{`package_dimensions.height: must be a number of 0 or more with at most 9 digits and 2 decimals, not "1.234"`},
		},
		"marketing_features": {
			func(p *catalogv1.Product) {
				p.MarketingFeatures = []*catalogv1.MarketingFeature{{Name: "a"}, {Name: strings.Repeat("b", 81)}}
			},
			[]string{"marketing_features[1].name: must have at most 80 characters, not 81"},
		},

		"price metadata of 50": {
			func(p *catalogv1.Product) { p.Prices[0].Metadata = keys(50) },
			[]string{`prices["mug-eur"].metadata: must have at most 49 keys, not 50`},
		},
		"currency upper case": {
			func(p *catalogv1.Product) { p.Prices[0].Currency = "EUR" },
			[]string{`prices["mug-eur"].currency: must be a currency code of 3 to 8 letters in lower case, such as eur, not "EUR"`},
		},
		"currency of no form": {
			func(p *catalogv1.Product) { p.Prices[0].Currency = "e€" },
			[]string{`prices["mug-eur"].currency: must be a currency code of 3 to 8 letters in lower case, such as eur, not "e€"`},
		},
		"amount negative": {
			func(p *catalogv1.Product) { p.Prices[0].UnitAmount = "-1" },
			[]string{`prices["mug-eur"].unit_amount: must be a whole number of 0 or more with at most 12 digits, not "-1"`},
		},
		"amount of 13 digits": {
			func(p *catalogv1.Product) { p.Prices[0].UnitAmount = "1000000000000" },
			[]string{`prices["mug-eur"].unit_amount: must be a whole number of 0 or more with at most 12 digits, not "1000000000000"`},
		},
		"amount of 13 decimals": {
			func(p *catalogv1.Product) { p.Prices[1].UnitAmountDecimal = "0.0000000000001" },
			[]string{`prices["mug-usd"].unit_amount_decimal: must be a number of 0 or more with at most 12 digits and 12 decimals, not "0.0000000000001"`},
		},
		"two amounts": {
			func(p *catalogv1.Product) { p.Prices[0].UnitAmountDecimal = "1" },
			[]string{`prices["mug-eur"].unit_amount: exactly one of unit_amount, unit_amount_decimal, custom_unit_amount and tiers must be given`},
		},
		"interval": {
			func(p *catalogv1.Product) { p.Prices[1].Recurring.Interval = "decade" },
			[]string{`prices["mug-usd"].recurring.interval: must be day or week or month or year, not "decade"`},
		},
		"interval_count": {
			func(p *catalogv1.Product) { p.Prices[1].Recurring.IntervalCount = 37 },
			[]string{`prices["mug-usd"].recurring.interval_count: must be at most 36 for interval month: Stripe allows at most three years`},
		},
		"tiers_mode": {func(p *catalogv1.Product) { p.Prices[0].TiersMode = "steps" }, []string{
			`prices["mug-eur"].tiers_mode: must be graduated or volume, not "steps"`,
			`prices["mug-eur"].tiers_mode: must be empty without tiers`,
		}},
		"currency option unknown": {
			func(p *catalogv1.Product) {
				p.Prices[0].CurrencyOptions = map[string]*catalogv1.CurrencyOption{"USD": {UnitAmount: "1.5"}}
			},
			[]string{
				`prices["mug-eur"].currency_options.USD: must be a currency code of 3 to 8 letters in lower case, such as eur, not "USD"`,
				`prices["mug-eur"].currency_options.USD.unit_amount: must be a whole number of 0 or more with at most 12 digits, not "1.5"`,
			},
		},
		"ids by number": {
			func(p *catalogv1.Product) {
				for i := range 9 {
					p.Prices = append(p.Prices, &catalogv1.Price{
						Id:         fmt.Sprint("p", i+4),
						Currency:   "eur",
						UnitAmount: "1",
					})
				}
				p.Prices[8].Currency, p.Prices[7].Currency, p.Prices[10].Nickname = "AAA", "BBB",
					strings.Repeat("n", 5001)
			},
			[]string{
				`prices["p9"].currency: must be a currency code of 3 to 8 letters in lower case, such as eur, not "BBB"`,
				`prices["p10"].currency: must be a currency code of 3 to 8 letters in lower case, such as eur, not "AAA"`,
				`prices["p12"].nickname: must have at most 5000 characters, not 5001`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := plain()
			c.change(p)
			var got []string
			for _, violation := range v.Product(p) {
				got = append(got, violation.String())
			}
			require.Equal(t, c.want, got)
		})
	}
}

func make9() []string {
	images := make([]string, 9)
	for i := range images {
		images[i] = fmt.Sprintf("https://example.com/%d.png", i)
	}
	return images
}

// The checks run concurrently, as a Validator allows.
func TestProduct_AcceptsValidProducts(t *testing.T) {
	t.Parallel()
	v := validator(t)
	rapid.Check(t, func(t *rapid.T) {
		p := catalogtest.Product("pro").Draw(t, "product")
		before := proto.CloneOf(p)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if violations := v.Product(p); len(violations) > 0 {
					t.Errorf("%v", violations)
				}
			})
		}
		wg.Wait()
		require.True(t, proto.Equal(before, p))
	})
}

func TestProduct_DescribesEveryPattern(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	rules := func(s *validate.StringRules) {
		if s != nil && s.HasPattern() {
			seen[s.GetPattern()] = true
			require.Contains(t, patterns, s.GetPattern())
		}
	}
	messages := catalogv1.File_driftless_catalog_v1_product_proto.Messages()
	for i := range messages.Len() {
		fields := messages.Get(i).Fields()
		for j := range fields.Len() {
			r, ok := proto.GetExtension(fields.Get(j).Options(), validate.E_Field).(*validate.FieldRules)
			if !ok {
				continue
			}
			for _, s := range []*validate.StringRules{
				r.GetString(), r.GetRepeated().GetItems().GetString(), r.GetMap().GetKeys().GetString(),
				r.GetMap().GetValues().GetString(),
			} {
				rules(s)
			}
		}
	}
	require.Len(t, seen, len(patterns), "no text without a pattern")
}

// A currency's pattern has no text of its own, so catalog.Validate must refuse everything that the pattern refuses.
func TestProduct_RefusesCurrenciesThatBreakPattern(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		code := rapid.String().Draw(t, "code")
		refused := catalog.Validate(
			&catalogv1.Product{Prices: []*catalogv1.Price{{Id: "p", Currency: code, UnitAmount: "1"}}})
		if len(refused) == 0 {
			require.Regexp(t, "^[a-z]{3,8}$", code)
		}
	})
}
