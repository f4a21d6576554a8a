package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// busyStatus is the status of a shop during a backfill, with a push that runs another version.
func busyStatus() *controlv1.GetStatusResponse {
	at := time.Now()
	ago := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(at.Add(-d)) }
	return &controlv1.GetStatusResponse{
		Account:            "shop",
		InSync:             39_988,
		Pending:            12,
		Equality:           &controlv1.Equality{AsOf: ago(0), At: ago(0)},
		OldestDifferenceAt: ago(4 * time.Minute),
		Services: []*controlv1.ServiceStatus{
			{
				Service:  "push",
				Running:  1,
				Versions: []string{"0.9.0"},
				Doing:    "syncs 12 products; 23.1 calls/s",
				Processes: []*controlv1.ProcessStatus{{
					State: "running",
					Process: &meshv1.Process{
						Service:   "push",
						Host:      "node-1",
						Version:   "0.9.0",
						StartedAt: ago(3 * time.Hour),
						At:        ago(0),
						Doing:     "syncs 12 products",
						Working:   12,
						Work: []*meshv1.ProductWork{
							{ProductId: "cup", Lane: "bulk", Took: durationpb.New(300 * time.Millisecond)},
							{ProductId: "mug", Lane: "live", Took: durationpb.New(4200 * time.Millisecond)},
						},
						Rates: map[string]float64{"calls": 23.1, "products": 11.5},
					},
				}},
			},
			{
				Service: "pull",
				Problem: "does not run: last heard of 34 s ago on node-2, it did not stop in an orderly way",
			},
		},
		Flow: []*controlv1.FlowStatus{
			{
				Name: "bulk", Waiting: proto.Uint64(2310), OldestAt: ago(31 * time.Second),
				PerSecond: proto.Float64(23.12),
				Left:      durationpb.New(100 * time.Second),
			},
			{Name: "retries", Waiting: proto.Uint64(1), NextAt: ago(-298 * time.Second)},
			{Name: "capture"},
		},
		Problems: []*controlv1.Notice{{
			Kind: "service",
			Text: "pull does not run: last heard of 34 s ago on node-2, it did not stop in an orderly way",
		}},
		Notes: []*controlv1.Notice{{
			Kind: "version",
			Text: "the services run different versions: push 0.9.0, reconciliation 0.9.1",
		}},
	}
}

func TestPrintStatus_OneScreen(t *testing.T) {
	var out strings.Builder
	printStatus(&out, busyStatus())
	for _, line := range []string{
		", the oldest for 4m0s; 39,988 of 40,000 are equal.\n",
		"DOWN: pull does not run: last heard of 34 s ago on node-2, it did not stop in an orderly way\n",
		"NOTE: the services run different versions: push 0.9.0, reconciliation 0.9.1\n",
		"40,000    39,988   12 ",
		"push     1        0.9.0    syncs 12 products; 23.1 calls/s\n",
		"pull     0        -        !! does not run: last heard of 34 s ago on node-2,",
		"bulk changes  2,310    31s     23.1/s  1m40s\n",
		"retries       1        -       -       next in 4m58s\n",
		"capture       -        -       -       -\n",
	} {
		require.Contains(t, out.String(), line)
	}
}

func TestStatus_CheckExitCodes(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*controlv1.GetStatusResponse)
		code int
		line string
	}{
		"changes on their way are fine": {
			edit: func(*controlv1.GetStatusResponse) {},
			line: "ok: 12 products differ as of ",
		},
		"a note is fine": {
			edit: func(s *controlv1.GetStatusResponse) { s.Notes = busyStatus().GetNotes() },
			line: "ok: ",
		},
		"unknown": {
			edit: func(s *controlv1.GetStatusResponse) { s.Equality.Unknown = "capture is 21 s behind" },
			code: 2,
			line: "degraded: unknown: capture is 21 s behind\n",
		},
		"a service is down": {
			edit: func(s *controlv1.GetStatusResponse) { s.Problems = busyStatus().GetProblems() },
			code: 2,
			line: "degraded: pull does not run: ",
		},
		"nobody said which services run": {
			edit: func(s *controlv1.GetStatusResponse) { s.Services = nil },
			code: 2,
			line: "degraded: reconciliation does not say which services run: its version is too old\n",
		},
		"an earlier reconciliation reports no problems": {
			edit: func(s *controlv1.GetStatusResponse) { s.Dead = 1 },
			code: 2,
			line: "degraded: 13 products differ as of ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			answer := busyStatus()
			answer.Problems, answer.Notes = nil, nil
			c.edit(answer)
			url := (&stub{status: func() (*controlv1.GetStatusResponse, error) { return answer, nil }}).serve(t)
			out, code := outputOf(t, "status", "--check", "--control", url)
			require.Equal(t, c.code, code)
			require.True(t, strings.HasPrefix(out, c.line), out)
			require.Equal(t, 1, strings.Count(out, "\n"), "one line: %s", out)
			_, code = outputOf(t, "status", "--check", "-o", "json", "--control", url)
			require.Equal(t, c.code, code)
		})
	}
	out, code := outputOf(t, "status", "--check", "--control", "http://127.0.0.1:1")
	require.Equal(t, 2, code)
	require.True(t, strings.HasPrefix(out, "unknown: "), out)
}

func TestTop_ShowsWork(t *testing.T) {
	due := timestamppb.New(time.Now().Add(time.Minute))
	url := (&stub{
		status: func() (*controlv1.GetStatusResponse, error) { return busyStatus(), nil },
		retries: func() (*controlv1.ListRetriesResponse, error) {
			return &controlv1.ListRetriesResponse{
				At: timestamppb.New(due.AsTime().Add(-298 * time.Second)),
				Retries: []*meshv1.Retry{
					{ProductId: "held"},
					{ProductId: "pot", Attempts: 10, DueAt: due, Error: "Stripe: 500 [req_1]"},
				},
			}, nil
		},
	}).serve(t)
	out, code := outputOf(t, "top", "--control", url)
	require.Equal(t, 2, code)
	for _, line := range []string{
		"push     node-1  0.9.0    3h0m0s  11.5/s    23.1/s  syncs 12 products\n",
		"pull     -       -        -       -         -       !! does not run: ",
		"mug       live  4.2s  node-1\ncup       bulk  0.3s  node-1\nand 10 others\n",
		"pot      10      in 4m58s  Stripe: 500 [req_1]\n",
	} {
		require.Contains(t, out, line)
	}
	require.NotContains(t, out, "held ")
}

func TestRetries_ExitCodes(t *testing.T) {
	list := &controlv1.ListRetriesResponse{At: timestamppb.Now()}
	url := (&stub{retries: func() (*controlv1.ListRetriesResponse, error) { return list, nil }}).serve(t)
	out, code := outputOf(t, "retries", "--control", url)
	require.Zero(t, code)
	require.Equal(t, "No product waits for another attempt.\n", out)

	list.Retries = []*meshv1.Retry{{
		ProductId: "mug",
		Attempts:  10,
		Lane:      "live",
		DueAt:     timestamppb.New(list.GetAt().AsTime().Add(298 * time.Second)),
		Error:     "Stripe: An unknown error occurred [req_1]",
	}}
	out, code = outputOf(t, "retries", "--control", url)
	require.Equal(t, 2, code)
	require.Contains(t, out, "mug      10      in 4m58s  live  Stripe: An unknown error occurred [req_1]\n")
	require.Contains(t, out, "1 product waits for its next attempt.")
	_, code = outputOf(t, "retries", "cup", "--control", url)
	require.Zero(t, code, "another product does not wait")

	list.Retries, list.Due = nil, 3
	out, code = outputOf(t, "retries", "--control", url)
	require.Equal(t, 2, code)
	require.Equal(t, "3 attempts are due and wait for push.\n", out)
}
