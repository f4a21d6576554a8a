package mesh

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Pausable are the services that an operator may pause.
var Pausable = []string{topology.Push, topology.Pull, topology.Ingestion}

// lookForPause is how often a service looks whether it is paused.
const lookForPause = time.Second

func (m *Mesh) pause(service string) *Record { return m.Record("paused." + m.account + "." + service) }

// PauseService has every replica of a service stop its work, for d or, if that is 0, until ResumeService. It takes the
// place of an earlier pause. It is kept in the bucket CURSOR, and has nothing to do with the pauses of consumers by
// which push halts an account.
func (m *Mesh) PauseService(ctx context.Context, service string, d time.Duration) (*meshv1.Pause, error) {
	now, err := m.clock.Now(ctx)
	if err != nil {
		return nil, err
	}
	pause := &meshv1.Pause{Since: timestamppb.New(now)}
	if d > 0 {
		pause.Until = timestamppb.New(now.Add(d))
	}
	return pause, m.pause(service).Put(ctx, pause)
}

// ResumeService ends the pause of a service, and says whether there was one.
func (m *Mesh) ResumeService(ctx context.Context, service string) (was bool, err error) {
	pause, err := m.Paused(ctx, service)
	if err != nil || pause == nil {
		return false, err
	}
	return true, m.pause(service).Put(ctx, &meshv1.Pause{})
}

// Paused is the pause of a service; nil if it is not paused, or no longer.
func (m *Mesh) Paused(ctx context.Context, service string) (*meshv1.Pause, error) {
	pause := &meshv1.Pause{}
	if _, err := m.pause(service).Get(ctx, pause); err != nil || pause.GetSince() == nil {
		return nil, err
	}
	if pause.GetUntil() == nil {
		return pause, nil
	}
	now, err := m.clock.Now(ctx)
	if err != nil {
		return nil, err
	}
	if now.After(pause.GetUntil().AsTime()) {
		return nil, nil
	}
	return pause, nil
}

// Gate lets the work of a service go on while no operator has paused it. Safe for concurrent use.
type Gate struct {
	m       *Mesh
	service string
	logger  *slog.Logger

	mu     sync.Mutex
	paused bool
	// turned is closed when paused changes.
	turned chan struct{}
}

// Gate of a service, shut from the start if the service is paused. Keep keeps it up to date.
func (m *Mesh) Gate(ctx context.Context, service string) (*Gate, error) {
	pause, err := m.Paused(ctx, service)
	if err != nil {
		return nil, err
	}
	g := &Gate{m: m, service: service, logger: m.logger, turned: make(chan struct{})}
	g.turn(pause)
	return g, nil
}

// Watch opens and shuts the gate as the operator says, until ctx ends.
func (g *Gate) Watch(ctx context.Context) error {
	ticker := time.NewTicker(lookForPause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		// What cannot be asked stays as it is.
		if pause, err := g.m.Paused(ctx, g.service); err == nil {
			g.turn(pause)
		}
	}
}

func (g *Gate) turn(pause *meshv1.Pause) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.paused == (pause != nil) {
		return
	}
	g.paused = pause != nil
	close(g.turned)
	g.turned = make(chan struct{})
	switch {
	case pause == nil:
		g.logger.Info("no longer paused")
	case pause.GetUntil() != nil:
		g.logger.Warn("paused by an operator; `driftless resume` ends that", "until", pause.GetUntil().AsTime())
	default:
		g.logger.Warn("paused by an operator until `driftless resume`")
	}
}

// Paused says whether the service is paused.
func (g *Gate) Paused() bool {
	paused, _ := g.state()
	return paused
}

func (g *Gate) state() (paused bool, turned <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.paused, g.turned
}

// errShut is why the context of work ends when its service is paused.
var errShut = errors.New("the service is paused")

// Run does work that ends when its context does: again and again, while the gate is open, until ctx ends or the work
// fails.
func (g *Gate) Run(ctx context.Context, work func(context.Context) error) error {
	for ctx.Err() == nil {
		paused, turned := g.state()
		if paused {
			select {
			case <-ctx.Done():
			case <-turned:
			}
			continue
		}
		working, stop := context.WithCancelCause(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			select {
			case <-turned:
				stop(errShut)
			case <-working.Done():
			}
		}()
		err := work(working)
		stopped := errors.Is(context.Cause(working), errShut)
		stop(nil)
		<-done
		if !stopped || err != nil && !errors.Is(err, errShut) && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return nil
}
