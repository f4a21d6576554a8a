package pull

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// maxRateSamples is the number of reports over which the rate is computed.
const maxRateSamples = 10

// scanRate computes a scan's rate and remaining time.
type scanRate struct {
	phase   meshv1.ScanPhase
	samples []rateSample
}

type rateSample struct {
	at   time.Time
	done uint64
}

// report sets the rate and the remaining time of a report.
func (s *scanRate) report(r *meshv1.ScanReport) {
	done, all := r.GetProducts()+r.GetPrices(), r.GetExpected()
	if r.GetPhase() != meshv1.ScanPhase_SCAN_PHASE_LISTING {
		done, all = r.GetCompared(), r.GetEntries()
	}
	now := r.GetAt().AsTime()
	if s.phase != r.GetPhase() {
		s.phase, s.samples = r.GetPhase(), nil
	}
	s.samples = append(s.samples, rateSample{now, done})
	s.samples = s.samples[max(0, len(s.samples)-maxRateSamples):]
	first := s.samples[0]
	r.PerSecond, r.Remaining = 0, nil
	if took := now.Sub(first.at).Seconds(); took > 0 && done > first.done {
		r.PerSecond = float64(done-first.done) / took
		if all > done {
			r.Remaining = durationpb.New(
				time.Duration(float64(all-done) / r.GetPerSecond() * float64(time.Second)).Round(time.Second))
		}
	}
}
