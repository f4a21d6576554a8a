package proposal_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/proposal"
)

// These are tables that are not called as the tables of most shops are.
func TestPropose_UnusualNames(t *testing.T) {
	t.Parallel()
	usd := proposal.Answers{Currency: "usd"}
	const model = "models: id integer pk, code text, is_hidden boolean notnull"
	const texts = "model_translations: id integer pk, model_id integer ->models, lang text notnull =en, title text, body text"
	for name, c := range map[string]struct {
		tables  []string
		answers proposal.Answers
		asks    []string
		has     []string
	}{
		"several names of another kind": {
			[]string{"plants: id integer pk, latin_name text, common_name text, price_cents integer notnull, sold boolean"},
			usd,
			[]string{proposal.AskProducts, proposal.AskName, proposal.AskActive},
			[]string{"p.latin_name", "and not common_name", "plants.sold says it"},
		},
		"a name that is not the product's": {
			[]string{"products: id integer pk, file_name text, price_cents integer notnull"},
			usd,
			[]string{proposal.AskName},
			[]string{"Its columns with text are file_name."},
		},
		"flags of something else": {
			[]string{products + ", price_cents integer notnull, is_taxable boolean, featured boolean"},
			usd,
			nil,
			nil,
		},
		"fees are prices": {
			[]string{
				"courses: id integer pk, title text",
				"course_fees: id integer pk, course_id integer ->courses, fee decimal00 notnull" + currency,
			},
			proposal.Answers{},
			nil,
			[]string{"FROM course_fees cf", "cf.fee * CASE"},
		},
		"fees that were charged are no prices": {
			[]string{
				products + ", price decimal00 notnull" + currency,
				"fees: id integer pk, product_id integer ->products, invoice_id integer, amount decimal00 notnull" + currency,
			},
			proposal.Answers{},
			nil,
			[]string{"FROM products p"},
		},
		"prices two steps away, and more of another kind": {
			[]string{
				model, texts,
				"variants: id integer pk, model_id integer ->models, removed_on date",
				"sale_prices: id integer pk, variant_id integer ->variants, amount decimal00 notnull" + currency,
				"rental_rates: id integer pk, variant_id integer ->variants, amount_minor integer notnull" + currency,
			},
			proposal.Answers{},
			[]string{proposal.AskProducts, proposal.AskProductPer, proposal.AskOtherPrices},
			[]string{
				"FROM models m", "mt.title AS name", "nullif(mt.body, '') AS description", "v.removed_on IS NULL",
				"rental_rates may have more prices (amount_minor)",
			},
		},
		"variants have the name of their parent, whatever it is called": {
			[]string{
				model, texts,
				"variants: id integer pk, model_id integer ->models",
				"prices: id integer pk, variant_id integer ->variants, amount decimal00 notnull" + currency,
			},
			proposal.Answers{ProductsTable: "variants"},
			nil,
			[]string{"FROM variants v", "mt.title AS name", "m.is_hidden IS NOT TRUE AS active"},
		},
		"a later interval is never a one-time price": {
			[]string{"plans: id integer pk, name text, price decimal00, billing_interval text =month"},
			usd,
			nil,
			[]string{"ELSE jsonb_strip_nulls(jsonb_build_object('interval', nullif(lower(p.billing_interval::text), '')))"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := propose(t, database(c.tables...), c.answers)
			require.ElementsMatch(t, c.asks, kinds(p), p.YAML)
			for _, text := range c.has {
				require.Contains(t, flat(p.YAML+p.SQL), flat(text))
			}
		})
	}
}
