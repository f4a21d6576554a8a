package mesh_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// NATS and Postgres can store every letter, whatever its content.
func FuzzFitLetter(f *testing.F) {
	for _, text := range []string{"", "mug", "\xff\xfe", "a\x00b", "漢", strings.Repeat("é", 5000)} {
		f.Add(text, text, uint16(1), uint32(0), uint32(1<<20))
		f.Add(text, "p", uint16(300), uint32(600<<10), uint32(4<<10))
	}
	f.Fuzz(func(t *testing.T, text, id string, times uint16, payload, most uint32) {
		if len(text)*int(times) > 4<<20 {
			return
		}
		limit := max(int(most%(2<<20)), 4<<10)
		letter := &meshv1.DeadLetter{}
		fill(letter, func(string) string { return strings.Repeat(text, int(times)) }, make([]byte, payload%(2<<20)))
		letter.ProductId = id
		mesh.FitLetter(letter, limit)
		data, err := proto.Marshal(letter)
		if err != nil || len(data) > limit {
			t.Fatalf("%d bytes of %d: %v", len(data), limit, err)
		}
		letter.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			if field.Kind() == protoreflect.StringKind &&
				(!utf8.ValidString(v.String()) || strings.ContainsRune(v.String(), 0)) {
				t.Fatalf("%s is %q", field.Name(), v.String())
			}
			return true
		})
		again := proto.CloneOf(letter)
		mesh.FitLetter(again, limit)
		if !proto.Equal(letter, again) {
			t.Fatal("what fits is changed")
		}
		if topology.DeadSubject(topology.Push, "default", id) != topology.DeadSubject(topology.Push, "default",
			letter.GetProductId()) {
			t.Fatalf("%q is stored elsewhere than it is looked for", id)
		}
	})
}
