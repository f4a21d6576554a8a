package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

func activityEntry(id uint64, product string) *controlv1.ActivityEntry {
	return &controlv1.ActivityEntry{
		Id:        id,
		ProductId: product,
		Entry:     &controlv1.HistoryEntry{Kind: "dead", Detail: "no", At: timestamppb.Now()},
	}
}

// An entry may be committed after one with a higher id. Each is printed once, in whatever order they come.
func TestTail_PrintsLateEntriesOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answers := [][]*controlv1.ActivityEntry{
		{activityEntry(8, "a"), activityEntry(9, "b")}, // the latest two
		{activityEntry(8, "a"), activityEntry(9, "b"), activityEntry(12, "d")},
		nil, // the API is away
		{activityEntry(8, "a"), activityEntry(9, "b"), activityEntry(11, "late"), activityEntry(12, "d")},
	}
	var requests []*controlv1.ListActivityRequest
	url := (&stub{activity: func(r *controlv1.ListActivityRequest) (*controlv1.ListActivityResponse, error) {
		requests = append(requests, r)
		if len(answers) == 0 {
			cancel()
			return &controlv1.ListActivityResponse{}, nil
		}
		next := answers[0]
		answers = answers[1:]
		if next == nil {
			return nil, connect.NewError(connect.CodeUnavailable, errors.New("away"))
		}
		return &controlv1.ListActivityResponse{Entries: next}, nil
	}}).serve(t)

	file, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	require.NoError(t, err)
	defer file.Close()
	was := stdout
	stdout = file
	defer func() { stdout = was }()
	client := controlv1connect.NewControlServiceClient(target{url: url}.client(), url)
	tail := &tail{client: client, failed: true}
	require.NoError(t, tail.begin(ctx, 2))
	require.NoError(t, tail.follow(ctx))

	printed, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	for _, product := range []string{"a", "b", "d", "late"} {
		require.Equal(t, 1, strings.Count(string(printed), "  "+product+"  DEAD  no\n"), "%s: %s", product, printed)
	}
	require.EqualValues(t, 2, requests[0].GetLatest())
	require.EqualValues(t, 7, requests[1].GetAfter(), "what came before is not read")
	require.True(t, requests[1].GetFailed())
}

func TestSeenEntries(t *testing.T) {
	t.Parallel()
	at := time.Now()
	s := &seenEntries{base: 4}
	require.False(t, s.add(4, at), "it was before the first")
	require.True(t, s.add(7, at))
	require.False(t, s.add(7, at))
	require.EqualValues(t, 4, s.after(at), "5 and 6 may still come")
	require.True(t, s.add(5, at.Add(time.Second)))
	later := at.Add(lateEntryTime + time.Millisecond)
	require.EqualValues(t, 7, s.after(later))
	require.False(t, s.add(6, later), "nothing comes so late")
	require.EqualValues(t, 7, s.after(later.Add(time.Hour)))
	require.EqualValues(t, 7, s.last())
	require.Empty(t, s.ids)
}

func TestActivityLine(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]*controlv1.HistoryEntry{
		`catalog change  name: "A" -> "B"`: {
			Kind:    "catalog_change",
			Changes: []*controlv1.FieldChange{{Field: "name", Old: "A", New: "B"}},
			Detail:  "wal; upsert",
		},
		"applied  2 calls":                  {Kind: "applied", Steps: []*meshv1.AppliedStep{{}, {}}},
		"Stripe event by api key  x":        {Kind: "stripe_event", CausedBy: "api_key", Detail: "x"},
		"ADOPTION REFUSED by ann  prod_1":   {Kind: "adoption_refused", Actor: "ann", Reason: "x", Detail: "prod_1"},
		"ordered  sync, by ann: x":          {Kind: "ordered", Actor: "ann", Reason: "x", Detail: "sync, by ann: x"},
		"DEAD  refused_by_stripe: too long": {Kind: "dead", Detail: "refused_by_stripe: too long"},
		`catalog change  a: "" -> ""; b: "" -> ""; c: "" -> ""; d: "" -> ""; and 1 more`: {
			Kind:    "catalog_change",
			Changes: []*controlv1.FieldChange{{Field: "a"}, {Field: "b"}, {Field: "c"}, {Field: "d"}, {Field: "e"}},
		},
	} {
		e.At = timestamppb.Now()
		line := string(activityLine(&controlv1.ActivityEntry{ProductId: "mug", Entry: e}))
		require.True(t, strings.HasSuffix(line, "  mug  "+want), line)
	}
}
