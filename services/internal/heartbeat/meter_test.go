package heartbeat

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMeter_AveragesOverItsSpan(t *testing.T) {
	t.Parallel()
	m, at := &meter{}, time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	require.Zero(t, m.add(at, 40), "one total is no rate")
	require.InDelta(t, 5, m.add(at.Add(2*time.Second), 50), 0.001)
	for s := 4; s <= 30; s += 2 {
		require.LessOrEqual(t, len(m.points), 8)
		m.add(at.Add(time.Duration(s)*time.Second), 50)
	}
	require.Zero(t, m.add(at.Add(32*time.Second), 50), "nothing happened lately")
	require.Zero(t, m.add(at.Add(34*time.Second), 3), "a total that falls was reset")
}
