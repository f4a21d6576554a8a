package httpserver

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// bodyTimeout is how long a request's body may take. The largest body of any port, 16 MiB, takes that long over 5
// Mbit/s.
const bodyTimeout = 30 * time.Second

// withBodyDeadline fails reads of a body that takes longer than d. http.Server's ReadTimeout would also bound the
// handler, and so end a call that waits.
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

// leftoverTime is the time for the rest of a body that no handler reads.
const leftoverTime = 500 * time.Millisecond

// SetBodyDeadline limits the time for the body of a request to d from now. The deadline ends with the body.
func SetBodyDeadline(w http.ResponseWriter, r *http.Request, d time.Duration) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	control := http.NewResponseController(w)
	if control.SetReadDeadline(time.Now().Add(d)) != nil {
		// The writer has no connection, as in a test.
		return
	}
	r.Body = &timedBody{ReadCloser: r.Body, done: func() { _ = control.SetReadDeadline(time.Time{}) }}
}

// timedBody clears the deadline once the body is read. The server then reads on to detect a closed connection, and
// would mistake the deadline for one.
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
