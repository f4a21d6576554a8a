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

// ErrBusy: the server has no memory for another body now.
var ErrBusy = errors.New("too many large requests at once: try again in a second")

// deflateRatio is the most that a byte of gzip or deflate can become.
const deflateRatio = 1032

// Bounds of the bodies that a port reads at the same time. They bound its memory: what a handler makes of a body is a
// multiple of its size.
type Bounds struct {
	// Max of one body in bytes, uncompressed.
	Max int64
	// Small bodies, of so many bytes, are only counted: Count of them at once.
	Small, Count int64
	// Large is what all bodies together may have beyond their first Small bytes.
	Large int64
	// Wait is how long a body waits for its share. With 0 a body gets its share as its bytes come, whatever length it
	// declares, so that a stranger must send what he wants to occupy.
	Wait time.Duration
	// Work is how many requests Handler passes on at the same time, once their bodies are read: slow clients take no
	// place.
	Work int64
}

// Bodies bounds the memory of a handler's requests.
type Bodies struct {
	Bounds

	count, large, work *semaphore.Weighted
}

// NewBodies shares the bounds among all requests that pass through it.
func NewBodies(b Bounds) *Bodies {
	return &Bodies{b, semaphore.NewWeighted(b.Count), semaphore.NewWeighted(b.Large), semaphore.NewWeighted(b.Work)}
}

// Handler reads the bodies of requests, and passes Work of them on at a time. One for which it has no room is answered
// with 503 and Retry-After, in the form of Connect's errors. If one is longer than Max, next gets its beginning, which
// is longer than Max as well: it knows how to say so.
func (b *Bodies) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		release, err := b.Bound(r)
		if err != nil {
			refuse(w, err)
			return
		}
		defer release()
		if r.Body != nil && r.Body != http.NoBody {
			data, err := io.ReadAll(io.LimitReader(r.Body, b.Max+envelope+1))
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

// envelope is what gRPC puts before a message.
const envelope = 5

// refuse answers a request whose body was not read to its end, and closes the connection.
func refuse(w http.ResponseWriter, err error) {
	status, code := http.StatusRequestTimeout, "deadline_exceeded"
	message := "the body of the request did not come in time: " + err.Error()
	if errors.Is(err, ErrBusy) {
		status, code, message = http.StatusServiceUnavailable, "unavailable", ErrBusy.Error()
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Connection", "close")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"code": code, "message": message})
}

// Bound puts the body of a request within the bounds. The body is not read after release, which frees its share. The
// error is ErrBusy.
func (b *Bodies) Bound(r *http.Request) (release func(), err error) {
	if r.Body == nil || r.Body == http.NoBody {
		return func() {}, nil
	}
	body := &boundedBody{ReadCloser: r.Body, bodies: b, ctx: r.Context(), ratio: 1}
	if compressed(r) {
		body.ratio = deflateRatio
	}
	if !body.begin(r) {
		body.release()
		return nil, ErrBusy
	}
	r.Body = body
	return body.release, nil
}

// compressed reports whether a body may be larger than it looks, by the headers of HTTP, Connect and gRPC.
func compressed(r *http.Request) bool {
	for _, name := range []string{"Content-Encoding", "Grpc-Encoding", "Connect-Content-Encoding"} {
		if encoding := r.Header.Get(name); encoding != "" && encoding != "identity" {
			return true
		}
	}
	return false
}

// boundedBody takes its share of the bounds as it is read.
type boundedBody struct {
	io.ReadCloser
	bodies *Bodies
	ctx    context.Context //nolint:containedctx // the request's
	// ratio is what a byte read may become.
	ratio int64
	// read are the bytes so far.
	read int64
	// held is the share of large; counted, whether the body is one of count.
	held    int64
	counted bool
}

// begin takes the share that a body needs at the start.
func (b *boundedBody) begin(r *http.Request) bool {
	ctx, cancel := context.WithTimeout(r.Context(), b.bodies.Wait)
	defer cancel()
	if b.counted = b.bodies.count.TryAcquire(1); !b.counted {
		return false
	}
	if b.bodies.Wait == 0 || r.ContentLength <= 0 {
		return true
	}
	// A body that waits holds nothing that another waits for.
	if want := b.share(r.ContentLength); want > 0 {
		if b.bodies.large.Acquire(ctx, want) != nil {
			return false
		}
		b.held = want
	}
	return true
}

// share is what a body of so many bytes needs of large.
func (b *boundedBody) share(bytes int64) int64 {
	most := min(b.bodies.Max, b.bodies.Large)
	return min(max(min(bytes, most)*b.ratio-b.bodies.Small, 0), most)
}

// step is by how much a share grows at once.
const step = 16 << 10

func (b *boundedBody) Read(p []byte) (int, error) {
	// A little more is passed on: the reader of the body says that it is too long.
	if b.read > b.bodies.Max+step {
		return 0, &http.MaxBytesError{Limit: b.bodies.Max}
	}
	if len(p) > step {
		p = p[:step]
	}
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	want := b.share(b.read)
	if want > b.held && !b.grow(want) {
		return 0, ErrBusy
	}
	if err == io.EOF && b.held > want {
		b.bodies.large.Release(b.held - want)
		b.held = want
	}
	return n, err
}

// grow takes a larger share. A body of undeclared length that may wait takes the largest, and gives back what it did
// not need: if it held a part while it waits for the next, all might wait for each other.
func (b *boundedBody) grow(want int64) bool {
	most := b.share(b.bodies.Max)
	if b.bodies.Wait > 0 && b.held == 0 {
		ctx, cancel := context.WithTimeout(b.ctx, b.bodies.Wait)
		defer cancel()
		if b.bodies.large.Acquire(ctx, most) != nil {
			return false
		}
		b.held = most
		return true
	}
	want = min((want+step-1)/step*step, most)
	if !b.bodies.large.TryAcquire(want - b.held) {
		return false
	}
	b.held = want
	return true
}

func (b *boundedBody) release() {
	b.bodies.large.Release(b.held)
	if b.counted {
		b.bodies.count.Release(1)
	}
	b.held, b.counted = 0, false
}

// ReadBody reads a whole body of at most Max bytes. It asks for memory as the bytes come, whatever length the request
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
