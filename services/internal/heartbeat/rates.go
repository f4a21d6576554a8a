package heartbeat

import "time"

// Rates turns totals with names into rates per second, averaged over the last seconds. The zero value is ready to use.
// Not safe for concurrent use.
type Rates struct{ meters map[string]*meter }

// Add notes the totals at a time, and returns the growth of each. A name that is new counts from there.
func (r *Rates) Add(now time.Time, totals map[string]uint64) map[string]float64 {
	if r.meters == nil {
		r.meters = map[string]*meter{}
	}
	out := make(map[string]float64, len(totals))
	for name, total := range totals {
		if r.meters[name] == nil {
			r.meters[name] = &meter{}
		}
		out[name] = r.meters[name].add(now, total)
	}
	return out
}
