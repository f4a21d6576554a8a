package service_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/service"
)

func TestPolicy_RefusesRuleThatMappingCannotWriteBack(t *testing.T) {
	t.Parallel()
	rule := func(field, owner, action string) config.Policy {
		return config.Policy{
			DriftPolicy: "repair",
			Extras:      "ignore",
			Policy:      config.FieldRules{{Field: field, Owner: owner, Action: action, At: "4:3"}},
		}
	}
	both := config.WriteBack{
		Product: "UPDATE p SET blurb = @description, attributes = @metadata WHERE id = @id",
		Price:   "UPDATE c SET label = @nickname WHERE id = @id",
	}
	imports := config.WriteBack{ImportProduct: "INSERT INTO p VALUES (@id)"}
	for name, c := range map[string]struct {
		policy  config.Policy
		mapping *config.Mapping
		want    string
	}{
		"built-in tables":         {rule("description", "stripe", ""), nil, ""},
		"built-in tables, import": {config.Policy{Extras: "import"}, nil, ""},
		"no statement": {
			rule("description", "stripe", ""), &config.Mapping{},
			"f.yaml:4:3: policy: description cannot be written back: set catalog.write_back.product to the statement that changes it",
		},
		"no statement, by age": {
			rule("url", "newest", "write-back"), &config.Mapping{},
			"f.yaml:4:3: policy: url cannot be written back: set catalog.write_back.product",
		},
		"no statement for prices": {
			rule("prices.nickname", "stripe", ""),
			&config.Mapping{WriteBack: config.WriteBack{Product: both.Product}},
			"prices.nickname cannot be written back: set catalog.write_back.price",
		},
		"statement without it": {
			rule("url", "stripe", ""), &config.Mapping{WriteBack: both},
			"url cannot be written back: catalog.write_back.product does not use @url; the products query must return it, too",
		},
		"statement with it": {rule("description", "stripe", ""), &config.Mapping{WriteBack: both}, ""},
		"a price's":         {rule("prices.nickname", "newest", ""), &config.Mapping{WriteBack: both}, ""},
		"keys of metadata":  {rule("metadata.seo_*", "stripe", ""), &config.Mapping{WriteBack: both}, ""},
		"keys of prices' metadata": {
			rule("prices.metadata.seo_*", "stripe", ""), &config.Mapping{WriteBack: both},
			"does not use @metadata",
		},
		"only reported": {rule("url", "stripe", "report"), &config.Mapping{}, ""},
		"only reported by default": {config.Policy{
			DriftPolicy: "report",
			Policy:      config.FieldRules{{Field: "url", Owner: "stripe"}},
		}, &config.Mapping{}, ""},
		"the catalog's": {rule("url", "catalog", ""), &config.Mapping{}, ""},
		"import of a product": {
			config.Policy{Extras: "import"},
			&config.Mapping{WriteBack: both},
			"products cannot be imported: a product cannot be inserted: set catalog.write_back.import_product",
		},
		"import of a price": {
			config.Policy{Extras: "import"},
			&config.Mapping{WriteBack: imports},
			"set catalog.write_back.import_price",
		},
		"a rule that cannot be":     {rule("url", "me", ""), nil, "f.yaml:4:3: policy: url: owner must be"},
		"extras that are not taken": {config.Policy{Extras: "archive"}, &config.Mapping{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := service.Policy(c.policy, "f.yaml", c.mapping)
			if c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.want)
			}
		})
	}
}
