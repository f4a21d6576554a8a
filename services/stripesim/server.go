package stripesim

import (
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// maxBodyBytes is the maximum size of a request's body.
const maxBodyBytes = 1 << 20

// reply is the answer to a request.
type reply struct {
	status   int
	header   http.Header
	body     []byte
	code     string // of the error
	limited  string
	retry    string // Stripe-Should-Retry
	replayed bool
	// lost means that the connection is closed instead of answering. silently means that no byte is sent before that.
	lost, silently bool
	html           bool
	noRequestID    bool
}

// serve handles one request.
func (s *Sim) serve(w http.ResponseWriter, r *http.Request) {
	c := s.read(w, r)
	out := s.answer(c, r)
	s.note(c, out)
	s.log.DebugContext(r.Context(), "request", "method", c.method, "path", c.path, "status", out.status, "key", c.key,
		"request_id", c.requestID)
	if out.lost {
		hangUp(w, out)
		return
	}
	h := w.Header()
	maps.Copy(h, out.header)
	h.Set("Content-Type", "application/json")
	if out.html {
		h.Set("Content-Type", "text/html")
	}
	h.Set("Date", c.now.UTC().Format(http.TimeFormat))
	h.Set("Cache-Control", "no-cache, no-store")
	if c.versionErr == nil {
		h.Set("Stripe-Version", c.version)
	}
	if !out.noRequestID {
		h.Set("Request-Id", c.requestID)
	}
	if out.limited != "" {
		h.Set("Stripe-Rate-Limited-Reason", out.limited)
	}
	if out.retry != "" {
		h.Set("Stripe-Should-Retry", out.retry)
	}
	if out.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Basic realm="Stripe"`)
	}
	h.Set("Content-Length", strconv.Itoa(len(out.body)))
	w.WriteHeader(out.status)
	_, _ = w.Write(out.body) // a client that has disconnected does not matter
}

// answer checks a request in Stripe's order: identity, operation, permission, rate limit, faults, idempotency key. Only
// then it executes the request.
func (s *Sim) answer(c *call, r *http.Request) reply {
	var bad *refusal
	if c.who, bad = s.authenticate(r); bad != nil {
		return s.refused(c, bad)
	}
	if c.op == nil {
		return s.refused(c, unknownURL(c.method, c.path))
	}
	if bad := c.who.permit(c.op); bad != nil {
		return s.refused(c, bad)
	}
	st := s.store(storeKey{c.who.account, c.who.live})
	if reason := st.limiter.enter(s.Limits().resolve(c.who.live), c.op.name(), c.now); reason != "" {
		return s.refused(c, rateLimited(reason))
	}
	defer st.limiter.leave(c.op.name())

	objects := s.objects(st, c)
	if c.method != http.MethodGet {
		if !s.flights.enter(objects, s.cfg.LockObjects) {
			return s.refused(c, lockTimeout())
		}
		defer s.flights.leave(objects)
	}
	where := occasion{method: c.method, path: c.path, key: c.who.key, operation: c.op.name()[len(c.method)+1:]}
	for _, o := range objects {
		where.objects = append(where.objects, o.id)
	}
	if c.method == http.MethodGet && c.id != "" {
		where.objects = append(where.objects, c.id)
	}
	delay, lost := time.Duration(0), false
	for _, f := range s.faults.strike(requestFaults, where) {
		c.fault = f.Kind
		switch f.Kind {
		case FaultReset:
			return reply{lost: true, silently: true}
		case FaultKeyRevoked:
			return s.refused(c, c.who.revoked())
		case FaultForbidden:
			return s.refused(c, c.who.forbidden(c.op))
		case FaultRateLimit:
			return s.refused(c, rateLimited(f.Reason))
		case FaultLockTimeout:
			return s.refused(c, lockTimeout())
		case FaultUnavailable:
			return s.refused(c, unavailable())
		case FaultBadGateway:
			return reply{
				status: http.StatusBadGateway,
				html:   true,
				body:   []byte("<html><head><title>502 Bad Gateway</title></head></html>\n"),
			}
		case FaultLatency:
			delay += f.Delay
		case FaultResponseLost:
			lost = true
		default:
		}
	}
	out := s.execute(c, st, delay, where)
	out.lost = lost
	return out
}

// execute checks the request and its idempotency key, and runs its operation.
func (s *Sim) execute(c *call, st *store, delay time.Duration, where occasion) reply {
	if bad := c.check(s.cfg.DocumentedClearsOnly); bad != nil {
		waitForFault(delay)
		return s.refused(c, bad)
	}
	if s.cfg.OnUndocumented != nil && c.check(true) != nil {
		s.cfg.OnUndocumented()
	}
	if c.key != "" {
		stored, bad := st.claim(c)
		if bad != nil {
			return s.refused(c, bad)
		}
		if stored != nil {
			waitForFault(delay)
			return replayed(c, stored)
		}
		defer st.release(c.key)
	}
	waitForFault(delay)
	var before, after *refusal
	for _, f := range s.faults.strike(executionFaults, where) {
		switch c.fault = f.Kind; f.Kind {
		case FaultErrorBefore:
			before = serverError()
		case FaultErrorAfter:
			after = serverError()
		case FaultRefused:
			before = faultRefusal(f)
		default:
		}
	}
	return s.run(c, before, after)
}

// waitForFault waits for a fault's delay. A client that disconnects does not end it, because Stripe would also
// continue.
func waitForFault(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

// run executes the operation, or fails before or after that. When it returns, the journal has the changes, and the
// answer if the request has a key.
func (s *Sim) run(c *call, failBefore, failAfter *refusal) reply {
	s.gate.RLock()
	defer s.gate.RUnlock()
	st := s.store(storeKey{c.who.account, c.who.live})
	if c.method == http.MethodGet {
		st.mu.RLock()
		defer st.mu.RUnlock()
	} else {
		st.mu.Lock()
		defer st.mu.Unlock()
	}
	// The timestamp is that of the execution, not of the request.
	c.now = s.cfg.Clock()
	t := &tx{store: st, rec: record{Account: st.account, Live: st.live}}
	var v any
	bad := failBefore
	if bad == nil {
		c.executed = true
		if v, bad = c.op.run(t, c); bad == nil {
			bad = failAfter
		}
	}
	out := s.refusedOr(c, v, bad)
	if c.key != "" && (bad == nil || !bad.keepsKeyFree) {
		a := &answer{
			Key:       c.key,
			At:        c.now.Unix(),
			Path:      c.path,
			Print:     c.fingerprint(),
			Status:    out.status,
			Body:      out.body,
			RequestID: c.requestID,
		}
		st.answers.put(a)
		t.rec.Answers = append(t.rec.Answers, a)
	}
	if err := s.write(&t.rec); err != nil {
		s.log.Error("the simulator could not write its journal; no further changes are accepted", "error", err)
		return s.refused(c, serverError())
	}
	for _, e := range t.rec.Events {
		s.deliverer.add(st, e)
	}
	return out
}

func (s *Sim) refusedOr(c *call, v any, bad *refusal) reply {
	if bad != nil {
		return s.refused(c, bad)
	}
	out := reply{status: http.StatusOK, body: encode(v), header: http.Header{}}
	c.keyHeaders(out.header, c.requestID)
	return out
}

func (s *Sim) refused(c *call, r *refusal) reply {
	out := reply{
		status: r.status, code: r.code, limited: r.limitReason, retry: r.shouldRetry, noRequestID: r.noRequestID,
		header: http.Header{},
		body:   encode(r.body(c.requestID, c.who.live)),
	}
	if !r.keepsKeyFree {
		c.keyHeaders(out.header, c.requestID)
	}
	return out
}

func replayed(c *call, a *answer) reply {
	out := reply{status: a.Status, body: a.Body, header: http.Header{}, replayed: true}
	c.keyHeaders(out.header, a.RequestID)
	out.header.Set("Idempotent-Replayed", "true")
	if a.Status >= http.StatusBadRequest {
		var e errorBody
		decode(a.Body, &e)
		out.code = e.Error.Code
	}
	return out
}

// decode decodes data that this package wrote.
func decode(raw []byte, into any) {
	if err := json.Unmarshal(raw, into); err != nil {
		panic("stripesim: decode: " + err.Error()) //nolint:forbidigo // a bug in this package
	}
}

// objects returns the objects that a request is about: first the object itself, then the product that it belongs to.
func (s *Sim) objects(st *store, c *call) []flight {
	var out []flight
	add := func(kind, id string) {
		if id != "" {
			out = append(out, flight{kind, st.account, id})
		}
	}
	switch c.op.object {
	case "product":
		add("product", c.id)
		add("product", c.form.text("id"))
	case "price":
		add("price", c.id)
		add("product", c.form.text("product"))
		if c.id != "" {
			st.mu.RLock()
			if p := st.prices.get(c.id); p != nil {
				add("product", p.Product)
			}
			st.mu.RUnlock()
		}
	default:
		add(c.op.object, c.id)
	}
	return out
}

// hangUp closes the connection instead of answering. A lost answer sends its first bytes: an HTTP client repeats a
// request itself if a reused connection ends without any.
func hangUp(w http.ResponseWriter, out reply) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) //nolint:forbidigo // how net/http aborts where there is no connection to hijack, as in HTTP/2
	}
	if out.silently {
		if tcp, ok := conn.(interface{ SetLinger(seconds int) error }); ok {
			_ = tcp.SetLinger(0) // so that the other side sees a reset
		}
	} else {
		_, _ = buffered.WriteString("HTTP/1.1 200")
		_ = buffered.Flush()
	}
	_ = conn.Close()
}
