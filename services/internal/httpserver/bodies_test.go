package httpserver_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/httpserver"
)

const patience = 30 * time.Second

func request(body io.Reader, length int64, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", body)
	r.ContentLength = length
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func zeros(n int) io.Reader { return bytes.NewReader(make([]byte, n)) }

// read bounds a body and reads it to its end, as a handler does.
func read(t *testing.T, b *httpserver.Bodies, r *http.Request) (n int, release func(), err error) {
	t.Helper()
	release, err = b.Bound(r)
	if err != nil {
		return 0, func() {}, err
	}
	data, err := io.ReadAll(r.Body)
	return len(data), release, err
}

func TestBodies_BoundsTheirTotal(t *testing.T) {
	t.Parallel()
	b := httpserver.NewBodies(httpserver.Bounds{Max: 512 << 10, Small: 16 << 10, Count: 100, Large: 1 << 20})
	var releases []func()
	held := 0
	for {
		n, release, err := read(t, b, request(zeros(512<<10), 512<<10))
		releases = append(releases, release)
		if err != nil {
			require.ErrorIs(t, err, httpserver.ErrBusy)
			break
		}
		held += n
	}
	require.Equal(t, 1<<20, held, "two fit")
	n, release, err := read(t, b, request(zeros(16<<10), 16<<10))
	require.NoError(t, err, "a small body needs no share of the memory for large ones")
	require.Equal(t, 16<<10, n)
	for _, r := range append(releases, release) {
		r()
	}
	_, release, err = read(t, b, request(zeros(512<<10), -1))
	require.NoError(t, err, "released memory is free again")
	release()
}

func TestBodies_ReservesNothingForADeclaredLength(t *testing.T) {
	t.Parallel()
	b := httpserver.NewBodies(httpserver.Bounds{Max: 512 << 10, Small: 16 << 10, Count: 100, Large: 1 << 20})
	for range 50 {
		release, err := b.Bound(request(iotest.ErrReader(io.ErrUnexpectedEOF), 512<<10))
		require.NoError(t, err)
		t.Cleanup(release)
	}
	_, release, err := read(t, b, request(zeros(512<<10), 512<<10))
	require.NoError(t, err)
	release()
}

func TestBodies_BoundsTheirCount(t *testing.T) {
	t.Parallel()
	b := httpserver.NewBodies(httpserver.Bounds{Max: 10, Small: 10, Count: 2, Large: 10})
	for range 2 {
		release, err := b.Bound(request(zeros(1), 1))
		require.NoError(t, err)
		t.Cleanup(release)
	}
	answer := httptest.NewRecorder()
	b.Handler(http.NotFoundHandler()).ServeHTTP(answer, request(zeros(1), 1))
	require.Equal(t, http.StatusServiceUnavailable, answer.Code)
	require.Equal(t, "1", answer.Header().Get("Retry-After"))
	require.Contains(t, answer.Body.String(), `"code":"unavailable"`)
}

func TestBodies_ALargeOneWaitsForItsShare(t *testing.T) {
	t.Parallel()
	b := httpserver.NewBodies(httpserver.Bounds{
		Max:   1 << 20,
		Small: 1 << 10,
		Count: 100,
		Large: 1 << 20,
		Wait:  patience,
	})
	_, release, err := read(t, b, request(zeros(1<<20), 1<<20))
	require.NoError(t, err)
	waiting, waited := make(chan struct{}, 4), make(chan error, 4)
	for _, length := range []int64{1 << 20, -1, 1 << 20, -1} {
		go func() {
			waiting <- struct{}{}
			_, release, err := read(t, b, request(zeros(1<<20), length))
			release()
			waited <- err
		}()
	}
	for range 4 {
		<-waiting
	}
	// Small bodies pass meanwhile, also those of undeclared length.
	_, small, err := read(t, b, request(zeros(1<<10), -1))
	require.NoError(t, err)
	small()
	require.Empty(t, waited)
	release()
	for range 4 {
		require.NoError(t, <-waited)
	}
}

func TestBodies_AnUndeclaredOneReleasesWhatItDidNotNeed(t *testing.T) {
	t.Parallel()
	b := httpserver.NewBodies(httpserver.Bounds{
		Max:   1 << 20,
		Small: 1 << 10,
		Count: 100,
		Large: 1 << 20,
		Wait:  time.Millisecond,
	})
	_, first, err := read(t, b, request(zeros(100<<10), -1))
	require.NoError(t, err)
	_, second, err := read(t, b, request(zeros(800<<10), 800<<10))
	require.NoError(t, err, "the first holds a tenth")
	_, third, err := read(t, b, request(zeros(800<<10), 800<<10))
	require.ErrorIs(t, err, httpserver.ErrBusy)
	first()
	second()
	third()
}

// TestBodies_CompressedOnesCountByTheirMaximumSize: a byte of gzip may become a thousand. A compressed body's share
// is that of its maximum size.
func TestBodies_CompressedOnesCountByTheirMaximumSize(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"Content-Encoding", "Grpc-Encoding", "Connect-Content-Encoding"} {
		b := httpserver.NewBodies(httpserver.Bounds{Max: 1 << 20, Small: 64 << 10, Count: 100, Large: 1 << 20})
		_, first, err := read(t, b, request(zeros(2<<10), 2<<10, header, "gzip"))
		require.NoError(t, err)
		_, second, err := read(t, b, request(zeros(2<<10), 2<<10, header, "gzip"))
		require.ErrorIs(t, err, httpserver.ErrBusy)
		second()
		_, second, err = read(t, b, request(zeros(60), 60, header, "gzip"))
		require.NoError(t, err, "a call without much in it is small")
		second()
		_, second, err = read(t, b, request(zeros(2<<10), 2<<10, header, "identity"))
		require.NoError(t, err)
		second()
		first()
	}
}

func TestBodies_BoundsEachOne(t *testing.T) {
	t.Parallel()
	b := httpserver.NewBodies(httpserver.Bounds{Max: 1 << 20, Small: 1 << 10, Count: 1, Large: 10 << 20})
	n, release, err := read(t, b, request(zeros(9<<20), -1))
	release()
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	require.True(t, tooLarge, "%v", err)
	require.Less(t, n, 2<<20)

	for length, declared := range map[int]int64{1<<20 + 1: -1, 0: 1<<20 + 1} {
		r := request(zeros(length), declared)
		release, err = b.Bound(r)
		require.NoError(t, err)
		_, err = b.ReadBody(r)
		release()
		_, tooLarge = errors.AsType[*http.MaxBytesError](err)
		require.True(t, tooLarge, "%v", err)
	}
	r := request(zeros(1<<20), -1)
	release, err = b.Bound(r)
	require.NoError(t, err)
	data, err := b.ReadBody(r)
	release()
	require.NoError(t, err)
	require.Len(t, data, 1<<20)
}

func TestBodies_HandlesOnlySoManyReadBodiesAtOnce(t *testing.T) {
	t.Parallel()
	b := httpserver.NewBodies(httpserver.Bounds{Max: 100, Small: 100, Count: 100, Large: 100, Work: 1, Wait: patience})
	working, finish := make(chan int64, 3), make(chan struct{})
	address := serve(t, b.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		if err == nil {
			working <- int64(len(data))
		}
		<-finish
	})))
	// Slow clients do not count.
	slow, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer slow.Close()
	_, err = fmt.Fprint(slow, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\nonly the beginning")
	require.NoError(t, err)
	answers := make(chan int, 2)
	for range 2 {
		go func() {
			resp, err := http.Post("http://"+address, "text/plain", zeros(70))
			if err != nil {
				answers <- 0
				return
			}
			_ = resp.Body.Close()
			answers <- resp.StatusCode
		}()
	}
	require.EqualValues(t, 70, <-working)
	select {
	case <-working:
		t.Fatal("two are at work")
	case <-time.After(20 * time.Millisecond):
	}
	close(finish)
	require.EqualValues(t, 70, <-working)
	require.Equal(t, http.StatusOK, <-answers)
	require.Equal(t, http.StatusOK, <-answers)

	// The handler gets a too long body only slightly beyond the limit.
	resp, err := http.Post("http://"+address, "text/plain", zeros(10_000))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.EqualValues(t, 106, <-working)
}

func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- httpserver.Run(t.Context(), httpserver.Config{Listener: listener, Handler: handler}) }()
	t.Cleanup(func() { require.NoError(t, <-done) })
	return listener.Addr().String()
}

func TestSetBodyDeadline_EndsOnlyASlowBody(t *testing.T) {
	t.Parallel()
	read := make(chan error, 1)
	left := make(chan struct{})
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const short = 20 * time.Millisecond
		httpserver.SetBodyDeadline(w, r, short)
		began := time.Now()
		_, err := io.ReadAll(r.Body)
		read <- err
		if err != nil {
			return
		}
		// A handler may take longer than its body: the deadline ends with the body.
		for time.Since(began) < 3*short {
			select {
			case <-r.Context().Done():
				close(left)
				return
			case <-time.After(short):
			}
		}
		_, _ = io.WriteString(w, "done")
	}))
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nonly the beginning")
	require.NoError(t, err)
	require.Error(t, <-read, "the client sends no more, and the server does not wait for it")

	resp, err := http.Post("http://"+address, "text/plain", strings.NewReader("all"))
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, <-read)
	require.Equal(t, "done", string(answer))
	select {
	case <-left:
		t.Fatal("the deadline was mistaken for a closed connection")
	default:
	}
}

// TestRun_ClosesTheConnectionOfARefusedRequest: the server reads the rest of a body before it answers. A client that
// sends nothing must not keep its connection for that.
func TestRun_ClosesTheConnectionOfARefusedRequest(t *testing.T) {
	t.Parallel()
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
	}))
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprint(conn, "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n")
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(15*time.Second)), "far less than the time for a body")
	_, err = io.ReadAll(conn)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
}
