package ingestion

import (
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/stretchr/testify/require"
)

func TestHorizon_ReturnsLastCapturedMoment(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	h := &horizon{}
	require.Zero(t, h.advance(1000), "there is no moment yet")
	h.addMoment(at(0), 100)
	require.Zero(t, h.advance(99))
	require.Equal(t, at(0), h.advance(100))
	h.addMoment(at(1), 100)
	require.Equal(t, at(1), h.advance(100), "an idle log is captured")
	h.addMoment(at(2), 150)
	h.addMoment(at(3), 200)
	require.Equal(t, at(1), h.advance(140), "a commit below 150 may be missing")
	require.Equal(t, at(3), h.advance(300))
	h.addMoment(at(4), 400)
	h.reset()
	require.Equal(t, at(3), h.advance(500), "earlier moments do not count after a reset")
}

func TestHorizon_KeepsOldestMomentInBoundedMemory(t *testing.T) {
	t.Parallel()
	h := &horizon{}
	start := time.Unix(0, 0)
	for i := range 20 * maxMoments {
		h.addMoment(start.Add(time.Duration(i)*time.Second), pglogrepl.LSN(100+i))
	}
	require.LessOrEqual(t, len(h.moments), maxMoments+1)
	require.Equal(t, start, h.advance(100))
	require.Equal(t, start.Add((20*maxMoments-1)*time.Second), h.advance(1<<40))
}

func TestEndOfLog_IgnoresHeaderOfNextPage(t *testing.T) {
	t.Parallel()
	require.EqualValues(t, 0x2000, endOfLog(0x2000+24))
	require.EqualValues(t, 0x1000000, endOfLog(0x1000000+40))
	require.EqualValues(t, 0x2000+48, endOfLog(0x2000+48))
}
