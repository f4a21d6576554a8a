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
		got, more := s.Missing()
		require.Zero(t, more)
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
		got, more := s.Missing()
		require.InEpsilon(t, lost, uint64(len(got))+more, 0.25)
		for k := range got {
			require.NotEmpty(t, all[k], "nothing is found that is not missing")
			sampled[all[k]] = true
		}
		require.Greater(t, len(sampled), int(seed+1)*len(got)*9/10, "the next scan reads others")
	}
}

// The first sample has too many ids to decode, and the next ones have only a part of them.
func TestSketch_SaysThatItMayHaveMissedSome(t *testing.T) {
	s := idsketch.New(1)
	for i := range 100_000 {
		s.Add(s.Key("price", fmt.Sprint("fresh-", i)))
	}
	_, more := s.Missing()
	require.NotZero(t, more)
}

// An id that was added twice cannot be decoded, and may hide another one.
func TestSketch_FindsMissingBesideDoubledOnes(t *testing.T) {
	s := idsketch.New(1)
	moved, lost := s.Key("price", "moved"), s.Key("price", "lost")
	s.Add(moved)
	s.Add(moved)
	s.Remove(lost)
	keys, more := s.Missing()
	require.Equal(t, map[uint64]bool{lost: true}, keys)
	require.NotZero(t, more)
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
