package pull

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// paceOver is over how many of the last reports the rate is taken.
const paceOver = 10

// pace tells how fast a scan goes and how long it may take yet.
type pace struct {
	phase meshv1.ScanPhase
	marks []mark
}

type mark struct {
	at   time.Time
	done uint64
}

// report sets the rate and the rest of the time, from what was done since some reports ago.
func (p *pace) report(r *meshv1.ScanReport) {
	done, all := r.GetProducts()+r.GetPrices(), r.GetExpected()
	if r.GetPhase() != meshv1.ScanPhase_SCAN_PHASE_LISTING {
		done, all = r.GetCompared(), r.GetEntries()
	}
	now := r.GetAt().AsTime()
	if p.phase != r.GetPhase() {
		p.phase, p.marks = r.GetPhase(), nil
	}
	p.marks = append(p.marks, mark{now, done})
	p.marks = p.marks[max(0, len(p.marks)-paceOver):]
	first := p.marks[0]
	r.PerSecond, r.Remaining = 0, nil
	if took := now.Sub(first.at).Seconds(); took > 0 && done > first.done {
		r.PerSecond = float64(done-first.done) / took
		if all > done {
			r.Remaining = durationpb.New(
				time.Duration(float64(all-done) / r.GetPerSecond() * float64(time.Second)).Round(time.Second))
		}
	}
}
