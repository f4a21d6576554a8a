// Package heartbeat writes the record in which a process says what it is and what it does now. So a service that does
// not run is seen, and so is one of an earlier version.
package heartbeat

import (
	"cmp"
	"context"
	"errors"
	"os"
	"time"

	"github.com/nats-io/nuid"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
)

// DefaultInterval is the time between two records. A process counts as lost after five of them.
const DefaultInterval = 2 * time.Second

// stopTimeout bounds the write of the last record. A stop must not wait for NATS.
const stopTimeout = time.Second

// Config describes a process.
type Config struct {
	Service string
	Mesh    *mesh.Mesh
	// Ready returns why the process cannot do its work now. Nil means that it always can.
	Ready func(context.Context) error
	// Describe adds to the record what the process does now. Nil adds nothing.
	Describe func(*meshv1.Process)
	// Counters return totals since the start, by name. Their growth per second is in the record.
	Counters map[string]func() uint64
	// Interval is the time between two records. Defaults to DefaultInterval.
	Interval time.Duration
}

// Run writes the record of this process at every interval until ctx ends, and then that it has stopped. It never fails:
// the work of a service does not depend on its record.
func Run(ctx context.Context, cfg Config) error {
	b := newBeat(cfg)
	ticker := time.NewTicker(b.interval)
	defer ticker.Stop()
	for outage := (&mesh.Outage{}); ; {
		err := b.write(ctx)
		if ctx.Err() == nil && outage.ShouldLog(err) {
			cfg.Mesh.Logger().WarnContext(ctx, "could not write the record of this process; retrying",
				"every", b.interval, "error", err)
		}
		select {
		case <-ctx.Done():
			b.stop(context.WithoutCancel(ctx))
			return nil
		case <-ticker.C:
		}
	}
}

// beat writes the records of a process. Not safe for concurrent use.
type beat struct {
	Config
	stores   *state.Stores
	interval time.Duration
	// base is the part of the record that stays the same.
	base  *meshv1.Process
	rates map[string]*meter
}

func newBeat(cfg Config) *beat {
	host, _ := os.Hostname()
	b := &beat{
		Config:   cfg,
		stores:   state.New(cfg.Mesh),
		interval: cmp.Or(cfg.Interval, DefaultInterval),
		rates:    map[string]*meter{},
	}
	b.base = &meshv1.Process{
		Service:  cfg.Service,
		Account:  cfg.Mesh.Account(),
		Instance: nuid.Next(),
		Host:     host,
		Pid:      uint32(os.Getpid()),
		Version:  cfg.Mesh.Version(),
		Settings: cfg.Mesh.Settings(),
		Interval: durationpb.New(b.interval),
	}
	for name := range cfg.Counters {
		b.rates[name] = &meter{}
	}
	return b
}

// write writes a record. It waits for NATS at most for an interval: a late record would be of the past.
func (b *beat) write(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.interval)
	defer cancel()
	if b.base.GetStartedAt() == nil {
		now, err := b.Mesh.Clock().Now(ctx)
		if err != nil {
			return err
		}
		b.base.StartedAt = timestamppb.New(now)
	}
	return b.stores.PutProcess(ctx, b.record(ctx, time.Now()))
}

// record returns what the process says about itself now.
func (b *beat) record(ctx context.Context, now time.Time) *meshv1.Process {
	p := &meshv1.Process{
		Service:   b.base.GetService(),
		Account:   b.base.GetAccount(),
		Instance:  b.base.GetInstance(),
		Host:      b.base.GetHost(),
		Pid:       b.base.GetPid(),
		Version:   b.base.GetVersion(),
		StartedAt: b.base.GetStartedAt(),
		Interval:  b.base.GetInterval(),
		Settings:  b.base.GetSettings(),
		Rates:     map[string]float64{},
	}
	if b.Ready != nil {
		if err := b.Ready(ctx); err != nil {
			p.NotReady = err.Error()
		}
	}
	for name, count := range b.Counters {
		p.Rates[name] = b.rates[name].add(now, count())
	}
	if b.Describe != nil {
		b.Describe(p)
	}
	return p
}

// stop writes the last record, if NATS can be reached.
func (b *beat) stop(ctx context.Context) {
	if b.Mesh.Ready(ctx) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	last := b.record(ctx, time.Now())
	now, err := b.Mesh.Clock().Now(ctx)
	if err == nil {
		last.StoppedAt, last.Doing, last.Rates, last.Work, last.Working = timestamppb.New(now), "", nil, nil, 0
		last.StripeCalls = nil
		err = b.stores.PutProcess(ctx, last)
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		b.Mesh.Logger().DebugContext(ctx, "could not record that this process stops", "error", err)
	}
}
