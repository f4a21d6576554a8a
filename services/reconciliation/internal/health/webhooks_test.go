package health_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestJudge_NotesMissingWebhooks(t *testing.T) {
	t.Parallel()
	pull := func(events uint64, polledSince, webhook time.Duration) *meshv1.Process {
		p := process(topology.Pull, "c", time.Second)
		if events > 0 {
			p.OnlyPolled, p.OnlyPolledSince = events, timestamppb.New(now.Add(-polledSince))
		}
		if webhook > 0 {
			p.LastWebhookAt = timestamppb.New(now.Add(-webhook))
		}
		return p
	}
	const missing = "webhooks: no webhook has arrived for 3m0s, and polls detected 4 events meanwhile: changes in " +
		"Stripe are seen late"
	for name, c := range map[string]struct {
		pulls []*meshv1.Process
		want  []string
	}{
		"all arrive":                 {pulls: []*meshv1.Process{pull(0, 0, time.Minute)}},
		"a few events prove nothing": {pulls: []*meshv1.Process{pull(3, 3*time.Minute, time.Hour)}},
		"none since an hour": {
			pulls: []*meshv1.Process{pull(4, 3*time.Minute, time.Hour)},
			want:  []string{missing},
		},
		"none ever":                 {pulls: []*meshv1.Process{pull(4, 3*time.Minute, 0)}, want: []string{missing}},
		"another process gets them": {pulls: []*meshv1.Process{pull(9, 3*time.Minute, 0), pull(0, 0, time.Minute)}},
		"two processes have polled": {
			pulls: []*meshv1.Process{pull(2, 3*time.Minute, 0), pull(2, time.Minute, 0)},
			want:  []string{missing},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			processes := mesh()
			processes = append(append(processes[:2:2], processes[3]), c.pulls...)
			s := judged(processes, nil)
			require.Empty(t, s.GetProblems(), "polls see everything")
			require.Equal(t, c.want, texts(s.GetNotes()))
		})
	}
}
