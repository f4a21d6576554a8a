package control_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

// A request of 1.5 MB of gzip once expanded to 4 GB.
func TestControlAPI_BoundsDecompressedRequests(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	var member strings.Builder
	w := gzip.NewWriter(&member)
	_, err := w.Write(bytes.Repeat([]byte{' '}, 1<<20))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	// A gzip file may have several members, which are unpacked one after the other.
	bomb := strings.Repeat(member.String(), 300)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	status, answer := r.Call("GetStatus", bomb, "Content-Encoding", "gzip")
	runtime.ReadMemStats(&after)
	require.Equal(t, http.StatusTooManyRequests, status, string(answer))
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<20))

	status, answer = r.Call("GetStatus", "{"+strings.Repeat(" ", 5<<20)+"}")
	require.Equal(t, http.StatusTooManyRequests, status, string(answer))
	status, answer = r.Call("AdoptProducts", `{"adoptions":[`+strings.Repeat(`{},`, 200_000)+`{}]}`)
	require.Equal(t, http.StatusBadRequest, status, string(answer))
	require.Contains(t, string(answer), "a request may hold at most 100000 objects")
	status, answer = r.Call("GetStatus", "{"+strings.Repeat(" ", 3<<20)+"}")
	require.Equal(t, http.StatusOK, status, string(answer))
}
