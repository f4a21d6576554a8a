package find

import (
	"testing"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

func TestTarget_LeadsToTheOnlyProduct(t *testing.T) {
	t.Parallel()
	one := []*controlv1.Explanation{{ProductId: "mug"}}
	for name, c := range map[string]struct {
		found found
		want  string
	}{
		"a product": {found{answer: &controlv1.ExplainResponse{Explanations: one}}, "/products/mug"},
		"a price": {found{answer: &controlv1.ExplainResponse{
			Explanations: []*controlv1.Explanation{{ProductId: "mug", PriceId: "mug:eur"}},
		}}, "/products/mug#price-mug:eur"},
		"one of more":         {found{answer: &controlv1.ExplainResponse{Explanations: one, Truncated: true}}, ""},
		"several":             {found{answer: &controlv1.ExplainResponse{Explanations: append(one, one...)}}, ""},
		"nothing":             {found{id: "x"}, ""},
		"only in the table":   {found{id: "MUG", row: "mug"}, "/products/mug"},
		"an id with a slash":  {found{row: "a/b c"}, "/products/a%2Fb%20c"},
		"known to the ledger": {found{answer: &controlv1.ExplainResponse{}, row: "mug"}, ""},
	} {
		require.Equal(t, c.want, c.found.target(), name)
	}
}
