package ingestion

import (
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
)

func TestLag_AgeIsThatOfOldestUnconfirmedLog(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	l := &lag{}
	saw := func(seconds int, end, confirmed pglogrepl.LSN) {
		l.update(at(seconds), wal.Lag{End: end, Confirmed: confirmed})
	}

	saw(0, 100, 100)
	require.Zero(t, l.age(at(3)), "nothing waits")
	saw(5, 120, 100)
	saw(10, 140, 100)
	require.Equal(t, 10*time.Second, l.age(at(15)))
	saw(15, 160, 120)
	require.Equal(t, 10*time.Second, l.age(at(20)), "the log of 10 s is the oldest unconfirmed one")
	saw(20, 160, 160)
	require.Zero(t, l.age(at(60)))

	for i := range 10 * maxSamples {
		saw(100+i, pglogrepl.LSN(1000+i), 160)
	}
	require.LessOrEqual(t, len(l.samples), maxSamples)
	require.Equal(t, 10*maxSamples*time.Second, l.age(at(100+10*maxSamples)),
		"a capture that stands still keeps its beginning")
}
