package topology_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestToken_IsDistinctAndValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Short ids, and long ones with common beginnings.
		id := rapid.OneOf(rapid.String(), rapid.Custom(func(t *rapid.T) string {
			return strings.Repeat(rapid.SampledFrom([]string{"a", "é", "="}).Draw(t, "of"),
				rapid.IntRange(80, 1500).Draw(t, "n")) + rapid.StringN(0, 2, -1).Draw(t, "end")
		}))
		a, b := id.Draw(t, "a"), id.Draw(t, "b")
		ta, tb := topology.Token(a), topology.Token(b)
		if ta == "" || len(ta) > 512 || strings.ContainsAny(ta, ".*> \t") {
			t.Fatalf("%q is no token", ta)
		}
		if as := topology.Token(ta); as == ta && ta != a {
			t.Fatalf("%q is the token of %q, and of an id of that text", ta, a)
		}
		if (a == b) != (ta == tb) {
			t.Fatalf("%q and %q have tokens %q and %q", a, b, ta, tb)
		}
	})
}
