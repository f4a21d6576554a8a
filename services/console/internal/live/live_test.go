package live

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
)

const patience = 10 * time.Second

// visitor is the API with the rights of a visitor. It counts calls.
type visitor struct {
	controlv1connect.ControlServiceClient

	status, activity atomic.Int64
	// wait is closed when GetStatus may answer.
	wait chan struct{}
	err  error
}

func (v *visitor) GetStatus(ctx context.Context, _ *connect.Request[controlv1.GetStatusRequest],
) (*connect.Response[controlv1.GetStatusResponse], error) {
	v.status.Add(1)
	select {
	case <-v.wait:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return connect.NewResponse(&controlv1.GetStatusResponse{}), v.err
}

func (v *visitor) ListActivity(ctx context.Context, r *connect.Request[controlv1.ListActivityRequest],
) (*connect.Response[controlv1.ListActivityResponse], error) {
	v.activity.Add(1)
	if v.err == nil && r.Msg.GetWait() != nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return connect.NewResponse(&controlv1.ListActivityResponse{LastId: 7}), v.err
}

func newHub(t *testing.T) *Hub {
	t.Helper()
	return New(t.Context(), slog.New(slog.DiscardHandler))
}

func requireEvent(t *testing.T, events Events, want string) {
	t.Helper()
	of := events.Status
	if want == Activity {
		of = events.Activity
	}
	select {
	case <-of:
	case <-time.After(patience):
		require.Failf(t, "no event", "the page was not told %s", want)
	}
}

// Two tellings of the status are one event, and push out none about the history.
func TestPage_HasAPlaceForEachKindOfEvent(t *testing.T) {
	t.Parallel()
	p := newPage(nil, 0)
	for _, event := range []string{Status, Status, Activity, Activity, Status} {
		p.tell(event)
	}
	require.Len(t, p.status, 1)
	require.Len(t, p.activity, 1)
}

func TestHub_TwentyVisitorsCostAsMuchAsOne(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	wait := make(chan struct{})
	var visitors []*visitor
	var pages []Events
	for range 20 {
		v := &visitor{wait: wait}
		events, end, err := h.Subscribe(v)
		require.NoError(t, err)
		t.Cleanup(end)
		visitors, pages = append(visitors, v), append(pages, events)
	}
	close(wait)
	for _, events := range pages {
		requireEvent(t, events, Status)
	}
	var status, activity int64
	for _, v := range visitors {
		status += v.status.Load()
		activity += v.activity.Load()
	}
	require.LessOrEqual(t, status, int64(3), "one reading after they became live tells all")
	require.LessOrEqual(t, activity, int64(2), "the latest entry, and a call that waits for the next")
}

func TestHub_GoesOnWithAnotherVisitorsRights(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	wait := make(chan struct{})
	withdrawn := &visitor{wait: wait, err: connect.NewError(connect.CodeUnauthenticated, errors.New("withdrawn"))}
	accepted := &visitor{wait: wait}
	_, endFirst, err := h.Subscribe(withdrawn)
	require.NoError(t, err)
	t.Cleanup(endFirst)
	events, endSecond, err := h.Subscribe(accepted)
	require.NoError(t, err)
	t.Cleanup(endSecond)
	close(wait)
	requireEvent(t, events, Activity)
	require.Eventually(t, func() bool { return accepted.status.Load() > 0 }, patience, time.Millisecond)
	require.LessOrEqual(t, withdrawn.status.Load(), int64(1), "nobody asks again with a token that is not accepted")
}

func TestHub_WatchesOnlyWhileAPageIsLive(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	v := &visitor{wait: make(chan struct{})}
	_, end, err := h.Subscribe(v)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return v.status.Load() == 1 }, patience, time.Millisecond)
	end()
	end()
	require.Nil(t, h.stop)
	close(v.wait)
	events, end, err := h.Subscribe(v)
	require.NoError(t, err)
	t.Cleanup(end)
	requireEvent(t, events, Status)
}

func TestFingerprint_IgnoresTimesAndRatesThatMoveOn(t *testing.T) {
	t.Parallel()
	at := timestamppb.New(time.Unix(1000, 0))
	status := func(edit func(*controlv1.GetStatusResponse)) *controlv1.GetStatusResponse {
		s := &controlv1.GetStatusResponse{
			InSync: 7, Equality: &controlv1.Equality{At: at},
			StripeRate:    &controlv1.StripeRate{AsOf: at, Live: new(float64)},
			ReadAllowance: &controlv1.ReadAllowance{Used: 10},
		}
		edit(s)
		return s
	}
	same := fingerprint(status(func(*controlv1.GetStatusResponse) {}))
	require.Equal(t, same, fingerprint(status(func(s *controlv1.GetStatusResponse) {
		later, rate := timestamppb.New(time.Unix(2000, 0)), 0.04
		s.Equality.At, s.StripeRate.AsOf, s.StripeRate.Live = later, later, &rate
	})))
	for name, edit := range map[string]func(*controlv1.GetStatusResponse){
		"products": func(s *controlv1.GetStatusResponse) { s.InSync = 8 },
		"rate":     func(s *controlv1.GetStatusResponse) { *s.StripeRate.Live = 0.2 },
		"limit":    func(s *controlv1.GetStatusResponse) { s.StripeRate.PerSecond = new(float64) },
		"unknown":  func(s *controlv1.GetStatusResponse) { s.StripeRate.Unknown = "push does not run" },
		"reads":    func(s *controlv1.GetStatusResponse) { s.ReadAllowance.Used = 11 },
	} {
		require.NotEqual(t, same, fingerprint(status(edit)), name)
	}
}

// A page that has read the status since the last failure must not go on showing it.
func TestHub_TellsAgainWhileNothingCanBeRead(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	v := &visitor{wait: make(chan struct{}), err: connect.NewError(connect.CodeUnavailable, errors.New("away"))}
	close(v.wait)
	events, end, err := h.Subscribe(v)
	require.NoError(t, err)
	t.Cleanup(end)
	for range 2 {
		requireEvent(t, events, Status)
	}
	requireEvent(t, events, Activity)
}
