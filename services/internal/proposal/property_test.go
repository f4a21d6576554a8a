package proposal_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/driftless-sync/driftless/services/internal/proposal"
)

// Whatever tables and columns are called, the file can be read, its queries are those of the proposal, and each
// question is in it.
func TestPropose_AlwaysWritesReadableFiles(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		db := drawDatabase(rt)
		answers := proposal.Answers{
			Currency:   rapid.SampledFrom([]string{"", "eur", "JPY"}).Draw(rt, "currency"),
			AmountUnit: rapid.SampledFrom([]string{"", proposal.UnitMajor}).Draw(rt, "unit"),
			Language:   rapid.SampledFrom([]string{"", "it's"}).Draw(rt, "language"),
		}
		if rapid.Bool().Draw(rt, "names a table") {
			t := db.Tables[rapid.IntRange(0, len(db.Tables)-1).Draw(rt, "table")]
			answers.ProductsTable = t.Schema + "." + t.Name
		}
		p, err := proposal.Propose(db, answers)
		if err != nil {
			require.NotContains(rt, err.Error(), "\n")
			return
		}
		if p.Asks("query") {
			rt.Fatal("nobody asked")
		}
		p.Ask(proposal.Question{Kind: "query", Text: "two\nlines"})
		m := parse(rt, p)
		require.Equal(rt, p.Products, m.Products)
		require.Equal(rt, p.Prices, m.Prices)
		require.Len(rt, m.Watch, len(p.Watch))
		for i, w := range p.Watch {
			require.Equal(rt, w.Table, m.Watch[i].Table)
			require.Equal(rt, w.ProductID, m.Watch[i].ProductID)
			require.Equal(rt, w.Products, strings.TrimRight(m.Watch[i].Products, "\n"))
		}
		for _, q := range p.Questions {
			require.Contains(rt, p.YAML, "QUESTION ("+q.Kind+")")
		}
		if answers.Currency == "" && strings.Contains(p.Prices, "NULL::text AS currency") && p.PricesTable != "" {
			require.True(rt, p.Asks(proposal.AskCurrency))
		}
	})
}

// drawDatabase draws tables whose names are likely, strange, or both.
func drawDatabase(t *rapid.T) *proposal.Database {
	db := &proposal.Database{Name: drawName(t, "database", "shop"), Version: 150000, WALLevel: "logical"}
	count := rapid.IntRange(1, 5).Draw(t, "tables")
	for i := range count {
		table := &proposal.Table{
			Schema: rapid.SampledFrom([]string{"public", "it's", "My Shop"}).Draw(t, "schema"),
			Name: fmt.Sprint(drawName(t, "name", "products", "Price", "plans", "product_variant", "order",
				"channel"), i),
			Visible:  rapid.Bool().Draw(t, "visible"),
			Shared:   rapid.Bool().Draw(t, "shared"),
			Identity: "d",
			Sampled:  rapid.IntRange(0, 5).Draw(t, "sampled"),
			Complete: rapid.Bool().Draw(t, "complete"),
		}
		for j := range rapid.IntRange(1, 8).Draw(t, "columns") {
			table.Columns = append(table.Columns, drawColumn(t, j))
		}
		table.Key = []string{table.Columns[0].Name}
		if rapid.IntRange(0, 5).Draw(t, "keys") == 0 && len(table.Columns) > 1 {
			table.Key = append(table.Key, table.Columns[1].Name)
		}
		table.IdentityColumns = table.Key
		db.Tables = append(db.Tables, table)
	}
	for _, from := range db.Tables {
		for _, c := range from.Columns {
			if to := rapid.IntRange(-2, count-1).Draw(t, "to"); to >= 0 && len(db.Tables[to].Key) == 1 {
				from.References = append(from.References, proposal.Reference{
					Columns:   []string{c.Name},
					Schema:    db.Tables[to].Schema,
					Table:     db.Tables[to].Name,
					ToColumns: db.Tables[to].Key,
				})
			}
		}
	}
	return db
}

func drawColumn(t *rapid.T, number int) *proposal.Column {
	c := &proposal.Column{
		Name: drawName(t, "column", "id", "name", "title", "price", "amount_cents", "currency", "status", "deleted_at",
			"isActive", "interval", "product_id", "language", "valid_to", "group_id", "key", "value", "type",
			"price_usd"),
		Type: rapid.SampledFrom([]string{
			"text", "integer", "numeric", "boolean", "timestamp without time zone", "real", "money", "jsonb", "uuid",
			"text[]",
		}).Draw(t, "type"),
		Scale:   rapid.IntRange(-1, 3).Draw(t, "scale"),
		NotNull: rapid.Bool().Draw(t, "not null"),
		Comment: drawName(t, "comment", "", "in cents"),
		Sample: proposal.Sample{
			Values: rapid.SliceOfN(rapid.SampledFrom([]string{
				"active", "it's", "a -- b", "month", "EUR", "product", "price", "1", "# no", "${x}",
			}), 0, 4).Draw(t, "values"),
			Many:     rapid.Bool().Draw(t, "many"),
			Places:   rapid.IntRange(0, 4).Draw(t, "places"),
			Repeated: rapid.Bool().Draw(t, "repeated"),
		},
	}
	// The names of a table's columns differ.
	if number > 0 && rapid.Bool().Draw(t, "numbered") {
		c.Name = fmt.Sprint(c.Name, number)
	}
	return c
}

// drawName draws one of the names, or a strange one.
func drawName(t *rapid.T, label string, likely ...string) string {
	if rapid.IntRange(0, 4).Draw(t, label+" is strange") > 0 {
		return rapid.SampledFrom(likely).Draw(t, label)
	}
	strange := []string{`a"b`, "it's", "select", "Größe", "x -- y", "a: b # c", "{x}", "- x", "null", "on", "42", " x "}
	return rapid.SampledFrom(strange).Draw(t, label)
}
