package live

import (
	"context"
	"errors"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

// kept returns a hub with a reading that it asked for some time ago.
func kept(t *testing.T, age time.Duration) (*Hub, *reading) {
	t.Helper()
	h := newHub(t)
	h.clock.begun = time.Now().Add(-time.Hour)
	asked := h.clock.now() - age
	r := &reading{status: &controlv1.GetStatusResponse{InSync: 7}, asked: asked, since: asked - statusAge}
	h.keep(t.Context(), r)
	return h, r
}

func TestHub_SharesAReadingOnlyIfItIsLateEnough(t *testing.T) {
	t.Parallel()
	h, r := kept(t, 0)
	told := h.Told()
	status, mark := h.Status(told, told)
	require.Same(t, r.status, status)
	require.Equal(t, told, mark, "the page shows what was told")
	earlier := h.clock.mark(r.since - 1)
	status, _ = h.Status(earlier, told)
	require.NotNil(t, status)

	for name, marks := range map[string][]string{
		"no mark":                        nil,
		"an empty mark":                  {"", told},
		"a page that was read meanwhile": {h.clock.mark(r.since + 1), told},
		"told about a later one":         {told, h.clock.mark(r.since + 1)},
		"now":                            {h.Mark()},
		"another process":                {told, newClock().mark(0)},
		"no moment":                      {told, h.clock.process},
		"not a number":                   {told, h.clock.process + ".soon"},
	} {
		status, mark := h.Status(marks...)
		require.Nil(t, status, name)
		require.Empty(t, mark, name)
	}
}

func TestHub_SharesNoReadingThatIsOld(t *testing.T) {
	t.Parallel()
	h, _ := kept(t, maxShared+time.Millisecond)
	status, _ := h.Status(h.Told())
	require.Nil(t, status)
}

func TestHub_ForgetsAReadingThatIsNoLongerWatched(t *testing.T) {
	t.Parallel()
	h, _ := kept(t, 0)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	h.keep(ended, nil)
	require.NotEmpty(t, h.Told(), "an earlier watch has no say")
	h.keep(t.Context(), nil)
	require.Empty(t, h.Told(), "the latest reading has failed")

	v := &visitor{wait: make(chan struct{})}
	close(v.wait)
	events, end, err := h.Subscribe(v)
	require.NoError(t, err)
	requireEvent(t, events, Status)
	require.NotEmpty(t, h.Told(), "a page that was told can have the reading")
	end()
	require.Empty(t, h.Told())
}

func TestHub_SharesNothingWhileNothingCanBeRead(t *testing.T) {
	t.Parallel()
	h, _ := kept(t, 0)
	v := &visitor{wait: make(chan struct{}), err: connect.NewError(connect.CodeUnavailable, errors.New("away"))}
	close(v.wait)
	events, end, err := h.Subscribe(v)
	require.NoError(t, err)
	t.Cleanup(end)
	requireEvent(t, events, Status)
	require.Empty(t, h.Told())
}

// A page that has become live may have missed a change. It is told about a reading that it can share, and once.
func TestHub_TellsANewPageAboutALaterReading(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	p := newPage(nil, h.clock.now())
	h.pages = append(h.pages, p)
	for _, since := range []time.Duration{p.begun - 1, p.begun} {
		require.Empty(t, p.status)
		h.keep(t.Context(), &reading{since: since})
	}
	require.Len(t, p.status, 1)
	<-p.status
	h.keep(t.Context(), nil)
	h.keep(t.Context(), &reading{since: p.begun + 1})
	require.Empty(t, p.status)
}
