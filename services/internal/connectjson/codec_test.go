package connectjson_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
	"github.com/driftless-sync/driftless/services/internal/connectjson"
)

// handler answers with the ids and default prices that it received.
type handler struct {
	ingestv1connect.UnimplementedIngestServiceHandler
}

func (handler) UpsertProducts(_ context.Context,
	req *connect.Request[ingestv1.UpsertProductsRequest],
) (*connect.Response[ingestv1.UpsertProductsResponse], error) {
	out := &ingestv1.UpsertProductsResponse{}
	for _, p := range req.Msg.GetProducts() {
		out.Products = append(out.Products, &ingestv1.UpsertedProduct{
			Id:      p.GetId() + p.GetDefaultPrice(),
			Created: true,
		})
	}
	return connect.NewResponse(out), nil
}

func serve(t *testing.T) string {
	t.Helper()
	_, h := ingestv1connect.NewIngestServiceHandler(handler{}, connectjson.Handler(1<<20))
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func TestHandler_AcceptsOnlyTheContractsNames(t *testing.T) {
	t.Parallel()
	url := serve(t)
	for _, contentType := range []string{
		"application/json", "application/json; charset=utf-8",
		"application/json;charset=UTF-8",
	} {
		call := func(body string) (int, string) {
			resp, err := http.Post(url+ingestv1connect.IngestServiceUpsertProductsProcedure, contentType,
				strings.NewReader(body))
			require.NoError(t, err)
			defer resp.Body.Close()
			answer, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			return resp.StatusCode, string(answer)
		}
		status, answer := call(`{"products": [{"id": "a", "default_price": "b"}]}`)
		require.Equal(t, http.StatusOK, status, answer)
		require.JSONEq(t, `{"products": [{"id": "ab", "created": true}]}`, answer)

		status, answer = call(`{"products": [{"id": "a", "price_default": "b"}]}`)
		require.Equal(t, http.StatusBadRequest, status, contentType)
		require.JSONEq(t,
			`{"code": "invalid_argument", "message": "unmarshal message: (line 1:27): unknown field \"price_default\""}`, answer)

		status, answer = call(``)
		require.Equal(t, http.StatusOK, status, answer)
	}
}

func TestCodec_WritesStripesNames(t *testing.T) {
	t.Parallel()
	data, err := connectjson.Codec{}.Marshal(&catalogv1.Price{Id: "p", UnitAmount: "5", LookupKey: "k"})
	require.NoError(t, err)
	require.JSONEq(t, `{"id": "p", "unit_amount": "5", "lookup_key": "k"}`, string(data))
	_, err = connectjson.Codec{}.Marshal("p")
	require.ErrorContains(t, err, "string is not a protobuf message")
	require.ErrorContains(t, connectjson.Codec{}.Unmarshal(nil, "p"), "string is not a protobuf message")
}

func TestCodec_WorksInAClient(t *testing.T) {
	t.Parallel()
	client := ingestv1connect.NewIngestServiceClient(http.DefaultClient, serve(t),
		connect.WithCodec(connectjson.Codec{}))
	resp, err := client.UpsertProducts(t.Context(),
		connect.NewRequest(&ingestv1.UpsertProductsRequest{Products: []*catalogv1.Product{{Id: "a"}}}))
	require.NoError(t, err)
	require.Equal(t, "a", resp.Msg.GetProducts()[0].GetId())
}
