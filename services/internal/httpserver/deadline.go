package httpserver

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// bodyTime is how long a request's body may take: the largest of any port, 16 MiB, comes in that time over 5 Mbit/s.
const bodyTime = 30 * time.Second

// withBodyDeadline ends the reading of a body that takes longer than d. ReadTimeout of http.Server would bound the time
// of the handler, too: a call that waits would end with it.
func withBodyDeadline(d time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		SetBodyDeadline(w, r, d)
		body, _ := r.Body.(*timedBody)
		next.ServeHTTP(w, r)
		if body != nil && !body.ended.Load() {
			// The server reads up to 256 KiB of what is left before it answers. A client that was refused, and sends
			// nothing, must not keep its place for that.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(leftoverTime))
		}
	})
}

// leftoverTime is how long the rest of a body may take that no handler wants.
const leftoverTime = 500 * time.Millisecond

// SetBodyDeadline lets the body of a request take so long from now on. The deadline ends with the body.
func SetBodyDeadline(w http.ResponseWriter, r *http.Request, d time.Duration) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	control := http.NewResponseController(w)
	if control.SetReadDeadline(time.Now().Add(d)) != nil {
		// A writer without a connection, as in a test.
		return
	}
	r.Body = &timedBody{ReadCloser: r.Body, done: func() { _ = control.SetReadDeadline(time.Time{}) }}
}

// timedBody lifts the deadline once the body is read: the server reads on to see whether the client leaves, and would
// take the deadline for that.
type timedBody struct {
	io.ReadCloser
	done  func()
	ended atomic.Bool
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.ended.Store(true)
		b.done()
	}
	return n, err
}
