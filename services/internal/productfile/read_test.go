package productfile

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

func TestFormatOf(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]Format{
		"a.json": JSON, "a.JSONL": Lines, "b/a.ndjson": Lines, "a.yaml": YAML, "a.yml": YAML, "a.b.csv": CSV,
	} {
		have, known := FormatOf(name)
		assert.True(t, known, name)
		assert.Equal(t, want, have, name)
	}
	for _, name := range []string{"-", "", "json", "a.txt"} {
		_, known := FormatOf(name)
		assert.False(t, known, name)
	}
}

// The same products in the forms that people write.
func TestRead_AcceptsForms(t *testing.T) {
	t.Parallel()
	want := []*catalogv1.Product{
		{
			Id: "mug", Name: "Mug", Active: new(true), Metadata: map[string]string{"a.b": "red"},
			PackageDimensions: &catalogv1.PackageDimensions{Height: "1.5", Length: "2", Weight: "3", Width: "4"},
			Prices: []*catalogv1.Price{
				{
					Id: "mug-eur", Currency: "eur", UnitAmount: "1400",
					CurrencyOptions: map[string]*catalogv1.CurrencyOption{"usd": {UnitAmountDecimal: "0.1"}},
				},
				{
					Id: "mug-club", Currency: "eur",
					Tiers:     []*catalogv1.PriceTier{{UpTo: "10", UnitAmount: "5"}, {FlatAmount: "0"}},
					Recurring: &catalogv1.Recurring{Interval: "month", IntervalCount: 3},
				},
			},
		},
		{Id: "cup", Name: "Cup"},
	}
	const mug = `{"id": "mug", "name": "Mug", "active": true, "metadata": {"a.b": "red"},
		"package_dimensions": {"height": 1.50, "length": 2, "weight": "3", "width": 4.0}, "prices": [
			{"id": "mug-eur", "currency": "eur", "unit_amount": 1400, "recurring": null,
				"currency_options": {"usd": {"unit_amount_decimal": 0.10}}},
			{"id": "mug-club", "currency": "eur", "recurring": {"interval": "month", "interval_count": 3},
				"tiers": [{"up_to": 10, "unitAmount": 5}, {"up_to": "inf", "flat_amount": 0}]}]}`
	const yaml = `# A comment.
products:
  - id: mug
    name: Mug # another
    active: true
    metadata:
      a.b: red
    package_dimensions: {height: 1.50, length: 2, weight: "3", width: 4.0}
    prices:
      - id: mug-eur
        currency: eur
        unit_amount: 1400
        recurring:
        currency_options: {usd: {unit_amount_decimal: 0.10}}
      - {id: mug-club, currency: eur, recurring: {interval: month, interval_count: 3}, tiers: [
          {up_to: 10, unit_amount: 5}, {up_to: .inf, flat_amount: 0}]}
---
- id: cup
  name: |-
    Cup
`
	const csv = "\ufeffid,product.name,active,metadata.a.b,package_dimensions.height,package_dimensions.length," +
		"package_dimensions.weight,package_dimensions.width,price.id,currency,price.unit_amount," +
		"price.currency_options.usd.unit_amount_decimal,recurring.interval,recurring.interval_count,tiers\r\n" +
		"mug,Mug,TRUE,red,1.5,2,3,4,mug-eur,eur,1400,0.1,,,\r\n" +
		"cup,Cup,,,,,,,,,,,,,\r\n" +
		`mug,,,,,,,,mug-club,eur,,,month,3,"[{""up_to"": 10, ""unit_amount"": 5}, {""up_to"": ""inf"", ""flat_amount"": 0}]"`
	for _, file := range []struct {
		format Format
		text   string
	}{
		{JSON, `{"products": [` + mug + `, {"id": "cup", "name": "Cup"}]}`},
		{JSON, "\ufeff[" + mug + `, {"id": "cup", "name": "Cup"}]`},
		{Lines, mug + "\n\n" + `{"id": "cup", "name": "Cup"}`},
		{YAML, yaml},
		{YAML, `{"products": [` + mug + `, {"id": "cup", "name": "Cup"}]}`},
		{CSV, csv},
	} {
		have, err := Read([]byte(file.text), file.format)
		require.NoError(t, err, file.text)
		require.Len(t, have, len(want), file.text)
		for i, p := range want {
			require.True(t, proto.Equal(p, have[i].Product), "%s\nwant %v\nhave %v", file.text, p, have[i].Product)
		}
	}
}

func TestRead_NamesLineAndField(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format     Format
		text, want string
	}{
		{JSON, "", "line 1: the file is empty"},
		{JSON, "{\n\"produts\": []}", "line 2: produts: is not a field"},
		{
			JSON, "[\n{\"id\": \"mug\",\n\"prices\": [{\n\"unit_amount\": 1e50}]}]",
			"line 4: products[0].prices[0].unit_amount: must be a dec",
		},
		{JSON, "[{},\n{\"nam\": 1}]", "line 2: products[1].nam: is not a field of a product"},
		{JSON, "[{\"name\": 5}]", "line 1: products[0].name: must be a text, not a number: put it in quotes"},
		{JSON, "[{\"active\": \"yes\"}]", "products[0].active: must be true or false, not a text"},
		{JSON, "[{\"prices\": {}}]", "products[0].prices: must be a list, not an object"},
		{JSON, "[{\"metadata\": []}]", "products[0].metadata: must be an object, not a list"},
		{
			JSON, "[{\"prices\": [{\"recurring\": {\"interval_count\": -1}}]}]",
			"recurring.interval_count: must be a whole number",
		},
		{JSON, "[{\"id\": \"a\"},\n{\"id\": \"a\"}]", "line 2: products[1].id: product a is on line 1 already"},
		{JSON, "[{\"id\": \"a\",\n\"id\": \"b\"}]", "line 2: id: is given twice"},
		{JSON, "[{\"prices\": [{\"unit_amount\": 1, \"unitAmount\": 2}]}]", "unitAmount: is given twice"},
		{JSON, "[\n{\"id\": \"a\"", "line 2: the JSON text ends too early"},
		{JSON, "[\n{\"id\": a}]", "line 2: this is no JSON"},
		{JSON, "[]\n[]", "line 2: text follows"},
		{JSON, "[{\"name\":\n\"\xff\"}]", "line 2: the file must be in UTF-8"},
		{Lines, "{\"id\": \"a\"}\n{\"name\": []}", "line 2: name: must be a text, not a list"},
		{Lines, "{\"id\": \"a\"}\n[]", "line 2: must be an object, not a list"},
		{YAML, "- id: a\n  name: 2024", "line 2: products[0].name: must be a text, not a number: put it in quotes"},
		{YAML, "- id: a\n  name: &x b", "line 2: anchors"},
		{YAML, "- id: a\n  metadata: {1: b}", "line 2: the key 1 must be a text"},
		{YAML, "- id: a\n - b", "this is no YAML"},
		{YAML, "# nothing", "line 1: the file is empty"},
		{CSV, "", "line 1: the file has no header"},
		{CSV, "id;name\n", "line 1: the columns must be separated by commas"},
		{CSV, "name\nMug\n", "line 1: id: the header has no column for the id"},
		{CSV, "id,prices\n", "line 1: prices: is no field of a product"},
		{CSV, "id,price.colour\n", "line 1: price.colour: is no field of a price"},
		{CSV, "id,name,product.name\n", "line 1: product.name: is in the header twice"},
		{CSV, "id,tiers.0.up_to\n", "line 1: tiers.0.up_to: has no fields of its own: give tiers as JSON"},
		{CSV, "id,price.currency_options.usd\n", "needs a field after usd"},
		{CSV, "id,name\nmug\n", "line 2: the row has 1 cells, and the header has 2"},
		{CSV, "id,name\n,Mug\n", "line 2: id: is empty"},
		{CSV, "id,name\nmug,\"a\nb\"\nmug,c\n", "line 4: name: differs from line 2, and both are product mug"},
		{CSV, "id,images\nmug,a.png\n", "line 2: images: must be JSON, like [\"https://"},
		{CSV, "id,active\nmug,maybe\n", "line 2: active: must be true or false"},
		{
			CSV, "id,metadata,metadata.a\nmug,\"{\"\"a\"\": \"\"b\"\"}\",c\n",
			"line 2: metadata.a: another column gives it too",
		},
		{CSV, "id,metadata,metadata.a\nmug,[],c\n", "line 2: metadata.a: the column metadata gives it too"},
		{CSV, "id,name\nmug,a\"b\n", "line 2: this is no CSV"},
	} {
		_, err := Read([]byte(c.text), c.format)
		var fault *Error
		require.ErrorAs(t, err, &fault, c.text)
		assert.Contains(t, err.Error(), c.want, c.text)
	}
}

// Whatever a file has, it is read or refused.
func TestRead_EndsForEveryText(t *testing.T) {
	t.Parallel()
	parts := []string{
		"id", "name", "prices", "products", "price.", "metadata", "tiers", ".", ",", ":", " ", "\n", "\r\n", "\t", "-",
		"- ",
		"{", "}", "[", "]", `"`, "'", "|", ">", "&a", "*a", "<<", "!", "#", "1", "1e9", "true", "null", "~", "---\n",
		"...", "?", "%",
	}
	rapid.Check(t, func(t *rapid.T) {
		var data []byte
		for _, part := range rapid.SliceOfN(rapid.SampledFrom(parts), 0, 20).Draw(t, "parts") {
			data = append(data, part...)
		}
		for _, format := range []Format{JSON, Lines, YAML, CSV} {
			found, err := Read(data, format)
			if err != nil {
				var fault *Error
				require.ErrorAs(t, err, &fault)
				require.Positive(t, fault.Line)
			}
			require.True(t, err == nil || found == nil)
		}
	})
}
