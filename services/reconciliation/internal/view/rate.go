package view

import (
	"time"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const (
	// rateSpan is the time over which a rate is averaged, and minRateSpan the shortest time that gives one.
	rateSpan    = 20 * time.Second
	minRateSpan = 3 * time.Second
	// maxDisorder is how late a sample may come. If it is older, the clock went back.
	maxDisorder = 5 * time.Second
)

// rates measures how many messages consumers finish. The zero value is ready to use. Not safe for concurrent use.
type rates struct{ samples []rateSample }

// rateSample has what each consumer had finished at a time.
type rateSample struct {
	at       time.Time
	finished map[topology.Consumer]uint64
}

// add takes the state of the consumers into account. Samples within half a second add nothing.
func (r *rates) add(now time.Time, consumers []mesh.ConsumerStatus) {
	if n := len(r.samples); n > 0 {
		last := r.samples[n-1].at
		switch {
		case last.Sub(now) > maxDisorder:
			r.samples = nil
		case now.Before(last):
			return
		case now.Sub(last) < 500*time.Millisecond:
			return
		}
	}
	sample := rateSample{now, map[topology.Consumer]uint64{}}
	for _, c := range consumers {
		// Deliveries include redeliveries. What is in flight is not finished.
		sample.finished[c.Consumer] = c.Delivered - min(c.InFlight, c.Delivered)
	}
	r.samples = append(r.samples, sample)
	for len(r.samples) > 2 && now.Sub(r.samples[1].at) >= rateSpan {
		r.samples = r.samples[1:]
	}
}

// perSecond returns how many messages the consumers finish per second, all together. ok is false if that is not known.
func (r *rates) perSecond(consumers ...topology.Consumer) (rate float64, ok bool) {
	if len(r.samples) < 2 {
		return 0, false
	}
	first, last := r.samples[0], r.samples[len(r.samples)-1]
	elapsed := last.at.Sub(first.at)
	if elapsed < minRateSpan {
		return 0, false
	}
	var done uint64
	for _, c := range consumers {
		if last.finished[c] < first.finished[c] {
			// More is in flight than before, or the consumer was created again.
			continue
		}
		done += last.finished[c] - first.finished[c]
	}
	return float64(done) / elapsed.Seconds(), true
}

// PerSecond returns how many messages consumers finish per second, all together. ok is false if that is not known yet.
func (r *Reader) PerSecond(consumers ...topology.Consumer) (rate float64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rates.perSecond(consumers...)
}
