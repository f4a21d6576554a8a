package request

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

// Rules that Check evaluates. A field with another kind of rule would never be refused.
var known = []string{
	"required", "ignore", "string.min_len", "string.max_len", "string.max_bytes", "string.not_in", "string.pattern",
	"repeated.min_items",
	"repeated.max_items",
	"repeated.items", "map.max_pairs", "map.keys", "map.values", "uint32.lte", "enum.in", "duration.gt",
	"duration.gte", "duration.lte",
}

func TestCheck_CoversEveryRuleOfContract(t *testing.T) {
	t.Parallel()
	seen := map[protoreflect.FullName]bool{}
	var visit func(m protoreflect.MessageDescriptor)
	var rules func(path string, m protoreflect.Message)
	rules = func(path string, m protoreflect.Message) {
		m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			name := strings.TrimPrefix(path+"."+string(f.Name()), ".")
			nested := []string{"string", "repeated", "map", "uint32", "enum", "duration"}
			switch {
			case path == "" && slices.Contains(nested, name):
				rules(name, v.Message())
			case slices.Contains([]string{"repeated.items", "map.keys", "map.values"}, name):
				require.Contains(t, known, name)
				rules("", v.Message())
			default:
				require.Contains(t, known, name)
			}
			return true
		})
	}
	visit = func(m protoreflect.MessageDescriptor) {
		if seen[m.FullName()] {
			return
		}
		seen[m.FullName()] = true
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			if r, ok := proto.GetExtension(f.Options(), validate.E_Field).(*validate.FieldRules); ok {
				rules("", r.ProtoReflect())
				if r.GetIgnore() == validate.Ignore_IGNORE_ALWAYS {
					continue
				}
			}
			if f.Message() != nil && !f.IsMap() {
				visit(f.Message())
			}
		}
	}
	methods := controlv1.File_driftless_control_v1_control_proto.Services().Get(0).Methods()
	for i := range methods.Len() {
		visit(methods.Get(i).Input())
	}
	require.Greater(t, len(seen), methods.Len()-3)
}

func TestCheck_RefusesWhatDoesNotMatchAPattern(t *testing.T) {
	t.Parallel()
	entries := []*controlv1.AdoptionEntry{{ProductId: "mug", StripeId: "prod_1"}}
	require.Empty(t, Check(&controlv1.ApplyAdoptionRequest{Batch: "b1", Entries: entries}))
	faults := Check(&controlv1.ApplyAdoptionRequest{Batch: "b.1", Entries: entries})
	require.Len(t, faults, 1)
	require.Equal(t, "must match ^[A-Za-z0-9]*$", faults[0].Message)
}

func TestCheck_BoundsFaults(t *testing.T) {
	t.Parallel()
	ids := make([]string, 1000)
	require.Len(t, Check(&controlv1.SyncProductsRequest{ProductIds: ids}), maxFaults)
	require.Len(t, Check(&controlv1.SyncProductsRequest{ProductIds: make([]string, 100_000)}), 1)
}

func TestCheck_AcceptsValidRequests(t *testing.T) {
	t.Parallel()
	for _, m := range []proto.Message{
		&controlv1.GetStatusRequest{}, &controlv1.PlanRequest{}, &controlv1.ListDriftRequest{Limit: 10_000},
		&controlv1.PauseRequest{},
		&controlv1.ApproveRequest{Duration: &durationpb.Duration{}, Reason: "a sale"},
		&controlv1.ResolveDriftRequest{ProductId: "a b\n", Keep: controlv1.Keep_KEEP_STRIPE},
		&controlv1.DropDeadLettersRequest{
			Selection: &controlv1.DeadLetterSelection{All: true}, Why: strings.Repeat("é", 1000),
		},
		&controlv1.ListHistoryRequest{ProductId: strings.Repeat("x", 1020)},
	} {
		require.Empty(t, Check(m), fmt.Sprint(m))
	}
}

func TestCheck_RefusesDurationsBeyondEveryLimit(t *testing.T) {
	t.Parallel()
	for _, d := range []*durationpb.Duration{
		{Seconds: 1 << 62},
		{Seconds: -1 << 62},
		{Seconds: 1, Nanos: -1},
		{Seconds: 300 * 365 * 86400},
		{},
		{Nanos: -1},
	} {
		require.Len(t, Check(&controlv1.PauseRequest{Duration: d}), 1, d.String())
	}
}
