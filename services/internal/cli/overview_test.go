package cli

import (
	"context"
	"io"
	"os"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

func (s *stub) ListProducts(_ context.Context,
	req *connect.Request[controlv1.ListProductsRequest],
) (*connect.Response[controlv1.ListProductsResponse], error) {
	return answer(s.products(req.Msg))
}

func TestProducts_FindsRefusedProductsThatLeftTheCatalog(t *testing.T) {
	kinds := [][]string{}
	url := (&stub{
		products: func(r *controlv1.ListProductsRequest) (*controlv1.ListProductsResponse, error) {
			kinds = append(kinds, r.GetKinds())
			return &controlv1.ListProductsResponse{}, nil
		},
		status: func() (*controlv1.GetStatusResponse, error) {
			return &controlv1.GetStatusResponse{Dead: 3, Equality: &controlv1.Equality{
				Unknown: "no ingestion runs", AsOf: timestamppb.Now(),
			}}, nil
		},
	}).serve(t)
	out, code := outputOf(t, "products", "--state", "dead", "--control", url)
	require.Equal(t, 0, code, out)
	require.Contains(t, out, "No product matches.\n\nunknown: no ingestion runs; 3 products differ as far as is known")
	_, _ = outputOf(t, "products", "--control", url)
	_, _ = outputOf(t, "products", "--state", "dead", "--kind", "left", "--control", url)
	require.Equal(t, [][]string{nil, {"catalog", "extra"}, {"left"}}, kinds)
	out, code = outputOf(t, "products", "--csv", "--control", url)
	require.Equal(t, 0, code, out)
	require.Equal(t, "product,state,name,prices,default price,in Stripe\n", out)
}

func TestTop_ExitsWithTwoIfUnknown(t *testing.T) {
	equality := &controlv1.Equality{Unknown: "no ingestion runs"}
	url := (&stub{
		status: func() (*controlv1.GetStatusResponse, error) {
			return &controlv1.GetStatusResponse{
				Equality: equality, Services: []*controlv1.ServiceStatus{{Service: "push", Running: 1}},
			}, nil
		},
		retries: func() (*controlv1.ListRetriesResponse, error) { return &controlv1.ListRetriesResponse{}, nil },
	}).serve(t)
	for range 2 {
		want := 2
		if unknownBecause(equality) == "" {
			want = 0
		}
		for _, args := range [][]string{{"top", "--once"}, {"top", "-o", "json"}} {
			out, code := outputOf(t, append(args, "--control", url)...)
			require.Equal(t, want, code, out)
		}
		equality = equalNow()
	}
}

// Silence about half a million entries says nothing about those before.
func TestTail_SaysThatItLookedAtTheLatestEntriesOnly(t *testing.T) {
	last := uint64(latestEntries)
	url := (&stub{activity: func(*controlv1.ListActivityRequest) (*controlv1.ListActivityResponse, error) {
		return &controlv1.ListActivityResponse{LastId: last}, nil
	}}).serve(t)
	stderr := func() string {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		was := os.Stderr
		os.Stderr = w
		out, code := outputOf(t, "tail", "--failed", "--control", url)
		os.Stderr = was
		require.NoError(t, w.Close())
		require.Equal(t, 0, code)
		require.Empty(t, out)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		return string(text)
	}
	require.Empty(t, stderr(), "it looked at all")
	last++
	require.Equal(t, "nothing found, but only the latest 500,000 entries were looked at\n", stderr())
}
