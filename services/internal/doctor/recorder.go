package doctor

import (
	"fmt"
	"slices"
	"sync"
)

// Recorder takes the results of a probe. Safe for concurrent use. It ignores everything about checks that the probe
// does not make.
type Recorder struct {
	covers []string

	mu       sync.Mutex
	closed   bool
	findings []fault
	// notLooked has the reasons by check, and saw what was seen.
	notLooked, saw map[string]string
	// settled are the checks that only have reasons that another look does not change.
	settled map[string]bool
}

// fault is a finding without what its check says.
type fault struct{ id, message, fix string }

func newRecorder(covers []string) *Recorder {
	return &Recorder{
		covers:    covers,
		notLooked: map[string]string{},
		saw:       map[string]string{},
		settled:   map[string]bool{},
	}
}

// Foundf records a fault. fix is the statement or command to run. The fix of the check is shown if it is empty.
func (r *Recorder) Foundf(id, fix, format string, args ...any) {
	r.record(id, func() { r.findings = append(r.findings, fault{id, fmt.Sprintf(format, args...), fix}) })
}

// NotLooked records that checks were not made, or not completely, and why. A finding of such a check still counts.
func (r *Recorder) NotLooked(reason string, ids ...string) { r.miss(reason, false, ids) }

// Settled does the same as NotLooked for a reason that another look does not change.
func (r *Recorder) Settled(reason string, ids ...string) { r.miss(reason, true, ids) }

func (r *Recorder) miss(reason string, settled bool, ids []string) {
	for _, id := range ids {
		r.record(id, func() {
			known := r.notLooked[id]
			r.settled[id] = settled && (known == "" || r.settled[id])
			if known != "" && known != reason {
				r.notLooked[id] = known + "; " + reason
			} else {
				r.notLooked[id] = reason
			}
		})
	}
}

// Sawf records what a check saw that is fine.
func (r *Recorder) Sawf(id, format string, args ...any) {
	r.record(id, func() { r.saw[id] = fmt.Sprintf(format, args...) })
}

func (r *Recorder) record(id string, do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed && slices.Contains(r.covers, id) {
		do()
	}
}

// close ends the recording. If reason is not empty, the checks without a result were not looked at.
func (r *Recorder) close(reason string) {
	if reason != "" {
		r.mu.Lock()
		for _, id := range r.covers {
			if _, known := r.notLooked[id]; !known {
				r.notLooked[id] = reason
			}
		}
		r.mu.Unlock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

// fault returns why a check is not fine, or "".
func (r *Recorder) fault(id string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.IndexFunc(r.findings, func(f fault) bool { return f.id == id }); i >= 0 {
		return r.findings[i].message
	}
	return r.notLooked[id]
}

// addTo adds the results of a check to a report.
func (r *Recorder) addTo(out *Report, c Check) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := false
	for _, f := range r.findings {
		if f.id != c.ID {
			continue
		}
		fix := f.fix
		if fix == "" {
			fix = c.Fix
		}
		found = true
		out.Findings = append(out.Findings,
			Finding{ID: c.ID, Severity: c.Severity, Message: f.message, Why: c.Why, Fix: fix})
	}
	reason, unknown := r.notLooked[c.ID]
	switch {
	case found:
	case unknown:
		out.NotLooked = append(out.NotLooked, NotLooked{c.ID, reason})
		if r.settled[c.ID] {
			out.settled = append(out.settled, c.ID)
		}
	default:
		out.Fine = append(out.Fine, Fine{ID: c.ID, Saw: r.saw[c.ID]})
	}
}
