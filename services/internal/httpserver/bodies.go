package httpserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
)

// ErrBusy means that the server has no memory for another body now.
var ErrBusy = errors.New("too many large requests at once: try again in a second")

// deflateRatio is the maximum number of bytes that a byte of gzip or deflate can become.
const deflateRatio = 1032

// Bounds limit the bodies that a port reads at once, and so its memory: a handler needs a multiple of a body's size.
type Bounds struct {
	// Max is the maximum size of a body in bytes, uncompressed.
	Max int64
	// Small is the size in bytes up to which a body counts only as one of Count, the maximum number of bodies read at
	// once.
	Small, Count int64
	// Large is how many bytes all bodies together may have beyond their first Small bytes.
	Large int64
	// Wait is how long a body waits for its share. With 0 a body gets its share as its bytes arrive, whatever length it
	// declares. So a client occupies only the memory that it fills.
	Wait time.Duration
	// Work is how many requests Handler passes on at once, after their bodies are read. Slow clients do not count.
	Work int64
}

// Bodies bounds the memory of a handler's requests. It is safe for concurrent use.
type Bodies struct {
	Bounds

	count, large, work *semaphore.Weighted
}

// NewBodies returns bounds that all requests passing through them share.
func NewBodies(b Bounds) *Bodies {
	return &Bodies{b, semaphore.NewWeighted(b.Count), semaphore.NewWeighted(b.Large), semaphore.NewWeighted(b.Work)}
}

// Handler reads the bodies of requests, and passes on Work of them at once. It answers 503 with Retry-After, in the
// form of Connect's errors, to a request that it has no room for. If a body is longer than Max, next gets its
// beginning, which is also longer than Max, and reports that.
func (b *Bodies) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		unbounded := r.Body
		release, err := b.Bound(r)
		if err != nil {
			// A client that asks first whether it may send sends nothing then.
			if r.Header.Get("Expect") == "" {
				b.drain(w, unbounded)
			}
			refuse(w, err)
			return
		}
		defer release()
		if r.Body != nil && r.Body != http.NoBody {
			data, err := io.ReadAll(io.LimitReader(r.Body, b.Max+grpcPrefixLength+1))
			if errors.Is(err, ErrBusy) {
				release()
				b.drain(w, unbounded)
			}
			if err != nil {
				refuse(w, err)
				return
			}
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
		}
		ctx, cancel := context.WithTimeout(r.Context(), b.Wait)
		defer cancel()
		if b.work.Acquire(ctx, 1) != nil {
			refuse(w, ErrBusy)
			return
		}
		defer b.work.Release(1)
		next.ServeHTTP(w, r)
	})
}

// grpcPrefixLength is the length of gRPC's prefix of a message in bytes.
const grpcPrefixLength = 5

// drainPatience is how long a refused body may take to arrive.
const drainPatience = 5 * time.Second

// drain reads the rest of a refused body, and keeps nothing of it. A client that is still sending would see a closed
// connection instead of the answer.
func (b *Bodies) drain(w http.ResponseWriter, body io.Reader) {
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(drainPatience)); err != nil {
		return
	}
	// A client that does not send all of it gets no answer.
	_, _ = io.CopyN(io.Discard, body, b.Max)
}

// refuse answers a request whose body may not have been read to its end, and closes the connection.
func refuse(w http.ResponseWriter, err error) {
	status, code := http.StatusRequestTimeout, "deadline_exceeded"
	message := "the body of the request did not arrive in time: " + err.Error()
	if errors.Is(err, ErrBusy) {
		status, code, message = http.StatusServiceUnavailable, "unavailable", ErrBusy.Error()
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Connection", "close")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"code": code, "message": message})
}

// Bound puts the body of a request within the bounds. Its only error is ErrBusy. release frees the body's share. The
// body must not be read after it.
func (b *Bodies) Bound(r *http.Request) (release func(), err error) {
	if r.Body == nil || r.Body == http.NoBody {
		return func() {}, nil
	}
	body := &boundedBody{ReadCloser: r.Body, bodies: b, ctx: r.Context(), ratio: 1}
	if isCompressed(r) {
		body.ratio = deflateRatio
	}
	if !body.begin(r) {
		body.release()
		return nil, ErrBusy
	}
	r.Body = body
	return body.release, nil
}

// isCompressed reports whether a body may be larger than it looks, by the headers of HTTP, Connect and gRPC.
func isCompressed(r *http.Request) bool {
	for _, name := range []string{"Content-Encoding", "Grpc-Encoding", "Connect-Content-Encoding"} {
		if encoding := r.Header.Get(name); encoding != "" && encoding != "identity" {
			return true
		}
	}
	return false
}

// boundedBody acquires its share of the bounds as it is read.
type boundedBody struct {
	io.ReadCloser
	bodies *Bodies
	ctx    context.Context //nolint:containedctx // the request's
	// ratio is how many bytes a byte read may become.
	ratio int64
	// read is the number of bytes read so far.
	read int64
	// acquired is the acquired share of Large. counted reports whether the body is one of Count.
	acquired int64
	counted  bool
}

// begin acquires the share that a body needs at the start.
func (b *boundedBody) begin(r *http.Request) bool {
	ctx, cancel := context.WithTimeout(r.Context(), b.bodies.Wait)
	defer cancel()
	if b.counted = b.bodies.count.TryAcquire(1); !b.counted {
		return false
	}
	if b.bodies.Wait == 0 || r.ContentLength <= 0 {
		return true
	}
	// A waiting body holds nothing that another waits for.
	if want := b.share(r.ContentLength); want > 0 {
		if b.bodies.large.Acquire(ctx, want) != nil {
			return false
		}
		b.acquired = want
	}
	return true
}

// share returns how much of Large a body of so many bytes needs.
func (b *boundedBody) share(bytes int64) int64 {
	most := min(b.bodies.Max, b.bodies.Large)
	return min(max(min(bytes, most)*b.ratio-b.bodies.Small, 0), most)
}

// shareStep is how much a share grows at once, in bytes.
const shareStep = 16 << 10

func (b *boundedBody) Read(p []byte) (int, error) {
	// A little more than Max is passed on: the body's reader reports that it is too long.
	if b.read > b.bodies.Max+shareStep {
		return 0, &http.MaxBytesError{Limit: b.bodies.Max}
	}
	if len(p) > shareStep {
		p = p[:shareStep]
	}
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	want := b.share(b.read)
	if want > b.acquired && !b.grow(want) {
		return 0, ErrBusy
	}
	if err == io.EOF && b.acquired > want {
		b.bodies.large.Release(b.acquired - want)
		b.acquired = want
	}
	return n, err
}

// grow acquires a larger share. A body of undeclared length that may wait acquires the maximum at once and later
// releases the unneeded rest. If bodies held a part while they wait for the next, all might wait for each other.
func (b *boundedBody) grow(want int64) bool {
	most := b.share(b.bodies.Max)
	if b.bodies.Wait > 0 && b.acquired == 0 {
		ctx, cancel := context.WithTimeout(b.ctx, b.bodies.Wait)
		defer cancel()
		if b.bodies.large.Acquire(ctx, most) != nil {
			return false
		}
		b.acquired = most
		return true
	}
	want = min((want+shareStep-1)/shareStep*shareStep, most)
	if !b.bodies.large.TryAcquire(want - b.acquired) {
		return false
	}
	b.acquired = want
	return true
}

func (b *boundedBody) release() {
	b.bodies.large.Release(b.acquired)
	if b.counted {
		b.bodies.count.Release(1)
	}
	b.acquired, b.counted = 0, false
}

// ReadBody reads a body of at most Max bytes. It allocates memory as the bytes arrive, whatever length the request
// declares.
func (b *Bodies) ReadBody(r *http.Request) ([]byte, error) {
	if r.ContentLength > b.Max {
		return nil, &http.MaxBytesError{Limit: b.Max}
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, b.Max+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the body: %w", err)
	case int64(len(data)) > b.Max:
		return nil, &http.MaxBytesError{Limit: b.Max}
	}
	return data, nil
}
