package idsketch_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/driftless-sync/driftless/services/pull/internal/idsketch"
)

func TestSketch_FindsWhatOneSetLacks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := idsketch.New(rapid.Uint64().Draw(t, "seed"))
		both := rapid.IntRange(0, 20_000).Draw(t, "both")
		lost := rapid.IntRange(0, 4_000).Draw(t, "lost")
		fresh := rapid.IntRange(0, 4_000).Draw(t, "fresh")
		twice := rapid.IntRange(0, min(both, 500)).Draw(t, "listed twice")
		want := map[uint64]bool{}
		for i := range both {
			k := s.Key("product", fmt.Sprint("both-", i))
			s.Add(k)
			if i < twice {
				s.Add(k)
			}
			s.Remove(k)
		}
		for i := range lost {
			k := s.Key("price", fmt.Sprint("lost-", i))
			s.Remove(k)
			want[k] = true
		}
		for i := range fresh {
			s.Add(s.Key("price", fmt.Sprint("fresh-", i)))
		}
		// An interrupted scan resumes with the encoded sketch.
		s, err := idsketch.Unmarshal(s.Marshal())
		require.NoError(t, err)
		got, share := s.Missing()
		require.InDelta(t, 1, share, 0)
		require.Equal(t, want, got)
	})
}

func TestSketch_FindsASampleOfTooMany(t *testing.T) {
	const lost = 300_000
	sampled := map[string]bool{}
	for seed := range uint64(2) {
		s := idsketch.New(seed)
		all := map[uint64]string{}
		for i := range lost {
			id := fmt.Sprint("lost-", i)
			k := s.Key("product", id)
			s.Remove(k)
			all[k] = id
		}
		got, share := s.Missing()
		require.Less(t, share, 1.0)
		require.InEpsilon(t, lost*share, len(got), 0.25)
		for k := range got {
			require.NotEmpty(t, all[k], "nothing is found that is not missing")
			sampled[all[k]] = true
		}
		require.Greater(t, len(sampled), int(seed+1)*len(got)*9/10, "the next scan reads others")
	}
}

func TestUnmarshal_RefusesAnotherSize(t *testing.T) {
	_, err := idsketch.Unmarshal(make([]byte, 100))
	require.Error(t, err)
}

// FuzzUnmarshal checks that encoded data is either refused or encoded again without a difference.
func FuzzUnmarshal(f *testing.F) {
	s := idsketch.New(7)
	s.Add(s.Key("product", "mug"))
	f.Add(s.Marshal())
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := idsketch.Unmarshal(data)
		if err != nil {
			return
		}
		if !bytes.Equal(s.Marshal(), data) {
			t.Fatal("the sketch is encoded differently")
		}
	})
}
