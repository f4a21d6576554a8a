package pull_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/pull"
)

// post opens a connection and sends the head of a webhook and the beginning of its body.
func (r *rig) post(signature string, length int, body string) net.Conn {
	r.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close() })
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n", pull.WebhookPath, length)
	if signature != "" {
		head += "Stripe-Signature: " + signature + "\r\n"
	}
	// The server may have answered and closed the connection before everything is sent.
	_, _ = conn.Write([]byte(head + "\r\n" + body))
	return conn
}

// answered returns the status of the answer, if one arrives within the time.
func answered(conn net.Conn, within time.Duration) (status int, ok bool) {
	_ = conn.SetReadDeadline(time.Now().Add(within))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, false
	}
	_ = resp.Body.Close()
	return resp.StatusCode, true
}

// forged returns a signature in the right form and of this second. Only the body can prove it wrong.
func forged() string { return fmt.Sprintf("t=%d,v1=%064x", time.Now().Unix(), 7) }

func TestWebhook_RefusesByHeadersBeforeReadingTheBody(t *testing.T) {
	r := newRig(t)
	r.pull(time.Hour)
	old := time.Now().Add(-6 * time.Minute).Unix()
	for name, c := range map[string]struct {
		signature string
		length    int
		want      int
	}{
		"no signature": {"", 1000, http.StatusBadRequest},
		"no form":      {"hello", 1000, http.StatusBadRequest},
		"no time":      {fmt.Sprintf("v1=%064x", 7), 1000, http.StatusBadRequest},
		"time no time": {fmt.Sprintf("t=now,v1=%064x", 7), 1000, http.StatusBadRequest},
		"old":          {fmt.Sprintf("t=%d,v1=%064x", old, 7), 1000, http.StatusBadRequest},
		"only v0":      {fmt.Sprintf("t=%d,v0=%064x", time.Now().Unix(), 7), 1000, http.StatusBadRequest},
		"short":        {fmt.Sprintf("t=%d,v1=%x", time.Now().Unix(), 7), 1000, http.StatusBadRequest},
		"no hex": {
			fmt.Sprintf("t=%d,v1=%s", time.Now().Unix(), strings.Repeat("x", 64)), 1000,
			http.StatusBadRequest,
		},
		"too long":     {forged(), 1<<20 + 1, http.StatusRequestEntityTooLarge},
		"one too many": {forged(), 512<<10 + 1, http.StatusRequestEntityTooLarge},
	} {
		// Not a byte of the body is sent.
		status, ok := answered(r.post(c.signature, c.length, ""), patience)
		require.True(t, ok, name)
		require.Equal(t, c.want, status, name)
	}
}

func TestWebhook_RefusesAnEventWithATooLongID(t *testing.T) {
	r := newRig(t)
	r.pull(time.Hour)
	long := event{
		ID:      "evt_" + strings.Repeat("x", 100_000),
		Type:    "product.updated",
		Created: 100,
		Object:  productObject("Mug", 100),
	}
	require.Equal(t, http.StatusBadRequest, r.send(long.body(), secret), "503 would have Stripe send it again for days")
	require.Zero(t, r.stored(topology.StreamStripe))
}

// TestWebhook_StalledBodiesCostLittleMemory: anyone may post a webhook. Bodies that strangers begin and do not finish
// have bounded memory, and Stripe is still answered.
func TestWebhook_StalledBodiesCostLittleMemory(t *testing.T) {
	r := newRig(t)
	r.pull(time.Hour)
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	const strangers, length = 400, 500_000
	part := strings.Repeat("x", length-1000)
	conns := make([]net.Conn, strangers)
	for i := range conns {
		conns[i] = r.post(forged(), length, part)
	}
	refused := func() (n int) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for _, conn := range conns {
			wg.Go(func() {
				if status, ok := answered(conn, 50*time.Millisecond); ok && status == http.StatusServiceUnavailable {
					mu.Lock()
					defer mu.Unlock()
					n++
				}
			})
		}
		wg.Wait()
		return n
	}
	require.NotZero(t, refused())
	held := heap() - before
	require.Less(t, held, int64(64<<20), "of %d bytes sent", strangers*length)
	t.Logf("%d connections, each with %d bytes of %d: %d kB", strangers, length-1000, length, held>>10)
}

func TestWebhook_TimesOutABodyThatDoesNotArrive(t *testing.T) {
	r := newRig(t)
	r.pull(time.Hour)
	conn := r.post(forged(), 1000, "x")
	status, ok := answered(conn, patience)
	require.True(t, ok)
	require.Equal(t, http.StatusBadRequest, status)
}
