package stripesim

import (
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// maxSeconds is the number of seconds for which counts per second are kept.
const maxSeconds = 3600

// Stats are counters since the start, or since the last ResetStats.
type Stats struct {
	// Endpoints has counters by operation, such as "POST /v1/prices/{price}".
	Endpoints map[string]EndpointStats `json:"endpoints"`
	// RateLimited counts the 429 answers by reason, which is lock_timeout for locks.
	RateLimited map[string]int `json:"rate_limited"`
	// Objects counts the objects that exist now, in all accounts.
	Objects ObjectCounts `json:"objects"`
	// MaxInFlight is the maximum number of concurrent writes to one object, by kind of object: price, product. A write
	// to a price is also a write to its product.
	MaxInFlight map[string]int `json:"max_in_flight"`
	// Contended counts the concurrent writes to objects with more than one, such as "product prod_1". It has the first
	// thousand objects.
	Contended map[string]int `json:"contended,omitempty"`
	Webhooks  WebhookStats   `json:"webhooks"`
	// Seconds are the seconds of the last hour with requests, oldest first.
	Seconds []Second `json:"seconds"`
}

// EndpointStats are the counters of an operation.
type EndpointStats struct {
	Requests int `json:"requests"`
	// Executed does not count refused requests and replayed answers.
	Executed    int         `json:"executed"`
	Replayed    int         `json:"replayed"`
	RateLimited int         `json:"rate_limited"`
	Lost        int         `json:"lost"` // answers that were never sent
	Statuses    map[int]int `json:"statuses"`
}

// ObjectCounts are numbers of objects.
type ObjectCounts struct {
	Accounts         int `json:"accounts"`
	Products         int `json:"products"`
	ActiveProducts   int `json:"active_products"`
	Prices           int `json:"prices"`
	ActivePrices     int `json:"active_prices"`
	Events           int `json:"events"`
	WebhookEndpoints int `json:"webhook_endpoints"`
	IdempotencyKeys  int `json:"idempotency_keys"`
}

// WebhookStats are the counters of deliveries.
type WebhookStats struct {
	Delivered      int `json:"delivered"`
	FailedAttempts int `json:"failed_attempts"`
	GivenUp        int `json:"given_up"` // the lost ones included
	Lost           int `json:"lost"`
	Pending        int `json:"pending"`
}

// Second counts the requests of one second of the simulator's clock.
type Second struct {
	Unix        int64 `json:"unix"`
	Requests    int   `json:"requests"`
	RateLimited int   `json:"rate_limited"`
}

type counters struct {
	mu        sync.Mutex
	endpoints map[string]*EndpointStats
	limited   map[string]int
	webhooks  WebhookStats
	seconds   []Second
}

func newCounters() *counters {
	return &counters{endpoints: map[string]*EndpointStats{}, limited: map[string]int{}}
}

// note counts a request. If it is a write, note also records it for inspection.
func (s *Sim) note(c *call, out reply) {
	name := c.method + " (unknown)"
	if c.op != nil {
		name = c.op.name()
	}
	s.stats.count(c, name, out)
	if c.method == http.MethodGet {
		return
	}
	object := c.id
	if object == "" && c.op != nil && c.op.object == "product" {
		object = c.form.text("id")
	}
	s.requests.add(Request{
		Time: c.now, RequestID: c.requestID, Method: c.method, Path: c.path, Operation: name, Account: c.who.account,
		Livemode: c.who.live,
		Object:   object, IdempotencyKey: c.key, Status: out.status, Code: out.code, Replayed: out.replayed,
		Executed: c.executed,
		Lost:     out.lost, Fault: c.fault,
	})
}

func (k *counters) count(c *call, name string, out reply) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.endpoints[name]
	if e == nil {
		e = &EndpointStats{Statuses: map[int]int{}}
		k.endpoints[name] = e
	}
	e.Requests++
	limited := out.status == http.StatusTooManyRequests
	switch {
	case out.lost:
		e.Lost++
	default:
		e.Statuses[out.status]++
	}
	if c.executed {
		e.Executed++
	}
	if out.replayed {
		e.Replayed++
	}
	if limited {
		e.RateLimited++
		reason := out.limited
		if reason == "" {
			reason = out.code
		}
		k.limited[reason]++
	}
	k.second(c.now, limited)
}

func (k *counters) second(now time.Time, limited bool) {
	if n := len(k.seconds); n == 0 || k.seconds[n-1].Unix < now.Unix() {
		k.seconds = append(k.seconds, Second{Unix: now.Unix()})
		if len(k.seconds) > maxSeconds {
			k.seconds = slices.Delete(k.seconds, 0, len(k.seconds)-maxSeconds)
		}
	}
	last := &k.seconds[len(k.seconds)-1]
	last.Requests++
	if limited {
		last.RateLimited++
	}
}

func (k *counters) webhook(change func(*WebhookStats)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&k.webhooks)
}

// Stats returns the counters.
func (s *Sim) Stats() Stats {
	out := s.stats.read()
	for _, st := range s.all() {
		st.mu.RLock()
		out.Objects.add(st)
		for _, to := range st.pending {
			out.Webhooks.Pending += len(to)
		}
		st.mu.RUnlock()
	}
	s.flights.mu.Lock()
	defer s.flights.mu.Unlock()
	out.MaxInFlight = maps.Clone(s.flights.maxConcurrent)
	out.Contended = map[string]int{}
	for f, n := range s.flights.contended {
		out.Contended[f.String()] = n
	}
	return out
}

func (k *counters) read() Stats {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := Stats{
		Endpoints: make(map[string]EndpointStats, len(k.endpoints)), RateLimited: maps.Clone(k.limited),
		Webhooks: k.webhooks,
		Seconds:  slices.Clone(k.seconds),
	}
	for name, e := range k.endpoints {
		c := *e
		c.Statuses = maps.Clone(e.Statuses)
		out.Endpoints[name] = c
	}
	return out
}

func (o *ObjectCounts) add(st *store) {
	o.Accounts++
	o.Products += st.products.len()
	o.Prices += st.prices.len()
	o.Events += st.events.len()
	o.WebhookEndpoints += st.endpoints.len()
	o.IdempotencyKeys += len(st.answers.byKey)
	for _, p := range st.products.items {
		if p != nil && p.Active {
			o.ActiveProducts++
		}
	}
	for _, p := range st.prices.items {
		if p != nil && p.Active {
			o.ActivePrices++
		}
	}
}

// ResetStats sets the counters to zero.
func (s *Sim) ResetStats() {
	s.flights.reset()
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()
	s.stats.endpoints, s.stats.limited = map[string]*EndpointStats{}, map[string]int{}
	s.stats.webhooks, s.stats.seconds = WebhookStats{}, nil
}
