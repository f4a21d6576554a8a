package stripesim

import (
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestParseForm(t *testing.T) {
	t.Parallel()
	f, pairs, r := parseForm(
		"name=a+b%26c&metadata[a%20b]=1&metadata%5Bc%5D=2&images[]=x&images[]=y&tiers[][up_to]=5&tiers[][unit]=1&tiers[][up_to]=inf&list[10]=k&list[9]=j")
	require.Nil(t, r)
	require.Len(t, pairs, 10)
	require.Equal(t, "a b&c", f.text("name"))
	require.Equal(t, "1", f.get("metadata").text("a b"))
	require.Equal(t, "metadata[c]", f.get("metadata").get("c").name)
	require.Equal(t, []string{"x", "y"}, values(f.get("images")))
	tiers := f.get("tiers").items()
	require.Len(t, tiers, 2, "a repeated name begins the next element")
	require.Equal(t, []string{"5", "1", "inf", ""},
		[]string{tiers[0].text("up_to"), tiers[0].text("unit"), tiers[1].text("up_to"), tiers[1].text("unit")})
	require.Equal(t, []string{"j", "k"}, values(f.get("list")), "in the order of the indexes")
	require.Nil(t, f.get("none"))
	require.Nil(t, f.get("none").get("at all"))

	for _, wrong := range []string{"a%zz=1", "a[b=1", "a[b]c=1", "a" + strings.Repeat("[b]", 9) + "=1"} {
		_, _, r := parseForm(wrong)
		require.NotNil(t, r, wrong)
		require.Equal(t, http.StatusBadRequest, r.status)
	}
}

func TestDecimal_IsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		whole := rapid.StringMatching(`[0-9]{1,18}`).Draw(r, "whole")
		fraction := rapid.StringMatching(`[0-9]{0,12}`).Draw(r, "fraction")
		text := whole
		if fraction != "" {
			text += "." + fraction
		}
		d, ok := parseDecimal(text, maxDecimalPlaces)
		require.True(r, ok, text)
		want, _ := new(big.Rat).SetString(text)
		got, ok := new(big.Rat).SetString(string(d))
		require.True(r, ok, d)
		require.Zero(r, want.Cmp(got), "%s became %s", text, d)
		again, ok := parseDecimal(string(d), maxDecimalPlaces)
		require.True(r, ok)
		require.Equal(r, d, again, "there is one way to write a number")
		n, isWhole := d.whole()
		require.Equal(r, want.IsInt(), isWhole)
		if isWhole {
			require.Equal(r, want.Num().String(), strconv.FormatInt(n, 10))
		}
	})
	for _, wrong := range []string{
		"", ".", "1.", "-1", "+1", "1e3", "0x1", " 1", "1_000", "NaN", "0.1234567890123",
		strings.Repeat("9", 70),
	} {
		_, ok := parseDecimal(wrong, maxDecimalPlaces)
		require.False(t, ok, wrong)
	}
	d, ok := parseDecimal(".5", maxDecimalPlaces)
	require.True(t, ok)
	require.Equal(t, decimal("0.5"), d)
}

func TestChanges(t *testing.T) {
	t.Parallel()
	type object struct {
		Name     string            `json:"name"`
		List     []int             `json:"list"`
		Hash     map[string]string `json:"hash"`
		Nullable *object           `json:"nullable"`
	}
	before := object{Name: "a", List: []int{1, 2}, Hash: map[string]string{"same": "1", "old": "2", "gone": "3"}}
	after := object{
		Name:     "a",
		List:     []int{1},
		Hash:     map[string]string{"same": "1", "old": "x", "new": "4"},
		Nullable: &object{},
	}
	require.Nil(t, changes(before, before))
	require.JSONEq(t, `{"list":[1,2],"hash":{"old":"2","gone":"3","new":null},"nullable":null}`,
		string(encode(changes(before, after))))
	require.JSONEq(t,
		`{"list":[1],"hash":{"old":"x","gone":null,"new":"4"},"nullable":{"name":"","list":null,"hash":null,"nullable":null}}`, string(encode(changes(after, before))))
}
