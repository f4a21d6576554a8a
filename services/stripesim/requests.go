package stripesim

import (
	"strings"
	"sync"
	"time"
)

// Request is a recorded write request.
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
	// Status is the status of the answer. It is 0 if the connection was closed before execution.
	Status int    `json:"status"`
	Code   string `json:"code,omitempty"` // of the error
	// Replayed means that the answer came from an earlier request with the key. Executed means that the operation ran.
	// Lost means that the answer was not sent.
	Replayed bool `json:"replayed,omitempty"`
	Executed bool `json:"executed"`
	Lost     bool `json:"lost,omitempty"`
	// Fault is the fault that struck, if any.
	Fault FaultKind `json:"fault,omitempty"`
}

// RequestFilter selects requests. The zero value selects all.
type RequestFilter struct {
	Object    string
	Operation string
	KeyPrefix string
	// Limit keeps the latest requests, at most this many. 0 means no limit.
	Limit int
}

// requestLog keeps the latest requests in a ring.
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

// Requests returns the recorded write requests, oldest first. A limited number is kept.
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

// ClearRequests deletes the recorded requests.
func (s *Sim) ClearRequests() { s.requests.clear() }
