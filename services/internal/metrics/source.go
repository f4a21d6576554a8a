package metrics

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// sourceInterval is the shortest time between two reads of a source.
	sourceInterval = 5 * time.Second
	// sourceTimeout bounds one read of a source.
	sourceTimeout = 10 * time.Second
	// sourceWait is how long the metrics wait for a read that their request began. Prometheus gives up a scrape after
	// 10 s, and then counts the service as down.
	sourceWait = 300 * time.Millisecond
	// MaxSourceAge is the age from which values of a source are absent instead of outdated.
	MaxSourceAge = 2 * time.Minute
)

// Source is where gauges come from that cost I/O: a database or JetStream.
type Source struct {
	// Name is a value of the label SourceName.
	Name string
	// Gauges are the gauges that Reads report.
	Gauges []Gauge
	// Reads read the values. Each returns a function that reports them. They are independent: the values of one appear
	// although another fails. They run one after the other, together at most 10 s.
	Reads []func(context.Context) (func(Report), error)
}

// ObserveSources registers sources, whose values the process reads when the metrics are read, at most every 5 s. The
// metrics never wait for a source that is away or slow: they show its latest values for at most MaxSourceAge, and
// MetricsAge shows their age. The logger logs once when a source cannot be read. stop unregisters the sources, and
// waits for their reads.
func ObserveSources(logger *slog.Logger, sources ...Source) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &sourceCache{ctx: ctx, logger: logger, now: time.Now, interval: sourceInterval}
	gauges := []Gauge{MetricsAge}
	for _, s := range sources {
		c.sources = append(c.sources, newCachedSource(s, time.Now()))
		gauges = append(gauges, s.Gauges...)
	}
	unregister := Observe(c.report, gauges...)
	return func() {
		unregister()
		cancel()
		c.reads.Wait()
	}
}

// sourceCache has the latest values of a process's sources.
type sourceCache struct {
	ctx      context.Context //nolint:containedctx // reads outlive the request that began them
	logger   *slog.Logger
	now      func() time.Time
	interval time.Duration
	sources  []*cachedSource
	reads    sync.WaitGroup
}

// cachedSource has the latest values of a source.
type cachedSource struct {
	Source

	mu sync.Mutex
	// begun is when the latest read began. running is closed when it ends; nil if none runs.
	begun   time.Time
	running chan struct{}
	// values has a value for each of Reads.
	values []cachedValue
	// failing reports whether the latest read failed.
	failing bool
}

type cachedValue struct {
	// show is nil before the first success.
	show func(Report)
	// at is when the read began that succeeded last, or when the source was registered.
	at time.Time
}

func newCachedSource(s Source, now time.Time) *cachedSource {
	c := &cachedSource{Source: s, values: make([]cachedValue, len(s.Reads))}
	for i := range c.values {
		c.values[i].at = now
	}
	return c
}

// report begins reads of the sources that are due, waits shortly for them, and reports what is known.
func (c *sourceCache) report(report Report) {
	timeout := time.NewTimer(sourceWait)
	defer timeout.Stop()
	running := make([]chan struct{}, len(c.sources))
	for i, s := range c.sources {
		running[i] = c.begin(s)
	}
	for _, done := range running {
		if done == nil {
			continue
		}
		select {
		case <-done:
		case <-timeout.C:
			timeout.Reset(0)
		}
	}
	for _, s := range c.sources {
		s.report(c.now(), report)
	}
}

// begin starts a read of a source if it is due. It returns a channel that is closed when the running read ends; nil if
// none runs.
func (c *sourceCache) begin(s *cachedSource) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil || c.now().Sub(s.begun) < c.interval || c.ctx.Err() != nil {
		return s.running
	}
	done := make(chan struct{})
	s.begun, s.running = c.now(), done
	c.reads.Go(func() {
		defer close(done)
		c.read(s)
	})
	return done
}

// read reads a source.
func (c *sourceCache) read(s *cachedSource) {
	ctx, cancel := context.WithTimeout(c.ctx, sourceTimeout)
	defer cancel()
	var failed error
	for i, read := range s.Reads {
		at := c.now()
		show, err := read(ctx)
		if err != nil {
			failed = err
			continue
		}
		s.mu.Lock()
		s.values[i] = cachedValue{show, at}
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if failed != nil && !s.failing && c.ctx.Err() == nil {
		c.logger.Warn("some metrics cannot be read; their last values disappear after two minutes", "source", s.Name,
			"error", failed)
	}
	s.failing, s.running = failed != nil, nil
}

// report reports the values that are recent enough, and the age of the oldest.
func (s *cachedSource) report(now time.Time, report Report) {
	s.mu.Lock()
	values := append([]cachedValue(nil), s.values...)
	s.mu.Unlock()
	var age time.Duration
	for _, v := range values {
		age = max(age, now.Sub(v.at))
		if v.show != nil && now.Sub(v.at) <= MaxSourceAge {
			v.show(report)
		}
	}
	report(MetricsAge, age.Seconds(), SourceName.With(s.Name))
}
