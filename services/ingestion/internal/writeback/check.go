package writeback

import (
	"context"
	"fmt"
	"slices"

	"github.com/driftless-sync/driftless/services/ingestion/internal/finding"
)

// idParameters are the parameters of an import that hold Stripe's ids.
var idParameters = []string{"id", "product", "default_price"}

// Check finds parameters of the imports whose type cannot hold Stripe's ids, which are texts like prod_NffrFeUfNV2Hib.
// If the catalog's ids are numbers, a statement that changes a row works, but one that inserts a product of Stripe's
// never does.
func (w *Writer) Check(ctx context.Context) (finding.List, error) {
	var out finding.List
	for _, s := range []*statement{w.importProduct, w.importPrice} {
		if s == nil {
			continue
		}
		imports := "price"
		if s == w.importProduct {
			imports = "product"
		}
		for i, name := range s.params {
			if !slices.Contains(idParameters, name) {
				continue
			}
			var typeName string
			var holds bool
			// These are the types of Postgres' string category, including domains over them. Type 0 and types of
			// category X (unknown) are not reported.
			err := w.Pool.QueryRow(ctx, `WITH RECURSIVE t(oid) AS (SELECT $1::oid
				UNION SELECT typbasetype FROM t JOIN pg_type USING (oid) WHERE typtype = 'd')
				SELECT format_type($1, NULL), NOT EXISTS (SELECT FROM t JOIN pg_type p USING (oid)
					WHERE p.typtype <> 'd' AND p.typcategory NOT IN ('S', 'X'))`,
				s.types[i]).Scan(&typeName, &holds)
			if err != nil {
				return nil, fmt.Errorf("read the types of %s: %w", s.key, err)
			}
			if !holds {
				out.Warnf("",
					"%s takes @%s as %s, which cannot hold Stripe's ids (like %s): no %s of Stripe's can be "+
						"imported; keep Stripe's id in a text column of its own, and let the mapping's queries return it "+
						"as the id of imported rows",
					s.key, name, typeName, exampleID(name == "product" || name == "id" && s == w.importProduct),
					imports)
			}
		}
	}
	return out, nil
}

func exampleID(isProduct bool) string {
	if isProduct {
		return "prod_NffrFeUfNV2Hib"
	}
	return "price_1MoBy5LkdIwHu7ixZhnattbh"
}
