package writeback_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/writeback"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

// newPlans makes a table whose name is computed if it is not given, and whose changes are counted.
func newPlans(t *testing.T, statements config.WriteBack) *rig {
	t.Helper()
	r := &rig{t: t, url: localtest.Postgres(t)}
	r.pool = localtest.Pool(t, r.url)
	r.exec(`CREATE TABLE plan (id text PRIMARY KEY, code text, display_name text, live boolean, blurb text, tags jsonb, cents int, label text)`)
	r.exec(`INSERT INTO plan VALUES ('pro', 'Pro', NULL, true, NULL, '{"size": "L"}', 100, NULL)`)
	r.queries = &config.Mapping{
		Products: `SELECT id, coalesce(display_name, code) AS name, live AS active, coalesce(blurb, 'Plan ' || code) AS description, tags AS metadata FROM plan`,
		Prices: `SELECT id || '-eur' AS id, id AS product, 'eur' AS currency, cents AS unit_amount, coalesce(label, code) AS nickname,
			jsonb_build_object('code', code) AS metadata FROM plan`,
		WriteBack: statements,
	}
	return r
}

const stored = `SELECT concat_ws(' ', coalesce(display_name, '-'), live, coalesce(blurb, '-'), tags->>'size', cents, coalesce(label, '-')) FROM plan`

func TestWrite_WritesOnlyChangedColumns(t *testing.T) {
	statements := map[string]config.WriteBack{
		"one statement": {
			Product: `UPDATE plan SET display_name = @name, live = @active, blurb = @description, tags = @metadata WHERE id = @id`,
			Price:   `UPDATE plan SET cents = @unit_amount, label = @nickname WHERE id || '-eur' = @id`,
		},
		"@changed": {
			Product: `UPDATE plan SET display_name = CASE WHEN 'name' = ANY(@changed) THEN @name ELSE display_name END,
				live = CASE WHEN 'active' = ANY(@changed) THEN @active ELSE live END,
				blurb = CASE WHEN 'description' = ANY(@changed) THEN @description ELSE blurb END,
				tags = CASE WHEN 'metadata.size' = ANY(@changed) THEN @metadata ELSE tags END WHERE id = @id`,
			Price: `UPDATE plan SET cents = CASE WHEN 'unit_amount' = ANY(@changed) THEN @unit_amount ELSE cents END,
				label = CASE WHEN 'nickname' = ANY(@changed) THEN @nickname ELSE label END WHERE id || '-eur' = @id`,
		},
		"by column": {
			ProductFields: map[string]string{
				"name":        `UPDATE plan SET display_name = @name WHERE id = @id`,
				"active":      `UPDATE plan SET live = @active WHERE id = @id`,
				"description": `UPDATE plan SET blurb = @description WHERE id = @id`,
				"metadata":    `UPDATE plan SET tags = @metadata WHERE id = @id`,
			},
			PriceFields: map[string]string{
				"unit_amount": `UPDATE plan SET cents = @unit_amount WHERE id || '-eur' = @id`,
				"nickname":    `UPDATE plan SET label = @nickname WHERE id || '-eur' = @id`,
			},
		},
	}
	for name, s := range statements {
		t.Run(name, func(t *testing.T) {
			r := newPlans(t, s)
			w := r.writer()
			for _, step := range []struct {
				edit   func(*catalogv1.Product)
				fields []string
				want   string
			}{
				{func(p *catalogv1.Product) { p.Active = new(false) }, []string{"active"}, "- f - L 100 -"},
				{func(p *catalogv1.Product) { p.Metadata["size"] = "M" }, []string{"metadata.size"}, "- f - M 100 -"},
				{
					func(p *catalogv1.Product) { price(p, "pro-eur").UnitAmount = "150" },
					[]string{"prices.pro-eur.unit_amount"},
					"- f - M 150 -",
				},
				{
					func(p *catalogv1.Product) { p.Name, p.Description = "Pro!", "For all" },
					[]string{"name", "description"},
					"Pro! f For all M 150 -",
				},
				{
					func(p *catalogv1.Product) { price(p, "pro-eur").Nickname = "List" },
					[]string{"prices.pro-eur.nickname"},
					"Pro! f For all M 150 List",
				},
			} {
				require.Equal(t, writeback.Written, r.write(w, r.command("pro", step.edit, step.fields...)))
				require.Equal(t, step.want, r.value(stored), "%v", step.fields)
			}
		})
	}
}

func TestNew_NamesMissingOrWrongColumnStatement(t *testing.T) {
	r := newPlans(t,
		config.WriteBack{
			ProductFields: map[string]string{"name": `UPDATE plan SET display_name = @name WHERE id = @id`},
		})
	failure := r.mustFail(r.writer(), r.command("pro", func(p *catalogv1.Product) { p.Active = new(false) }, "active"))
	require.Equal(t, "active", failure.Field)
	require.Contains(t, failure.Message,
		"set catalog.write_back.product.active to the statement that changes your tables")

	for want, fields := range map[string]map[string]string{
		"catalog.write_back.product.title: the mapping's products query does not return title": {
			"title": `UPDATE plan SET display_name = @name WHERE id = @id`,
		},
		"catalog.write_back.product.name does not use @id": {
			"name": `UPDATE plan SET display_name = @name`,
		},
		"catalog.write_back.product.name is refused by Postgres": {
			"name": `UPDATE plan SET display = @name WHERE id = @id`,
		},
	} {
		r.queries.WriteBack.ProductFields = fields
		_, err := r.open(r.pool)
		require.ErrorContains(t, err, want)
	}
}
