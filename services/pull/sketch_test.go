package pull

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestSketch_FindsWhatOneSetLacks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newSketch(rapid.Uint64().Draw(t, "seed"))
		both := rapid.IntRange(0, 20_000).Draw(t, "both")
		lost := rapid.IntRange(0, 4_000).Draw(t, "lost")
		fresh := rapid.IntRange(0, 4_000).Draw(t, "fresh")
		twice := rapid.IntRange(0, min(both, 500)).Draw(t, "listed twice")
		want := map[uint64]bool{}
		for i := range both {
			k := d.key("product", fmt.Sprint("both-", i))
			d.add(k)
			if i < twice {
				d.add(k)
			}
			d.remove(k)
		}
		for i := range lost {
			k := d.key("price", fmt.Sprint("lost-", i))
			d.remove(k)
			want[k] = true
		}
		for i := range fresh {
			d.add(d.key("price", fmt.Sprint("fresh-", i)))
		}
		// An interrupted scan resumes with the encoded sketch.
		d, err := unmarshalSketch(d.marshal())
		require.NoError(t, err)
		got, share := d.missing()
		require.InDelta(t, 1, share, 0)
		require.Equal(t, want, got)
	})
}

func TestSketch_FindsASampleOfTooMany(t *testing.T) {
	const lost = 300_000
	sampled := map[string]bool{}
	for seed := range uint64(2) {
		d := newSketch(seed)
		all := map[uint64]string{}
		for i := range lost {
			id := fmt.Sprint("lost-", i)
			k := d.key("product", id)
			d.remove(k)
			all[k] = id
		}
		got, share := d.missing()
		require.Less(t, share, 1.0)
		require.InEpsilon(t, lost*share, len(got), 0.25)
		for k := range got {
			require.NotEmpty(t, all[k], "nothing is found that is not missing")
			sampled[all[k]] = true
		}
		require.Greater(t, len(sampled), int(seed+1)*len(got)*9/10, "the next scan reads others")
	}
}

func TestUnmarshalSketch_RefusesAnotherSize(t *testing.T) {
	_, err := unmarshalSketch(make([]byte, 100))
	require.Error(t, err)
}
