package schemas_test

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/introspect"
	"github.com/driftless-sync/driftless/services/internal/proposal"
	"github.com/driftless-sync/driftless/services/test/e2e/schemas"
)

// proposed is what is expected of the proposal for a schema.
type proposed struct {
	schema string
	// asks are the kinds of questions without answers, and left those that the answers leave open.
	asks, left []string
	answers    proposal.Answers
	// simplify changes the rows so that what the questions are about makes no difference.
	simplify string
	// prefix is that of the wanted ids, which the proposal does not have.
	prefix string
	// prices is the suffix of the wanted prices that the proposal returns.
	prices string
	// anyInterval reports whether a question is about intervals.
	anyInterval bool
}

var proposals = []proposed{
	{
		schema:  "northwind",
		asks:    []string{"currency"},
		answers: proposal.Answers{Currency: "usd"},
	},
	{
		schema:  "chinook",
		asks:    []string{"products", "currency"},
		answers: proposal.Answers{ProductsTable: "album", PricesTable: "track", Currency: "USD"},
		prefix:  "album-",
	},
	{
		schema:   "medusa",
		asks:     []string{"product_per", "fractions", "lists"},
		left:     []string{"lists"},
		answers:  proposal.Answers{ProductsTable: "product"},
		simplify: `DELETE FROM price WHERE price_list_id IS NOT NULL; UPDATE price SET amount = round(amount, 2)`,
	},
	{
		schema:  "saleor",
		asks:    []string{"product_per", "publication"},
		left:    []string{"publication"},
		answers: proposal.Answers{ProductsTable: "product_productvariant"},
		simplify: `INSERT INTO product_productchannellisting (product_id, channel_id, is_published)
			SELECT p.id, c.id, true FROM product_product p, channel_channel c
			ON CONFLICT (product_id, channel_id) DO UPDATE SET is_published = true;
			UPDATE product_productvariantchannellisting l SET price_amount = round(price_amount)
			FROM channel_channel c WHERE c.id = l.channel_id AND c.currency_code = 'JPY'`,
	},
	{
		schema: "vendure",
		asks:   []string{"product_per", "language", "unit"},
		answers: proposal.Answers{
			ProductsTable: "product_variant",
			Language:      "en",
			AmountUnit:    proposal.UnitMinor,
		},
		simplify: `DELETE FROM product_translation WHERE "languageCode" = 'de';
			DELETE FROM product_variant_translation WHERE "languageCode" = 'de'`,
	},
	{
		schema:      "lago",
		asks:        []string{"interval", "other_prices", "tenant"},
		left:        []string{"interval", "other_prices", "tenant"},
		prices:      "-base",
		anyInterval: true,
	},
	{
		schema:  "woocommerce",
		asks:    []string{"reference", "currency", "unit", "other_prices"},
		left:    []string{"reference"},
		answers: proposal.Answers{Currency: "eur", AmountUnit: proposal.UnitMajor},
		simplify: `DELETE FROM wp_postmeta m USING wp_posts p WHERE m.post_id = p."ID" AND p.post_type <> 'product';
			DELETE FROM wp_posts WHERE post_type = 'product_variation'`,
	},
	{
		schema: "prisma",
	},
}

// The proposal gives the products and prices that the schema's own mapping gives, or asks.
func TestProposal_IsRightOrAsks(t *testing.T) {
	t.Parallel()
	for _, want := range proposals {
		t.Run(want.schema, func(t *testing.T) {
			t.Parallel()
			s := schemaNamed(t, want.schema)
			pool := create(t, s)
			require.ElementsMatch(t, want.asks, asked(propose(t, pool, proposal.Answers{})), "without answers")
			if want.simplify != "" {
				_, err := pool.Exec(t.Context(), want.simplify)
				require.NoError(t, err)
			}
			role := "init_" + want.schema
			want.answers.Role = role
			p := propose(t, pool, want.answers)
			require.ElementsMatch(t, want.left, asked(p), "with answers")
			m := parse(t, p.YAML)
			require.Equal(t, want.catalog(t, s, pool), want.read(t, pool, m))
			requireConcerned(t, pool, m)

			_, err := pool.Exec(t.Context(), p.SQL+"\nALTER ROLE "+role+" PASSWORD 'secret';")
			require.NoError(t, err, p.SQL)
			t.Cleanup(func() {
				_, err := pool.Exec(context.WithoutCancel(t.Context()), "DROP OWNED BY "+role+"; DROP ROLE "+role)
				require.NoError(t, err)
			})
			found, err := ingestion.Check(t.Context(), ingestion.Config{
				Account:     "default",
				DatabaseURL: withUser(t, pool.Config().ConnString(), role),
				Mapping:     m,
				Slot:        role,
				Publication: "driftless",
			})
			require.NoError(t, err)
			require.Empty(t, found, "what ingestion finds with the proposed role")
		})
	}
}

func schemaNamed(t *testing.T, name string) schemas.Schema {
	t.Helper()
	all := schemas.All()
	i := slices.IndexFunc(all, func(s schemas.Schema) bool { return s.Name == name })
	require.GreaterOrEqual(t, i, 0)
	return all[i]
}

func withUser(t *testing.T, database, role string) string {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	u.User = url.UserPassword(role, "secret")
	return u.String()
}

func propose(t *testing.T, pool *pgxpool.Pool, answers proposal.Answers) *proposal.Proposal {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	db, err := introspect.Read(t.Context(), conn.Conn(), introspect.Options{})
	require.NoError(t, err)
	p, err := proposal.Propose(db, answers)
	require.NoError(t, err)
	for _, q := range p.Questions {
		require.Contains(t, p.YAML, "QUESTION ("+q.Kind+")")
	}
	return p
}

func asked(p *proposal.Proposal) (kinds []string) {
	for _, q := range p.Questions {
		kinds = append(kinds, q.Kind)
	}
	return kinds
}

func parse(t *testing.T, text string) *config.Mapping {
	t.Helper()
	path := filepath.Join(t.TempDir(), "driftless.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	var settings struct {
		config.File
		config.Mesh
	}
	m, err := config.Parse(&settings, "schemas", "", "", []string{"--config", path})
	require.NoError(t, err, text)
	return m
}

// requireConcerned fails unless every watched table has rows that concern products.
func requireConcerned(t *testing.T, pool *pgxpool.Pool, m *config.Mapping) {
	t.Helper()
	products := texts(t, pool, "SELECT id::text FROM ("+m.Products+") q")
	for _, w := range m.Watch {
		ids := texts(t, pool, concerned(w))
		require.True(t, slices.ContainsFunc(ids, func(id string) bool {
			return slices.ContainsFunc(products, func(p string) bool { return strings.EqualFold(p, id) })
		}), "no row of %s concerns a product: %v", w.Table, ids[:min(len(ids), 5)])
	}
}

// shownProduct is what customers see of a product.
type shownProduct struct {
	Name   string
	Prices []string
}

// catalog returns the active products that Stripe must have, by id.
func (want proposed) catalog(t *testing.T, s schemas.Schema, pool *pgxpool.Pool) map[string]shownProduct {
	t.Helper()
	out := map[string]shownProduct{}
	for _, account := range s.Accounts {
		c, err := s.Want(t.Context(), pool, account)
		require.NoError(t, err)
		for id, fields := range c {
			if fields["active"] == "true" {
				out[strings.TrimPrefix(id, want.prefix)] = shownProduct{fields["name"], want.wantedPrices(fields)}
			}
		}
	}
	require.NotEmpty(t, out)
	return out
}

// wantedPrices returns the prices in all their currencies.
func (want proposed) wantedPrices(fields schemas.Fields) (out []string) {
	for _, path := range slices.Sorted(maps.Keys(fields)) {
		before, rest, isOption := strings.Cut(path, ".currency_options.")
		currency, ok := strings.CutSuffix(rest, ".unit_amount_decimal")
		if !isOption || !ok || !strings.HasSuffix(before, want.prices) {
			continue
		}
		out = append(out, want.price(fields[path], currency, fields[before+".recurring.interval"],
			fields[before+".recurring.interval_count"]))
	}
	slices.Sort(out)
	return out
}

func (want proposed) price(amount, currency, interval, count string) string {
	if want.anyInterval || interval == "" {
		return amount + " " + currency
	}
	return amount + " " + currency + " " + count + " " + interval
}

// read returns the active products as the mapping reads them.
func (want proposed) read(t *testing.T, pool *pgxpool.Pool, m *config.Mapping) map[string]shownProduct {
	t.Helper()
	out := map[string]shownProduct{}
	err := ingestion.ReadCatalog(t.Context(), ingestion.ReadConfig{
		DatabaseURL: pool.Config().ConnString(), Mapping: m,
	}, func(p ingestion.ReadProduct) error {
		require.Empty(t, p.Refused, p.ID)
		if p.Product.Active != nil && !p.Product.GetActive() {
			return nil
		}
		shown := shownProduct{Name: p.Product.GetName()}
		for _, price := range p.Product.GetPrices() {
			if price.Active != nil && !price.GetActive() {
				continue
			}
			interval, count := price.GetRecurring().GetInterval(), price.GetRecurring().GetIntervalCount()
			shown.Prices = append(shown.Prices, want.price(price.GetUnitAmount()+price.GetUnitAmountDecimal(),
				price.GetCurrency(), interval, fmt.Sprint(max(count, 1))))
		}
		slices.Sort(shown.Prices)
		out[p.ID] = shown
		return nil
	})
	require.NoError(t, err)
	return out
}
