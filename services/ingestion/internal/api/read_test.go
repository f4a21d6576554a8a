package api_test

import (
	"context"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
	"github.com/driftless-sync/driftless/services/ingestion/internal/api"
)

// Reads take connections from the pool of capture, so no more than two run, and others wait.
func TestReadProducts_RunsTwoReadsAtATime(t *testing.T) {
	t.Parallel()
	started, end := make(chan struct{}, 10), make(chan struct{})
	var running, most atomic.Int64
	server := httptest.NewServer(api.New(api.Config{
		ReadProducts: func(ctx context.Context, _ []string) ([]*ingestv1.TableProduct, error) {
			n := running.Add(1)
			defer running.Add(-1)
			if n > most.Load() {
				most.Store(n)
			}
			started <- struct{}{}
			select {
			case <-end:
				return nil, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
	}))
	t.Cleanup(server.Close)
	client := ingestv1connect.NewIngestServiceClient(server.Client(), server.URL)
	read := func(ctx context.Context) error {
		_, err := client.ReadProducts(ctx, connect.NewRequest(&ingestv1.ReadProductsRequest{Ids: []string{"mug"}}))
		return err
	}
	var calls sync.WaitGroup
	for range 2 {
		calls.Go(func() { _ = read(t.Context()) })
		<-started
	}
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	require.Equal(t, connect.CodeDeadlineExceeded, connect.CodeOf(read(short)))
	waiting := make(chan error, 1)
	go func() { waiting <- read(t.Context()) }()
	close(end)
	calls.Wait()
	err := <-waiting
	require.NoError(t, err)
	require.EqualValues(t, 2, most.Load())
}
