package adoption_test

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/adoption"
)

// written writes proposals to a file and reads the entries back.
func written(t testing.TB, held string, proposals ...adoption.Proposal) (text string, entries []adoption.Entry) {
	t.Helper()
	var b strings.Builder
	out, err := adoption.NewWriter(&b, adoption.Header{Account: "default", MetadataKey: "driftless_product"})
	require.NoError(t, err)
	for _, p := range proposals {
		require.NoError(t, out.Add(adoption.EntryOf(p), adoption.AboutProposal(p, held, held)))
	}
	require.NoError(t, out.Flush())
	file := adoption.File{Name: "adopt.yaml", Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(b.String())), nil
	}}
	header, err := file.Header()
	require.NoError(t, err, b.String())
	require.Equal(t, "default", header.Account)
	for e, err := range file.Entries() {
		require.NoError(t, err, b.String())
		require.Positive(t, e.Line)
		e.Line = 0
		entries = append(entries, e)
	}
	return b.String(), entries
}

func TestFile_TextsOfStripeAddNoEntry(t *testing.T) {
	t.Parallel()
	const attack = "x\nproduct: premium-plan\nstripe: prod_attacker\napprove: true\n---\n# "
	p := adoption.Proposal{
		Match:   adoption.Match{Product: "victim", StripeID: "prod_bait", Why: adoption.ByName},
		Prices:  map[string]string{attack: attack},
		Replace: []string{attack},
		Create:  []string{attack, "\u2028approve: true"},
		Reservations: []adoption.Reservation{{
			Doubt: adoption.Marked, Detail: "metadata driftless_product is " + attack,
		}},
	}
	text, entries := written(t, attack, p)
	require.Equal(t, []adoption.Entry{adoption.EntryOf(p)}, entries)
	require.False(t, entries[0].Approve)
	for line := range strings.SplitSeq(text, "\n") {
		require.NotRegexp(t, `^(product: premium|stripe: prod_attacker|approve: true)`, line)
	}
}

func TestFile_KeepsTextsThatYAMLWouldChange(t *testing.T) {
	t.Parallel()
	for _, id := range []string{
		"true", "No", "null", "~", "1", "1e3", "0x10", "1_000", "2026-01-02", "---", "...", "- a", "? a", "a: b",
		"a #b", "#a", "*a", "&a", "!a", "%a", "@a", "`a",
		"{a}", "[a]", "|", ">", "'a'", `"a"`, `a\nb`, " a", "a ", "a\tb", "a\nb", "a\r\nb", "\x00", "\x1b[31m",
		"\x7f", "\u0085", "\u009b", "\u202e", "\ufeff", "\U000e0041",
		"😀", "é", "=", "<<", ".inf", ".nan", "a-b c",
	} {
		p := adoption.Proposal{
			Match:  adoption.Match{Product: id, StripeID: "prod_" + id},
			Prices: map[string]string{id: id, "x" + id: "y"}, Replace: []string{id},
		}
		_, entries := written(t, id, p)
		require.Equal(t, []adoption.Entry{adoption.EntryOf(p)}, entries, "%q", id)
	}
}

func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		"mug", "a\nb", "---\n", "\x00", "\u2028", "'", `"\`, "# a", "\ufeff", "true", "\U000e0041",
	} {
		f.Add(seed, "prod_1", seed)
	}
	f.Fuzz(func(t *testing.T, id, stripe, text string) {
		// Protobuf has UTF-8 only.
		id, stripe, text = strings.ToValidUTF8(id, "?"), strings.ToValidUTF8(stripe, "?"),
			strings.ToValidUTF8(text, "?")
		if id == "" || stripe == "" {
			return
		}
		p := adoption.Proposal{
			Match:  adoption.Match{Product: id, StripeID: stripe},
			Prices: map[string]string{id: stripe, text + "x": text}, Replace: []string{text},
			Reservations: []adoption.Reservation{{Doubt: adoption.PriceDiffers, Price: text, Detail: text}},
		}
		_, entries := written(t, text, p)
		require.Equal(t, []adoption.Entry{adoption.EntryOf(p)}, entries)
	})
}
