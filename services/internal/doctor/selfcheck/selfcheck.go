// Package selfcheck makes the checks of doctor that a process can make of its own part: with the connections, rights
// and settings that the process really has. The results are in the record of the process, and reconciliation unites
// them.
package selfcheck

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/wait"
)

// Interval is the time between two looks of a program.
const Interval = 10 * time.Minute

const (
	// rareDelay is the time until the first look at Stripe. A process that ends soon after each start would otherwise
	// use up the read allowance.
	rareDelay = time.Minute
	// startPatience is how long the first look waits until the process is ready. A process that is not ready is looked
	// at all the same.
	startPatience = 15 * time.Second
	// turnInterval is the time between two questions whether heavy probes are this process's turn.
	turnInterval = time.Second
	// grace is how much longer than its interval a result counts: the next look takes its time.
	grace = 2 * time.Minute
)

// Config says what a process looks at.
type Config struct {
	Service string
	// Mesh is the connection of the process, and NATS its configuration.
	Mesh *mesh.Mesh
	NATS mesh.Config
	// NoEvents reports whether the process publishes no events for programs, and needs no right to do so.
	NoEvents bool
	// Ready returns why the process cannot do its work now. The first look waits for it. Nil means that it always can.
	Ready func(context.Context) error
	// Interval is the time between two looks. 0 looks at nothing.
	Interval time.Duration
	// Probes look at the part of the service, and Clocks are those of its servers beside NATS.
	Probes []doctor.Probe
	Clocks []doctor.Clock
	// Rare are probes that cost reads of Stripe.
	Rare []doctor.Probe
	// Heavy are probes that cost a server much. At most a 20th of the time is spent on them.
	Heavy []doctor.Probe
	// LeavesHeavy reports whether another process of the service looks at Heavy. Nil means that none does.
	LeavesHeavy func() bool
}

// Checker makes the checks of a process. Safe for concurrent use.
type Checker struct {
	cfg Config

	mu      sync.Mutex
	results map[string]*meshv1.CheckResult
}

// New returns a checker that has not looked yet.
func New(cfg Config) *Checker { return &Checker{cfg: cfg, results: map[string]*meshv1.CheckResult{}} }

// Run looks at once, and then at every interval, until ctx ends. It never fails: the work of a service does not depend
// on it.
func (c *Checker) Run(ctx context.Context) error {
	if c.cfg.Interval == 0 {
		return nil
	}
	c.note(doctor.OwnChecks(c.cfg.Service))
	c.awaitReady(ctx)
	var all sync.WaitGroup
	for _, p := range c.parts() {
		all.Go(func() { c.repeat(ctx, p) })
	}
	all.Wait()
	return nil
}

// Covers returns the ids of the checks that the process makes.
func (c *Checker) Covers() (ids []string) {
	for _, p := range c.parts() {
		ids = append(ids, p.covers()...)
	}
	return ids
}

// note says of checks that the process has not looked yet.
func (c *Checker) note(ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		c.results[id] = &meshv1.CheckResult{
			Id:     id,
			State:  doctor.StateNotLooked,
			Reason: "the process has not looked yet",
		}
	}
}

func (c *Checker) awaitReady(ctx context.Context) {
	if c.cfg.Ready == nil {
		return
	}
	_ = doctor.Until(ctx, startPatience, func() (bool, error) { return c.cfg.Ready(ctx) == nil, nil })
}

// part is a set of probes that run together.
type part struct {
	probes []doctor.Probe
	pace   pace
	// delay is the time until the first look.
	delay time.Duration
	// leaves reports whether another process looks at the part. Nil means that none does.
	leaves func() bool
}

func (p part) covers() (ids []string) {
	for _, probe := range p.probes {
		ids = append(ids, probe.Covers...)
	}
	return ids
}

// isLeft reports whether another process looks at the part now.
func (p part) isLeft() bool { return p.leaves != nil && p.leaves() }

func (c *Checker) parts() []part {
	interval := c.cfg.Interval
	faulty := min(interval, faultyInterval)
	all := []part{
		{probes: c.often(), pace: steady(interval, faulty, interval)},
		{probes: []doctor.Probe{c.rights()}, pace: steady(interval, faulty, loggedInterval)},
		{probes: c.cfg.Rare, pace: rare, delay: min(interval, rareDelay)},
		c.heavy(),
	}
	return slices.DeleteFunc(all, func(p part) bool { return len(p.probes) == 0 })
}

func (c *Checker) heavy() part {
	return part{probes: c.cfg.Heavy, pace: heavy(c.cfg.Interval), leaves: c.cfg.LeavesHeavy}
}

// repeat looks at a part until ctx ends.
func (c *Checker) repeat(ctx context.Context, p part) {
	covers, open := p.covers(), 0
	for next := p.delay; wait.For(ctx, next) == nil && awaitTurn(ctx, p); {
		begun := time.Now()
		report := doctor.Run(ctx, p.probes, doctor.Options{Selection: doctor.Selection{Only: covers}})
		if ctx.Err() != nil {
			return
		}
		if open++; !isOpen(report) {
			open = 0
		}
		next = p.pace(look{report: report, took: time.Since(begun), open: open})
		c.store(ctx, report, next)
	}
}

// awaitTurn returns when no other process looks at a part. It reports false if ctx ends.
func awaitTurn(ctx context.Context, p part) bool {
	for p.isLeft() {
		if wait.For(ctx, turnInterval) != nil {
			return false
		}
	}
	return true
}

// store keeps the results of a look, which count until the next one.
func (c *Checker) store(ctx context.Context, report doctor.Report, next time.Duration) {
	now, err := c.cfg.Mesh.Clock().Now(ctx)
	if err != nil {
		// NATS has never answered, so nobody reads the record either. Results without a time would not count.
		return
	}
	at, until := timestamppb.New(now), timestamppb.New(now.Add(next+grace))
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, result := range Results(report) {
		result.At, result.ExpiresAt = at, until
		c.results[result.GetId()] = result
	}
}

// Describe adds the results to the record of the process, in the order of the checks.
func (c *Checker) Describe(p *meshv1.Process) {
	left := c.left()
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*meshv1.CheckResult
	for _, id := range doctor.OwnChecks(c.cfg.Service) {
		switch result := c.results[id]; {
		case result == nil:
		case slices.Contains(left, id):
			// The result may be of the time when this process was the active one.
			all = append(all, &meshv1.CheckResult{
				Id:     id,
				State:  doctor.StateNotLooked,
				Reason: doctor.LeftToActive,
			})
		default:
			all = append(all, result)
		}
	}
	p.Checks = bounded(all, c.room())
}

// left returns the ids of the checks that another process makes now.
func (c *Checker) left() []string {
	p := c.heavy()
	if !p.isLeft() {
		return nil
	}
	return p.covers()
}

// room returns how many bytes the results may take. The record has other parts, which need the rest.
func (c *Checker) room() int { return min(maxAll, c.cfg.Mesh.MaxBody()/2) }
