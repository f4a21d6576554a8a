package view

import (
	"time"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// rateWindow is the time over which rates are measured.
const rateWindow = 30 * time.Second

// rates measures how many messages push's lanes get a second.
type rates struct{ samples []rateSample }

type rateSample struct {
	at        time.Time
	delivered map[topology.Consumer]uint64
}

// add takes a reading of the consumers.
func (r *rates) add(now time.Time, all []mesh.ConsumerStatus) {
	sample := rateSample{at: now, delivered: map[topology.Consumer]uint64{}}
	for _, c := range pushConsumers {
		sample.delivered[c] = statusOf(all, c).Delivered
	}
	r.samples = append(r.samples, sample)
	for len(r.samples) > 2 && now.Sub(r.samples[0].at) > rateWindow {
		r.samples = r.samples[1:]
	}
}

// perSecond returns the recent rate of a consumer, 0 if it is not known.
func (r *rates) perSecond(c topology.Consumer) float64 {
	if len(r.samples) < 2 {
		return 0
	}
	first, last := r.samples[0], r.samples[len(r.samples)-1]
	seconds := last.at.Sub(first.at).Seconds()
	if seconds <= 0 || last.delivered[c] < first.delivered[c] {
		return 0
	}
	return float64(last.delivered[c]-first.delivered[c]) / seconds
}

// Rate returns how many messages of a lane push has got a second lately, 0 if that is not known.
func (r *Reader) Rate(lane topology.Lane) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if lane == topology.Bulk {
		return r.rates.perSecond(topology.PushBulk)
	}
	return r.rates.perSecond(topology.PushLive)
}

// Last returns the latest view that could be read, whatever its age. It is nil if there never was one.
func (r *Reader) Last() *View {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lastView
}
