package connectjson_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
)

func call(t *testing.T, contentType, encoding string, body []byte) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		serve(t)+ingestv1connect.IngestServiceUpsertProductsProcedure, bytes.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", contentType)
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(data)
}

// TestHandler_RefusesTooManyObjects: an empty object has two bytes in a request, and takes hundreds of bytes in
// memory.
func TestHandler_RefusesTooManyObjects(t *testing.T) {
	t.Parallel()
	message := func(n int) *ingestv1.UpsertProductsRequest {
		p := &catalogv1.Product{Id: "p"}
		for range n {
			p.Prices = append(p.Prices, &catalogv1.Price{})
		}
		return &ingestv1.UpsertProductsRequest{Products: []*catalogv1.Product{p}}
	}
	encoded := func(n int) []byte {
		data, err := proto.Marshal(message(n))
		require.NoError(t, err)
		return data
	}
	written := func(n int) []byte {
		return []byte(`{"products":[{"id":"p","prices":[` + strings.TrimSuffix(strings.Repeat("{},", n), ",") + `]}]}`)
	}
	for _, c := range []struct {
		contentType string
		body        func(int) []byte
	}{
		{"application/json", written},
		{"application/json; charset=utf-8", written},
		{"application/proto", encoded},
	} {
		status, answer := call(t, c.contentType, "", c.body(99_990))
		require.Equal(t, http.StatusOK, status, "%s: %s", c.contentType, answer)
		status, answer = call(t, c.contentType, "", c.body(100_001))
		require.Equal(t, http.StatusBadRequest, status, c.contentType)
		require.Contains(t, answer, "a request may hold at most 100000 objects")
	}
}

func TestHandler_CountsOnlyObjects(t *testing.T) {
	t.Parallel()
	id := strings.Repeat(`{`, 200_000) + `\"` + strings.Repeat(`{`, 200_000)
	status, answer := call(t, "application/json", "", []byte(`{"products":[{"id":"`+id+`"}]}`))
	require.Equal(t, http.StatusOK, status, "%.100s", answer)

	keys := map[string]string{}
	for i := range 50_001 {
		keys[string(rune(i+0x10000))] = ""
	}
	data, err := proto.Marshal(&ingestv1.UpsertProductsRequest{
		Products: []*catalogv1.Product{{Id: "p", Metadata: keys}, {Metadata: keys}},
	})
	require.NoError(t, err)
	status, answer = call(t, "application/proto", "", data)
	require.Equal(t, http.StatusOK, status, "%.100s", answer)

	status, _ = call(t, "application/proto", "", []byte{0xff, 0xff, 0xff})
	require.Equal(t, http.StatusBadRequest, status)
	status, _ = call(t, "application/json", "", []byte(`{"products":["\`))
	require.Equal(t, http.StatusBadRequest, status)
}

// TestHandler_RefusesAGzipBomb: a message that exceeds the limit is not read to its end.
func TestHandler_RefusesAGzipBomb(t *testing.T) {
	t.Parallel()
	var member bytes.Buffer
	w := gzip.NewWriter(&member)
	_, err := w.Write(bytes.Repeat([]byte{' '}, 1<<20))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	// A gzip file may have several members, which are unpacked one after the other.
	bomb := bytes.Repeat(member.Bytes(), 200)
	status, answer := call(t, "application/json", "gzip", bomb)
	require.Equal(t, http.StatusTooManyRequests, status)
	require.Contains(t, answer, `"resource_exhausted"`)
	require.Contains(t, answer, "unable to determine message size", "200 MB are not unpacked to say so")

	var small bytes.Buffer
	w.Reset(&small)
	_, err = w.Write([]byte(`{"products":[{"id":"p"}]}`))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	status, answer = call(t, "application/json", "gzip", small.Bytes())
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"products":[{"id":"p","created":true}]}`, answer)
}

func TestHandler_SpeaksGRPCWithGzip(t *testing.T) {
	t.Parallel()
	client := ingestv1connect.NewIngestServiceClient(http.DefaultClient, serve(t), connect.WithGRPCWeb(),
		connect.WithSendGzip())
	resp, err := client.UpsertProducts(t.Context(),
		connect.NewRequest(&ingestv1.UpsertProductsRequest{Products: []*catalogv1.Product{{Id: "p"}}}))
	require.NoError(t, err)
	require.Equal(t, "p", resp.Msg.GetProducts()[0].GetId())
	_, err = client.UpsertProducts(t.Context(),
		connect.NewRequest(&ingestv1.UpsertProductsRequest{
			Products: []*catalogv1.Product{{Id: strings.Repeat("x", 1<<20)}},
		}))
	require.Equal(t, connect.CodeResourceExhausted, connect.CodeOf(err))
}
