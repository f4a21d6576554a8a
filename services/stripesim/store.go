package stripesim

import (
	"crypto/rand"
	"maps"
	"net/http"
	"slices"
	"sync"
)

// store is the state of one account in one mode.
type store struct {
	sim     *Sim
	account string
	live    bool

	// mu guards all following fields. The objects in the collections are never modified.
	mu        sync.RWMutex
	products  collection[product]
	prices    collection[price]
	events    collection[event]
	endpoints collection[endpoint]
	// subscriptions and paymentLinks use prices.
	subscriptions collection[subscription]
	paymentLinks  collection[paymentLink]
	pricesOf      map[string][]string // by product, oldest first
	lookupKeys    map[string]string   // to the price that has the key
	answers       answers
	pending       map[string]map[string]bool // event, endpoint: not delivered yet
	failed        map[string]bool            // events whose delivery was given up

	limiter limiter
}

type storeKey struct {
	account string
	live    bool
}

func newStore(s *Sim, k storeKey) *store {
	out := &store{
		sim: s, account: k.account, live: k.live, pricesOf: map[string][]string{}, lookupKeys: map[string]string{},
		pending: map[string]map[string]bool{}, failed: map[string]bool{}, answers: newAnswers(),
	}
	if k.account == s.cfg.Account {
		for i, w := range s.cfg.Webhooks {
			e := configured(i, w, s.cfg)
			out.endpoints.put(e.ID, e)
		}
	}
	return out
}

// tx is a running change, under the store's lock. Its changes take effect at once and are collected for the journal. It
// must not be refused after the first change.
type tx struct {
	*store
	rec record
}

func (t *tx) putProduct(p *product) {
	t.store.putProduct(p)
	t.rec.Products = append(t.rec.Products, p)
}

func (t *tx) removeProduct(id string) {
	t.products.remove(id)
	t.rec.GoneProducts = append(t.rec.GoneProducts, id)
}

func (t *tx) putPrice(p *price) {
	t.store.putPrice(p)
	t.rec.Prices = append(t.rec.Prices, p)
}

func (t *tx) removePrice(id string) {
	t.store.removePrice(id)
	t.rec.GonePrices = append(t.rec.GonePrices, id)
}

func (t *tx) putEvent(e *event) {
	t.store.putEvent(e)
	t.rec.Events = append(t.rec.Events, e)
}

func (t *tx) putSubscription(s *subscription) {
	t.subscriptions.put(s.ID, s)
	t.rec.Subscriptions = append(t.rec.Subscriptions, s)
}

func (t *tx) putPaymentLink(l *paymentLink) {
	t.paymentLinks.put(l.ID, l)
	t.rec.PaymentLinks = append(t.rec.PaymentLinks, l)
}

func (t *tx) putEndpoint(e *endpoint) {
	t.endpoints.put(e.ID, e)
	t.rec.Endpoints = append(t.rec.Endpoints, e)
}

func (t *tx) removeEndpoint(id string) {
	t.endpoints.remove(id)
	t.rec.GoneEndpoints = append(t.rec.GoneEndpoints, id)
}

func (s *store) putProduct(p *product) { s.products.put(p.ID, p) }

func (s *store) putPrice(p *price) {
	old := s.prices.get(p.ID)
	if old == nil {
		s.pricesOf[p.Product] = append(s.pricesOf[p.Product], p.ID)
	} else if old.LookupKey != p.LookupKey && s.lookupKeys[old.LookupKey] == p.ID {
		delete(s.lookupKeys, old.LookupKey)
	}
	if p.LookupKey != "" {
		s.lookupKeys[p.LookupKey] = p.ID
	}
	s.prices.put(p.ID, p)
}

func (s *store) removePrice(id string) {
	p := s.prices.get(id)
	if p == nil {
		return
	}
	if s.lookupKeys[p.LookupKey] == id {
		delete(s.lookupKeys, p.LookupKey)
	}
	s.pricesOf[p.Product] = slices.DeleteFunc(s.pricesOf[p.Product], func(x string) bool { return x == id })
	if len(s.pricesOf[p.Product]) == 0 {
		delete(s.pricesOf, p.Product)
	}
	s.prices.remove(id)
}

func (s *store) putEvent(e *event) {
	s.events.put(e.ID, e)
	if e.Failed {
		s.failed[e.ID] = true
	}
	if len(e.To) == 0 {
		return
	}
	to := make(map[string]bool, len(e.To))
	for _, id := range e.To {
		to[id] = true
	}
	s.pending[e.ID] = to
}

// endDelivery records the end of the delivery of an event to an endpoint.
func (s *store) endDelivery(d deliveryEnd) {
	delete(s.pending[d.Event], d.Endpoint)
	if len(s.pending[d.Event]) == 0 {
		delete(s.pending, d.Event)
	}
	if d.Failed {
		s.failed[d.Event] = true
	}
}

// apply applies a change from the journal.
func (s *store) apply(r *record) {
	for _, p := range r.Products {
		s.putProduct(p)
	}
	for _, p := range r.Prices {
		s.putPrice(p)
	}
	for _, id := range r.GonePrices {
		s.removePrice(id)
	}
	for _, id := range r.GoneProducts {
		s.products.remove(id)
	}
	for _, id := range r.Buried {
		s.products.addTombstone(id)
	}
	for _, e := range r.Endpoints {
		s.endpoints.put(e.ID, e)
	}
	for _, id := range r.GoneEndpoints {
		s.endpoints.remove(id)
	}
	for _, of := range r.Subscriptions {
		s.subscriptions.put(of.ID, of)
	}
	for _, l := range r.PaymentLinks {
		s.paymentLinks.put(l.ID, l)
	}
	for _, e := range r.Events {
		s.putEvent(e)
	}
	for _, d := range r.Settled {
		s.endDelivery(d)
	}
	for _, a := range r.Answers {
		s.answers.put(a)
	}
}

// records yields the whole state as changes, in pieces of limited size.
func (s *store) records(yield func(*record) bool) bool {
	const piece = 1000
	fresh := func() *record { return &record{Account: s.account, Live: s.live} }
	r, n := fresh(), 0
	next := func() bool {
		if n++; n%piece != 0 {
			return true
		}
		out := r
		r = fresh()
		return yield(out)
	}
	r.Buried = slices.Sorted(maps.Keys(s.products.tombstones))
	for _, p := range s.products.items {
		if p != nil {
			r.Products = append(r.Products, p)
			if !next() {
				return false
			}
		}
	}
	for _, p := range s.prices.items {
		if p != nil {
			r.Prices = append(r.Prices, p)
			if !next() {
				return false
			}
		}
	}
	for _, of := range s.subscriptions.items {
		r.Subscriptions = append(r.Subscriptions, of)
		if !next() {
			return false
		}
	}
	for _, l := range s.paymentLinks.items {
		r.PaymentLinks = append(r.PaymentLinks, l)
		if !next() {
			return false
		}
	}
	for _, e := range s.endpoints.items {
		if e != nil && !e.configured {
			r.Endpoints = append(r.Endpoints, e)
		}
	}
	oldest := s.sim.cfg.Clock().Add(-eventRetention).Unix()
	for _, e := range s.events.items {
		if e == nil || e.Created < oldest {
			continue
		}
		kept := *e
		kept.To, kept.Failed = slices.Sorted(maps.Keys(s.pending[e.ID])), s.failed[e.ID]
		r.Events = append(r.Events, &kept)
		if !next() {
			return false
		}
	}
	for _, a := range s.answers.all() {
		r.Answers = append(r.Answers, a)
		if !next() {
			return false
		}
	}
	return yield(r)
}

// notFound returns the refusal for an object in the request's path that does not exist, or exists only in the other
// mode.
func (t *tx) notFound(c *call, what string) *refusal {
	r := missing(http.StatusNotFound, what, c.id, c.op.idParam())
	if !t.sim.inOtherMode(t.store, what, c.id) {
		return r
	}
	here, there := "test", "live"
	if t.live {
		here, there = there, here
	}
	r.message += "; a similar object exists in " + there + " mode, but a " + here +
		" mode key was used to make this request."
	return r
}

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// newID returns an id with n random letters.
func newID(prefix string, n int) string {
	b := make([]byte, len(prefix)+n)
	copy(b, prefix)
	random := b[len(prefix):]
	_, _ = rand.Read(random) // never fails
	for i := range random {
		random[i] = alphabet[int(random[i])%len(alphabet)]
	}
	return string(b)
}
