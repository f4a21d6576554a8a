package stripesim

import (
	"strings"
	"sync"
	"time"
)

// Request is a write request that was received.
type Request struct {
	Time      time.Time `json:"time"`
	RequestID string    `json:"request_id"`
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	// Operation is the path with the id's name in place of the id: "POST /v1/prices/{price}".
	Operation      string `json:"operation"`
	Account        string `json:"account"`
	Livemode       bool   `json:"livemode"`
	Object         string `json:"object,omitempty"`
	IdempotencyKey string `json:"idempotency_key,omitempty"`
	// Status of the answer; 0 if the connection was closed before executing.
	Status int    `json:"status"`
	Code   string `json:"code,omitempty"` // of the error
	// Replayed is true if the answer came from an earlier request with the key; Executed if the operation ran;
	// Lost if the answer was not sent.
	Replayed bool `json:"replayed,omitempty"`
	Executed bool `json:"executed"`
	Lost     bool `json:"lost,omitempty"`
	// Fault that struck, if any.
	Fault FaultKind `json:"fault,omitempty"`
}

// RequestFilter chooses requests; the zero value chooses all.
type RequestFilter struct {
	Object    string
	Operation string
	KeyPrefix string
	// Limit keeps the newest so many; 0 is no limit.
	Limit int
}

// requestLog keeps the newest requests, in a ring.
type requestLog struct {
	mu   sync.Mutex
	ring []Request
	size int
	next int
}

func newRequestLog(size int) *requestLog { return &requestLog{size: max(size, 0)} }

func (l *requestLog) add(r Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size == 0 {
		return
	}
	if len(l.ring) < l.size {
		l.ring = append(l.ring, r)
		return
	}
	l.ring[l.next] = r
	l.next = (l.next + 1) % l.size
}

func (l *requestLog) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring, l.next = nil, 0
}

// Requests returns the write requests received, oldest first, as far as they are kept.
func (s *Sim) Requests(f RequestFilter) []Request {
	l := s.requests
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []Request{}
	for i := range l.ring {
		r := l.ring[(l.next+i)%len(l.ring)]
		if (f.Object == "" || r.Object == f.Object) && (f.Operation == "" || r.Operation == f.Operation) &&
			strings.HasPrefix(r.IdempotencyKey, f.KeyPrefix) {
			out = append(out, r)
		}
	}
	if f.Limit > 0 && len(out) > f.Limit {
		out = out[len(out)-f.Limit:]
	}
	return out
}

// ClearRequests forgets the requests.
func (s *Sim) ClearRequests() { s.requests.clear() }
