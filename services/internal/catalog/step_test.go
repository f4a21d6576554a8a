package catalog_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

func TestIdempotencyKey_IsEqualForEqualStepsOnly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		// These words could be confused if they were concatenated without their lengths.
		word := rapid.SampledFrom([]string{"", "a", "b", "ab", "a:b", "1:a", "1:a,", "a=b", "a=1:b/0:", ","})
		type call struct {
			step       catalog.Step
			account    string
			generation uint64
		}
		calls := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) call {
			var params []catalog.Param
			for range rapid.IntRange(0, 2).Draw(t, "params") {
				params = append(params, catalog.Param{
					Name:     word.Draw(t, "name"),
					Value:    word.Draw(t, "value"),
					PriceRef: word.Draw(t, "ref"),
				})
			}
			return call{
				catalog.Step{
					Kind: rapid.SampledFrom([]catalog.StepKind{catalog.CreatePrice, catalog.UpdatePrice}).Draw(t,
						"kind"),
					ProductID: word.Draw(t, "product"), PriceID: word.Draw(t, "price"),
					StripePriceID: word.Draw(t, "stripe id"), Params: params,
				},
				word.Draw(t, "account"), rapid.Uint64Range(0, 2).Draw(t, "generation"),
			}
		}), 2, 20).Draw(t, "calls")
		seen := map[string]string{}
		for _, c := range calls {
			key := c.step.IdempotencyKey(c.account, c.generation)
			require.Equal(t, key, c.step.IdempotencyKey(c.account, c.generation))
			require.True(t, strings.HasPrefix(key, catalog.KeyPrefix) && len(key) <= 255, key)
			content := fmt.Sprintf("%q",
				[]any{
					c.step.Kind, c.step.ProductID, c.step.PriceID, c.step.StripePriceID, c.step.Params, c.account,
					c.generation,
				})
			if other, ok := seen[key]; ok {
				require.Equal(t, other, content, "two calls have the same key")
			}
			seen[key] = content
		}
		contents := map[string]bool{}
		for _, c := range seen {
			contents[c] = true
		}
		require.Len(t, contents, len(seen), "one call has two keys")
	})
}

func TestIdempotencyKey_DiffersWithinPlanAndByGeneration(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, change := draw(t)
		seen := map[string]string{}
		for _, step := range catalog.Diff(change, observedState(s, change)) {
			for generation := range uint64(4) {
				key := step.IdempotencyKey("default", generation)
				require.Empty(t, seen[key])
				seen[key] = step.String()
				require.NotEqual(t, key, step.IdempotencyKey("other", generation))
			}
		}
	})
}

func TestIdempotencyKey_DependsOnEveryPart(t *testing.T) {
	t.Parallel()
	step := catalog.Step{
		Kind: catalog.UpdatePrice, ProductID: "pro", PriceID: "monthly", StripePriceID: "price_1",
		Params: []catalog.Param{{Name: "active", Value: "false"}}, ManagedMetadata: []string{"colour"},
	}
	key := step.IdempotencyKey("default", 7)
	require.Equal(t, "driftless-"+strings.TrimPrefix(key, "driftless-"), key)

	t.Run("the managed metadata is not part of the key", func(t *testing.T) {
		t.Parallel()
		same := step
		same.ManagedMetadata, same.PriceMetadata = nil, []string{"size"}
		require.Equal(t, key, same.IdempotencyKey("default", 7))
	})
	for name, change := range map[string]func(*catalog.Step){
		"kind":       func(s *catalog.Step) { s.Kind = catalog.CreatePrice },
		"product":    func(s *catalog.Step) { s.ProductID = "basic" },
		"price":      func(s *catalog.Step) { s.PriceID = "yearly" },
		"stripe id":  func(s *catalog.Step) { s.StripePriceID = "price_2" },
		"value":      func(s *catalog.Step) { s.Params[0].Value = "true" },
		"parameter":  func(s *catalog.Step) { s.Params[0].Name = "nickname" },
		"reference":  func(s *catalog.Step) { s.Params[0] = catalog.Param{Name: "active", PriceRef: "false"} },
		"parameters": func(s *catalog.Step) { s.Params = append(s.Params, catalog.Param{Name: "nickname"}) },
	} {
		t.Run("another "+name+" makes another key", func(t *testing.T) {
			t.Parallel()
			other := step
			other.Params = slices.Clone(step.Params)
			change(&other)
			require.NotEqual(t, key, other.IdempotencyKey("default", 7))
		})
	}
	require.NotEqual(t, key, step.IdempotencyKey("default", 8))
	require.NotEqual(t, key, step.IdempotencyKey("eu", 7))
}

func TestStep_String(t *testing.T) {
	t.Parallel()
	active := func(v string) []catalog.Param { return []catalog.Param{{Name: "active", Value: v}} }
	for want, step := range map[string]catalog.Step{
		"create product pro":              {Kind: catalog.CreateProduct, ProductID: "pro"},
		"create product pro with price a": {Kind: catalog.CreateProduct, ProductID: "pro", PriceID: "a"},
		"update price a":                  {Kind: catalog.UpdatePrice, ProductID: "pro", PriceID: "a"},
		"update product pro":              {Kind: catalog.UpdateProduct, ProductID: "pro", Params: active("false")},
		"create price monthly":            {Kind: catalog.CreatePrice, ProductID: "pro", PriceID: "monthly"},
		"update price monthly (price_1)":  {Kind: catalog.UpdatePrice, PriceID: "monthly", StripePriceID: "price_1"},
		"archive price monthly (price_1)": {
			Kind:          catalog.UpdatePrice,
			PriceID:       "monthly",
			StripePriceID: "price_1",
			Params:        active("false"),
		},
		"unarchive price monthly (price_1)": {
			Kind:          catalog.UpdatePrice,
			PriceID:       "monthly",
			StripePriceID: "price_1",
			Params:        active("true"),
		},
	} {
		require.Equal(t, want, step.String())
	}
}
