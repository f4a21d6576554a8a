package control

import (
	"context"
	"sync"
	"time"
)

// readingTimeout bounds a reading. NATS may need 12 s to elect another leader.
const readingTimeout = 15 * time.Second

// sharedReading lets callers at the same time share one reading of something that takes many small reads. At most one
// reading runs. A caller gets one that began after its call, so it sees its own changes, unless it accepts an older
// one. It is safe for concurrent use.
type sharedReading[T any] struct {
	read func(context.Context) (T, error)
	now  func() time.Time

	mu sync.Mutex
	// running is the reading that runs, and next the one after it, if somebody waits for that.
	running, next *reading[T]
	// latest is the latest reading that succeeded.
	latest *reading[T]
}

// reading is one reading. Its result is set when done is closed.
type reading[T any] struct {
	begun time.Time
	done  chan struct{}
	value T
	err   error
}

func newSharedReading[T any](read func(context.Context) (T, error), now func() time.Time) *sharedReading[T] {
	if now == nil {
		now = time.Now
	}
	return &sharedReading[T]{read: read, now: now}
}

// get returns the result of a reading that began after the call, or at most maxAge before. Callers share the value, so
// they must not change it.
func (s *sharedReading[T]) get(ctx context.Context, maxAge time.Duration) (value T, err error) {
	r := s.join(ctx, maxAge)
	select {
	case <-r.done:
		return r.value, r.err
	case <-ctx.Done():
		return value, context.Cause(ctx)
	}
}

// join returns the reading that a caller gets, and starts it if none runs.
func (s *sharedReading[T]) join(ctx context.Context, maxAge time.Duration) *reading[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range []*reading[T]{s.latest, s.running} {
		if maxAge > 0 && r != nil {
			if age := s.now().Sub(r.begun); age >= 0 && age < maxAge {
				return r
			}
		}
	}
	if s.running != nil {
		if s.next == nil {
			s.next = &reading[T]{done: make(chan struct{})}
		}
		return s.next
	}
	r := &reading[T]{done: make(chan struct{})}
	s.start(ctx, r)
	return r
}

// start starts a reading. The caller holds the lock. The one that asked for it may leave while others wait.
func (s *sharedReading[T]) start(ctx context.Context, r *reading[T]) {
	s.running, r.begun = r, s.now()
	ctx = context.WithoutCancel(ctx)
	go func() {
		bounded, cancel := context.WithTimeout(ctx, readingTimeout)
		defer cancel()
		r.value, r.err = s.read(bounded)
		close(r.done)
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.err == nil {
			s.latest = r
		}
		next := s.next
		if s.running, s.next = nil, nil; next != nil {
			s.start(ctx, next)
		}
	}()
}
