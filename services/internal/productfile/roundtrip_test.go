package productfile

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
)

// products generates products of the catalog with texts that every format must protect.
func products() *rapid.Generator[[]*catalogv1.Product] {
	hard := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"a\r\nb", "\r", "\r\n", "\n", " a ", "true", "null", "~", "12", "1e3", "0x1", "- a", "a: b", "a #b", "'", `"`,
		`\`, `\.`,
		"=1+1", "{", "[]", "<<", "*a", "&a", "!t", "%d", "@", "`", "\x1b[31m", "\u2028", "\u0085", "\U0001F600",
		"\ufeff",
		"2024-01-01", "a,b", "---", "yes", "|", ">", "?", "\t", "\x00",
	}))
	return rapid.Custom(func(t *rapid.T) (all []*catalogv1.Product) {
		for _, id := range []string{"mug", "true", "007", "-"}[:rapid.IntRange(0, 4).Draw(t, "products")] {
			p := catalogtest.Product(id).Draw(t, "product "+id)
			p.Name, p.Description = hard.Draw(t, "name"), hard.Draw(t, "description")
			if rapid.Bool().Draw(t, "metadata") {
				key := hard.Filter(func(s string) bool { return s != "" }).Draw(t, "key")
				p.Metadata = map[string]string{key: hard.Draw(t, "value"), "a.b": "c"}
			}
			for _, price := range p.GetPrices() {
				price.Nickname = hard.Draw(t, "nickname")
				// The contract says that an empty text is absent.
				if r := price.GetRecurring(); r != nil && r.GetAggregateUsage() == "" {
					r.AggregateUsage = nil
				}
			}
			all = append(all, p)
		}
		return all
	})
}

func TestRead_ReturnsWhatWasWritten(t *testing.T) {
	t.Parallel()
	for _, format := range []Format{JSON, Lines, YAML, CSV} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				want := products().Draw(t, "products")
				var file bytes.Buffer
				w, err := NewWriter(&file, format)
				require.NoError(t, err)
				for _, p := range want {
					require.NoError(t, w.Add(p))
				}
				require.NoError(t, w.Close())
				have, err := Read(file.Bytes(), format)
				require.NoError(t, err, "%s", file.String())
				require.Len(t, have, len(want), "%s", file.String())
				for i, p := range want {
					require.True(t, proto.Equal(p, have[i].Product), "%s\nwant %v\nhave %v", file.String(), p,
						have[i].Product)
				}
			})
		})
	}
}
