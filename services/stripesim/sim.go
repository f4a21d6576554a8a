package stripesim

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/driftless-sync/driftless/services/internal/httpserver"
)

// Sim is a simulator. Concurrent use of its methods is safe.
type Sim struct {
	cfg       Config
	log       *slog.Logger
	journal   *journal
	faults    faults
	flights   *flights
	stats     *counters
	requests  *requestLog
	deliverer *deliverer
	limits    atomic.Pointer[Limits]
	broken    atomic.Bool

	// gate is read-locked while anything changes, and locked by Reset.
	gate sync.RWMutex
	// mu guards stores. A store's own lock is never acquired while mu is locked.
	mu     sync.RWMutex
	stores map[storeKey]*store
}

// New returns a simulator with the state of its data file. Its Handler serves requests, and Run delivers webhooks.
// Close closes the data file.
func New(cfg Config) (*Sim, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Sim{
		cfg: cfg, log: cfg.Logger, flights: newFlights(), stats: newCounters(), requests: newRequestLog(cfg.RequestLog),
		stores: map[storeKey]*store{},
	}
	s.limits.Store(&cfg.Limits)
	s.deliverer = newDeliverer(s)
	for _, f := range cfg.Faults {
		if _, err := s.faults.add(f); err != nil {
			return nil, err
		}
	}
	if cfg.DataFile == "" {
		return s, nil
	}
	if err := replay(cfg.DataFile, func(r *record) { s.store(storeKey{r.Account, r.Live}).apply(r) }); err != nil {
		return nil, err
	}
	s.journal, err = openJournal(cfg.DataFile, func(yield func(*record) bool) {
		for _, st := range s.all() {
			if !st.records(yield) {
				return
			}
		}
	})
	if err != nil {
		return nil, err
	}
	s.resume()
	return s, nil
}

// resume queues the deliveries that were pending when the last process ended.
func (s *Sim) resume() {
	for _, st := range s.all() {
		for _, e := range st.events.items {
			if e == nil || len(st.pending[e.ID]) == 0 {
				continue
			}
			rest := *e
			rest.To = sortedKeys(st.pending[e.ID])
			s.deliverer.add(st, &rest)
		}
	}
}

// Run serves on cfg.Addr, or on cfg.Listener, until ctx ends. It then returns nil.
func Run(ctx context.Context, cfg Config) error {
	s, err := New(cfg)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var delivering sync.WaitGroup
	delivering.Go(func() { s.Run(ctx) })
	err = httpserver.Run(ctx, httpserver.Config{
		Addr:         s.cfg.Addr,
		Listener:     s.cfg.Listener,
		AllowedHosts: s.cfg.AllowedHosts,
		Handler:      s.Handler(),
		Logger:       s.log,
	})
	stop()
	delivering.Wait()
	if closeErr := s.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("simulator: close its data file: %w", closeErr)
	}
	return err
}

// Run delivers webhooks until ctx ends, and then waits for the running deliveries.
func (s *Sim) Run(ctx context.Context) { s.deliverer.run(ctx) }

// Close closes the data file. The simulator must not be used after that.
func (s *Sim) Close() error {
	s.gate.Lock()
	defer s.gate.Unlock()
	return s.journal.close()
}

// Handler returns the handler of Stripe's API, of the admin API under /_sim/, and of /healthz.
func (s *Sim) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.Handle("/_sim/", s.admin())
	mux.HandleFunc("/_sim", http.NotFound)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The multiplexer would redirect paths with an escaped slash, which an id may contain.
		if len(r.URL.Path) >= 4 && r.URL.Path[:4] == "/v1/" {
			s.serve(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// Reset deletes everything except the configuration: objects, events, keys, faults, requests, counters.
func (s *Sim) Reset() error {
	s.gate.Lock()
	defer s.gate.Unlock()
	s.mu.Lock()
	s.stores = map[storeKey]*store{}
	s.mu.Unlock()
	s.deliverer.clear()
	s.faults.clear()
	s.requests.clear()
	s.ResetStats()
	s.limits.Store(&s.cfg.Limits)
	return s.journal.truncate()
}

// Limits returns the rate limits in force.
func (s *Sim) Limits() Limits { return *s.limits.Load() }

// SetLimits changes the rate limits.
func (s *Sim) SetLimits(l Limits) { s.limits.Store(&l) }

// AddFault sets a fault and returns it with its id.
func (s *Sim) AddFault(f Fault) (Fault, error) { return s.faults.add(f) }

// Faults returns the faults that are set, with how often each has struck.
func (s *Sim) Faults() []Fault { return s.faults.list() }

// RemoveFault clears one fault, and reports whether there was one with this id.
func (s *Sim) RemoveFault(id string) bool { return s.faults.remove(id) }

// ClearFaults clears all faults.
func (s *Sim) ClearFaults() { s.faults.clear() }

// store returns the store of an account and mode, and creates it if needed.
func (s *Sim) store(k storeKey) *store {
	s.mu.RLock()
	st := s.stores[k]
	s.mu.RUnlock()
	if st != nil {
		return st
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if st = s.stores[k]; st == nil {
		st = newStore(s, k)
		s.stores[k] = st
	}
	return st
}

// all returns the stores in a fixed order.
func (s *Sim) all() []*store {
	s.mu.RLock()
	defer s.mu.RUnlock()
	names := map[string]*store{}
	for k, st := range s.stores {
		mode := " test"
		if k.live {
			mode = " live"
		}
		names[k.account+mode] = st
	}
	out := make([]*store, 0, len(names))
	for _, name := range sortedKeys(names) {
		out = append(out, names[name])
	}
	return out
}

// inOtherMode reports whether an object with this id exists in the account's other mode.
func (s *Sim) inOtherMode(here *store, what, id string) bool {
	s.mu.RLock()
	other := s.stores[storeKey{here.account, !here.live}]
	s.mu.RUnlock()
	// The caller has locked its own store, so waiting for the other one could deadlock. The answer only improves a
	// message.
	if other == nil || !other.mu.TryRLock() {
		return false
	}
	defer other.mu.RUnlock()
	switch what {
	case "product":
		return other.products.get(id) != nil
	case "price":
		return other.prices.get(id) != nil
	default:
		return false
	}
}

// write appends a change to the journal. If the journal cannot be written, the simulator stops serving: it must not
// acknowledge a change that it may forget.
func (s *Sim) write(r *record) error {
	if s.broken.Load() {
		return fmt.Errorf("simulator: an earlier write to its data file %s failed", s.cfg.DataFile)
	}
	if err := s.journal.write(r); err != nil {
		s.broken.Store(true)
		return fmt.Errorf("simulator: write its data file: %w", err)
	}
	return nil
}
