package mesh_test

import (
	"crypto/rand"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/local"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// fill sets every text and the payload of a letter.
func fill(letter *meshv1.DeadLetter, text func(name string) string, payload []byte) {
	m := letter.ProtoReflect()
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		if fd := fields.Get(i); fd.Kind() == protoreflect.StringKind {
			m.Set(fd, protoreflect.ValueOfString(text(string(fd.Name()))))
		}
	}
	letter.Payload = payload
}

func TestFitLetter_FitsAnyBytes(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		// Repetition makes long texts from few random bytes; 2 to the 22 exceeds every limit.
		bytes := rapid.SliceOfN(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte{0, 0xc3, 0xa9, 'a'})), 0, 40)
		letter := &meshv1.DeadLetter{}
		fill(letter, func(name string) string {
			return strings.Repeat(string(bytes.Draw(r, name)), 1<<rapid.IntRange(0, 15).Draw(r, "times"))
		}, make([]byte, rapid.IntRange(0, 1<<21).Draw(r, "payload")))
		most := rapid.IntRange(4<<10, 2<<20).Draw(r, "most")
		mesh.FitLetter(letter, most)

		data, err := proto.Marshal(letter)
		require.NoError(r, err)
		require.LessOrEqual(r, len(data), most)
		letter.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			if fd.Kind() == protoreflect.StringKind {
				require.True(r, utf8.ValidString(v.String()), fd.Name())
				require.NotContains(r, v.String(), "\x00", fd.Name())
			}
			return true
		})
		require.LessOrEqual(r, len(letter.GetProductId()), 1020)
		again := proto.CloneOf(letter)
		mesh.FitLetter(again, most)
		require.True(r, proto.Equal(letter, again), "what fits stays")
	})
}

func TestFitLetter_KeepsLetterThatFits(t *testing.T) {
	letter := &meshv1.DeadLetter{
		ProductId: strings.Repeat("漢", 255),
		Message:   strings.Repeat("é", 4000),
		Payload:   make([]byte, 500<<10),
	}
	before := proto.CloneOf(letter)
	mesh.FitLetter(letter, 1<<20)
	require.True(t, proto.Equal(before, letter))
}

func TestFitLetter_KeepsDistinctIDsDistinct(t *testing.T) {
	ids := []string{
		"\xff", "\xfe", "a\x00b", "ab", strings.Repeat("p", 1020), strings.Repeat("p", 1021),
		strings.Repeat("p", 1022),
	}
	seen := map[string]bool{}
	for _, id := range ids {
		letter := &meshv1.DeadLetter{ProductId: id}
		mesh.FitLetter(letter, 1<<20)
		require.False(t, seen[letter.GetProductId()], "%q", id)
		seen[letter.GetProductId()] = true
		require.Equal(t, topology.DeadSubject(topology.Push, "default", id),
			topology.DeadSubject(topology.Push, "default", letter.GetProductId()))
	}
}

func TestDeadLetter_StoresAnyContent(t *testing.T) {
	url, _ := localtest.NATS(t)
	small, _ := localtest.NATS(t, func(cfg *local.NATSConfig) { cfg.MaxPayload = 16 << 10 })
	noise := make([]byte, 5<<20)
	_, _ = rand.Read(noise)
	for server, url := range map[string]string{"usual": url, "small": small} {
		m, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: "test", Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		t.Cleanup(m.Close)
		require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
		for name, text := range map[string]string{
			"long":   strings.Repeat("not good. ", 500<<10),
			"runes":  strings.Repeat("é", 5<<19),
			"NUL":    "one\x00two",
			"random": string(noise),
			"dotted": "a.b *>\xc3\x28",
		} {
			letter := &meshv1.DeadLetter{}
			fill(letter, func(string) string { return text }, noise)
			letter.Service, letter.Account, letter.Id, letter.ProductId = topology.Push, "default", "", text+name
			require.NoError(t, m.DeadLetter(t.Context(), letter), server+" "+name)
			open, err := m.OpenLetters(t.Context(), topology.Push, "default", []string{text + name, name})
			require.NoError(t, err)
			require.NotNil(t, open[0], server+" "+name)
			require.Nil(t, open[1], server+" "+name)
			require.NoError(t, m.DeleteLetter(t.Context(), letter))
			open, err = m.OpenLetters(t.Context(), topology.Push, "default", []string{text + name})
			require.NoError(t, err)
			require.Nil(t, open[0], server+" "+name)
		}
		require.NoError(t, m.Ready(t.Context()))
	}
}
