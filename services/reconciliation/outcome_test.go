package reconciliation

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

func TestFitOutcome_FitsAnyDifferences(t *testing.T) {
	t.Parallel()
	const most = 1 << 20
	for name, differences := range map[string][]*meshv1.Difference{
		"few":      {{Field: "name", Catalog: "a", Stripe: "b"}},
		"one huge": {{Field: "name", Catalog: strings.Repeat("é", most), Stripe: "b"}},
		"many":     nil,
	} {
		if name == "many" {
			for range 20_000 {
				differences = append(
					differences, &meshv1.Difference{Field: "prices.p", Catalog: strings.Repeat("c", 100)},
				)
			}
		}
		words := make([]string, len(differences))
		for i, d := range differences {
			words[i] = d.GetField() + d.GetCatalog()
		}
		o := &meshv1.Outcome{Id: "1", ProductId: "mug", Differences: differences, Detail: strings.Join(words, "; ")}
		before := proto.CloneOf(o)
		fitOutcome(o, most)
		require.LessOrEqual(t, proto.Size(o), most, name)
		if name == "few" {
			require.True(t, proto.Equal(before, o))
			continue
		}
		require.Contains(t, o.GetDetail(), "differences are left out)", name)
		_, err := proto.Marshal(o)
		require.NoError(t, err)
	}
}
