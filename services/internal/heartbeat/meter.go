package heartbeat

import "time"

// meterSpan is the time over which a rate is averaged.
const meterSpan = 10 * time.Second

// meter turns a total that grows into a rate. The zero value is ready to use. Not safe for concurrent use.
type meter struct{ points []point }

type point struct {
	at    time.Time
	total uint64
}

// add notes the total at a time, and returns its growth per second since about meterSpan before. It returns 0 for the
// first total.
func (m *meter) add(now time.Time, total uint64) float64 {
	m.points = append(m.points, point{now, total})
	// The oldest point is the last one that is at least meterSpan old.
	for len(m.points) > 2 && now.Sub(m.points[1].at) >= meterSpan {
		m.points = m.points[1:]
	}
	first := m.points[0]
	elapsed := now.Sub(first.at).Seconds()
	if elapsed <= 0 || total < first.total {
		return 0
	}
	return float64(total-first.total) / elapsed
}
