package budget

import (
	"cmp"
	"maps"
	"slices"
	"time"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/heartbeat"
)

// String returns the name of the lane.
func (l Lane) String() string {
	if l == Bulk {
		return "bulk"
	}
	return "live"
}

// made counts the calls of this process since its start. The caller holds the budget's lock.
type made struct{ lanes, endpoints map[string]uint64 }

func (m *made) add(c call) {
	if m.lanes == nil {
		m.lanes, m.endpoints = map[string]uint64{Live.String(): 0, Bulk.String(): 0}, map[string]uint64{}
	}
	m.lanes[c.lane.String()]++
	m.endpoints[c.endpoint]++
}

// maxEndpoints is how many endpoints a record names, and minRate the lowest rate per second that is named.
const (
	maxEndpoints = 5
	minRate      = 0.05
)

// Describer returns a function that adds the limits and the calls per second to the record of this process. Call it at
// every record.
func (b *Budget) Describer() func(*meshv1.Process) {
	var lanes, endpoints heartbeat.Rates
	return func(p *meshv1.Process) {
		b.mu.Lock()
		byLane, byEndpoint := maps.Clone(b.made.lanes), maps.Clone(b.made.endpoints)
		b.mu.Unlock()
		if byLane == nil {
			byLane = map[string]uint64{Live.String(): 0, Bulk.String(): 0}
		}
		now := time.Now()
		p.StripeCalls = &meshv1.StripeCalls{
			PerSecond:     b.limits.PerSecond,
			PerEndpoint:   b.limits.PerEndpoint,
			ReadAllowance: b.limits.ReadAllowance,
			Lanes:         lanes.Add(now, byLane),
			Endpoints:     busiest(endpoints.Add(now, byEndpoint)),
		}
	}
}

// busiest returns the endpoints with the highest rates.
func busiest(rates map[string]float64) map[string]float64 {
	names := slices.SortedFunc(maps.Keys(rates), func(a, b string) int {
		return cmp.Or(cmp.Compare(rates[b], rates[a]), cmp.Compare(a, b))
	})
	out := map[string]float64{}
	for _, name := range names[:min(len(names), maxEndpoints)] {
		if rates[name] >= minRate {
			out[name] = rates[name]
		}
	}
	return out
}
