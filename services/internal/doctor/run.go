package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Probe looks for faults.
type Probe struct {
	// Name is what it looks at, for a person who waits.
	Name string
	// Covers are the ids of the checks that it makes. Each id belongs to one probe.
	Covers []string
	// Needs are ids of checks without which it cannot look: it runs once they are fine.
	Needs []string
	// Run looks. If it fails, the checks without a finding were not looked at.
	Run func(ctx context.Context, r *Recorder) error
}

// DefaultLimit is the time limit of a probe.
const DefaultLimit = 30 * time.Second

// Options say what Run does.
type Options struct {
	Selection
	// Limit is the time limit of each probe. Defaults to DefaultLimit.
	Limit time.Duration
	// LimitFlag names the flag that sets Limit, for those who see that a probe took longer. Empty if there is none.
	LimitFlag string
	// OnProgress is called when a probe has ended, with the names of those that still run. Nil ignores it.
	OnProgress func(done, total int, running []string)
}

// Run runs probes concurrently and returns what they found. It runs those that make a selected check, and those that
// these need.
func Run(ctx context.Context, probes []Probe, o Options) Report {
	r := &run{options: o, owner: map[string]*recording{}}
	for _, p := range probes {
		rec := &recording{probe: p, done: make(chan struct{}), recorder: newRecorder(p.Covers)}
		r.all = append(r.all, rec)
		for _, id := range p.Covers {
			r.owner[id] = rec
		}
	}
	var selected []*recording
	for _, rec := range r.all {
		if slices.ContainsFunc(rec.probe.Covers, o.includes) {
			selected = r.require(selected, rec)
		}
	}
	r.start(ctx, selected)
	return r.report()
}

// run is one call of Run.
type run struct {
	options Options
	all     []*recording
	// owner has the probe of each check.
	owner map[string]*recording
	mu    sync.Mutex
	ended []string
}

// recording is a probe and its results.
type recording struct {
	probe    Probe
	recorder *Recorder
	// done is closed when the probe has ended.
	done chan struct{}
	// wanted reports whether the probe runs.
	wanted bool
}

// require adds a probe and those that it needs.
func (r *run) require(to []*recording, rec *recording) []*recording {
	if rec.wanted {
		return to
	}
	rec.wanted = true
	for _, id := range rec.probe.Needs {
		if needed := r.owner[id]; needed != nil {
			to = r.require(to, needed)
		}
	}
	return append(to, rec)
}

// start runs the probes and waits for them.
func (r *run) start(ctx context.Context, selected []*recording) {
	var all sync.WaitGroup
	for _, rec := range selected {
		all.Go(func() {
			defer close(rec.done)
			if reason := r.missing(ctx, rec); reason != "" {
				// The fault that comes first is in the report.
				rec.recorder.Settled(reason, rec.probe.Covers...)
				rec.recorder.close(reason)
			} else {
				rec.recorder.close(r.look(ctx, rec))
			}
			r.progress(selected, rec.probe.Name)
		})
	}
	all.Wait()
}

// missing waits for the checks that a probe needs. It returns why the probe cannot look, or "".
func (r *run) missing(ctx context.Context, rec *recording) string {
	for _, id := range rec.probe.Needs {
		needed := r.owner[id]
		if needed == nil {
			return "nothing looks at " + id + ", which it rests on"
		}
		select {
		case <-needed.done:
		case <-ctx.Done():
			return context.Cause(ctx).Error()
		}
		switch why := needed.recorder.fault(id); {
		case why != "" && r.options.includes(id):
			return id + " comes first"
		case why != "":
			return id + " comes first: " + why
		}
	}
	return ""
}

// look runs a probe. It returns why the probe could not look at everything, or "".
func (r *run) look(ctx context.Context, rec *recording) string {
	limit := cmp.Or(r.options.Limit, DefaultLimit)
	tooLong := fmt.Errorf("it took longer than %s", limit)
	if flag := r.options.LimitFlag; flag != "" {
		tooLong = fmt.Errorf("%w (%s)", tooLong, flag)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, tooLong)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- rec.probe.Run(ctx, rec.recorder) }()
	select {
	case err := <-ended:
		switch {
		case err == nil:
			return ""
		case ctx.Err() != nil && errors.Is(err, ctx.Err()):
			return context.Cause(ctx).Error()
		}
		return err.Error()
	case <-ctx.Done():
		// Something hangs that does not follow the context. Its results no longer count.
		return context.Cause(ctx).Error()
	}
}

func (r *run) progress(selected []*recording, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = append(r.ended, name)
	if r.options.OnProgress == nil {
		return
	}
	var running []string
	for _, rec := range selected {
		if !slices.Contains(r.ended, rec.probe.Name) {
			running = append(running, rec.probe.Name)
		}
	}
	r.options.OnProgress(len(r.ended), len(selected), running)
}

// report collects the results of the selected checks, in the order of Checks.
func (r *run) report() Report {
	out := newReport()
	for _, c := range Checks() {
		rec := r.owner[c.ID]
		switch {
		case r.options.skips(c.ID):
			out.Skipped = append(out.Skipped, c.ID)
		case !r.options.includes(c.ID):
		case rec == nil:
			out.NotLooked = append(out.NotLooked, NotLooked{c.ID, "nothing looks at it"})
		default:
			rec.recorder.addTo(&out, c)
		}
	}
	sortFindings(out.Findings)
	return out
}

// Until calls do again until it returns true or an error, or patience ends.
func Until(ctx context.Context, patience time.Duration, do func() (bool, error)) error {
	const interval = 200 * time.Millisecond
	for begun := time.Now(); ; {
		done, err := do()
		if done || err != nil || time.Since(begun) >= patience {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(interval):
		}
	}
}
