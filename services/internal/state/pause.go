package state

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Pausable lists the services that an operator may pause.
var Pausable = []string{topology.Push, topology.Pull, topology.Ingestion}

// pauseInterval is how often a service polls whether it is paused.
const pauseInterval = time.Second

func (s *Stores) pauseRecord(service string) *Record {
	return s.Record(topology.KeyPaused.Sub(service), s.m.Account())
}

// PauseService pauses all replicas of a service for d, or until ResumeService if d is 0. It replaces an earlier pause.
// actor and reason say who pauses it and why; both may be empty. The pause is a record in the bucket CURSOR. It is
// independent of the pauses of consumers with which push halts an account.
func (s *Stores) PauseService(ctx context.Context, service string, d time.Duration, actor, reason string,
) (*meshv1.Pause, error) {
	now, err := s.m.Clock().Now(ctx)
	if err != nil {
		return nil, err
	}
	pause := &meshv1.Pause{Since: timestamppb.New(now), Actor: actor, Reason: reason}
	if d > 0 {
		pause.Until = timestamppb.New(now.Add(d))
	}
	return pause, s.pauseRecord(service).Put(ctx, pause)
}

// ResumeService ends the pause of a service, and reports whether there was one.
func (s *Stores) ResumeService(ctx context.Context, service string) (was bool, err error) {
	pause, err := s.Paused(ctx, service)
	if err != nil || pause == nil {
		return false, err
	}
	return true, s.pauseRecord(service).Put(ctx, &meshv1.Pause{})
}

// Paused returns the pause of a service; nil if it is not paused, or the pause has expired.
func (s *Stores) Paused(ctx context.Context, service string) (*meshv1.Pause, error) {
	pause := &meshv1.Pause{}
	if _, err := s.pauseRecord(service).Get(ctx, pause); err != nil || pause.GetSince() == nil {
		return nil, err
	}
	if pause.GetUntil() == nil {
		return pause, nil
	}
	now, err := s.m.Clock().Now(ctx)
	if err != nil {
		return nil, err
	}
	if now.After(pause.GetUntil().AsTime()) {
		return nil, nil
	}
	return pause, nil
}

// Gate runs the work of a service while no operator has paused it. Safe for concurrent use.
type Gate struct {
	stores  *Stores
	service string
	logger  *slog.Logger

	mu     sync.Mutex
	paused bool
	// changed is closed when paused changes.
	changed chan struct{}
}

// Gate returns the gate of a service, in its current state. Watch keeps it up to date.
func (s *Stores) Gate(ctx context.Context, service string) (*Gate, error) {
	pause, err := s.Paused(ctx, service)
	if err != nil {
		return nil, err
	}
	g := &Gate{stores: s, service: service, logger: s.m.Logger(), changed: make(chan struct{})}
	g.set(pause)
	return g, nil
}

// observe reports whether the service is paused, until the returned function is called.
func (g *Gate) observe() (stop func()) {
	return metrics.Observe(func(report metrics.Report) {
		paused := 0.0
		if g.Paused() {
			paused = 1
		}
		report(metrics.Paused, paused)
	}, metrics.Paused)
}

// Watch polls the pause once a second and updates the gate, until ctx ends. Meanwhile the metrics say
// whether the service is paused.
func (g *Gate) Watch(ctx context.Context) error {
	defer g.observe()()
	ticker := time.NewTicker(pauseInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		// If the record cannot be read, the state stays.
		if pause, err := g.stores.Paused(ctx, g.service); err == nil {
			g.set(pause)
		}
	}
}

func (g *Gate) set(pause *meshv1.Pause) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.paused == (pause != nil) {
		return
	}
	g.paused = pause != nil
	close(g.changed)
	g.changed = make(chan struct{})
	switch {
	case pause == nil:
		g.logger.Info("resumed")
	case pause.GetUntil() != nil:
		g.logger.Warn("paused by an operator; run `driftless resume` to end it", "until", pause.GetUntil().AsTime())
	default:
		g.logger.Warn("paused by an operator until `driftless resume`")
	}
}

// Paused reports whether the service is paused.
func (g *Gate) Paused() bool {
	paused, _ := g.state()
	return paused
}

func (g *Gate) state() (paused bool, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.paused, g.changed
}

// errPaused is the cause of the canceled context when a service is paused.
var errPaused = errors.New("the service is paused")

// Run calls work repeatedly while the gate is open, until ctx ends or work fails. A pause cancels the context of work.
func (g *Gate) Run(ctx context.Context, work func(context.Context) error) error {
	for ctx.Err() == nil {
		paused, changed := g.state()
		if paused {
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		working, stop := context.WithCancelCause(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			select {
			case <-changed:
				stop(errPaused)
			case <-working.Done():
			}
		}()
		err := work(working)
		stopped := errors.Is(context.Cause(working), errPaused)
		stop(nil)
		<-done
		if !stopped || err != nil && !errors.Is(err, errPaused) && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return nil
}
