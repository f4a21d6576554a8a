// Package api serves the IngestService. It validates products and writes them to the built-in tables only. Capture
// reads these changes from the log like any other.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgxpool"

	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
	"github.com/driftless-sync/driftless/services/ingestion/internal/validation"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/connectjson"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
)

// Config of the API.
type Config struct {
	Pool      *pgxpool.Pool
	Validator *validation.Validator
	// WaitCaptured returns once everything committed before the call is captured, with the version up to which it is.
	WaitCaptured func(context.Context) (uint64, error)
	// ReadProducts reads products from the operator's tables, in the order of their ids.
	ReadProducts func(ctx context.Context, ids []string) ([]*ingestv1.TableProduct, error)
	// BuiltIn reports whether the catalog is in the built-in tables. The API does not write other tables.
	BuiltIn bool
	// Tokens that callers must send. Nil asks for none.
	Tokens *auth.Tokens
	// Logger of failures. Defaults to slog.Default().
	Logger *slog.Logger
}

// Bounds of calls, in bytes. A call needs several times its size in memory while it is handled.
const (
	// maxRequest allows a thousand products of 16 KiB each. A product with ten prices and a long description has about
	// 4 KiB.
	maxRequest = 16 << 20
	// maxWait is the bound of WaitCaptured, whose request is empty.
	maxWait = 4 << 10
	// maxBodies is the maximum memory for the bodies of all calls that are being read or handled.
	maxBodies = 32 << 20
	// maxWrites is the maximum number of concurrent writes. Capture takes its connections from the same pool.
	maxWrites = 4
	// queueTimeout is how long a call waits until it is handled.
	queueTimeout = 5 * time.Second
)

// New returns the API's handler.
func New(cfg Config) http.Handler {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	srv := &server{Config: cfg, reads: make(chan struct{}, maxReads)}
	access := connect.WithInterceptors(auth.Ingest.Interceptor())
	path, handler := ingestv1connect.NewIngestServiceHandler(srv,
		connectjson.Handler(maxRequest), access)
	bodies := httpserver.NewBodies(httpserver.Bounds{
		Max:   maxRequest,
		Small: 64 << 10,
		Count: 256,
		Large: maxBodies,
		Work:  maxWrites,
		Wait:  queueTimeout,
	})
	mux := http.NewServeMux()
	mux.Handle(path, bodies.Handler(handler))
	// WaitCaptured waits long and sends little. It must not take a place from the writes.
	_, waiting := ingestv1connect.NewIngestServiceHandler(srv, connectjson.Handler(maxWait), access)
	mux.Handle(ingestv1connect.IngestServiceWaitCapturedProcedure, http.MaxBytesHandler(waiting, maxWait))
	return cfg.Tokens.Handler(telemetry.HTTPServer(mux))
}

type server struct {
	Config

	// reads has an element for each read of the tables that runs.
	reads chan struct{}
}

var _ ingestv1connect.IngestServiceHandler = (*server)(nil)

// UpsertProducts writes products to the built-in tables, all or none.
func (s *server) UpsertProducts(ctx context.Context,
	req *connect.Request[ingestv1.UpsertProductsRequest],
) (*connect.Response[ingestv1.UpsertProductsResponse], error) {
	if err := s.writable(); err != nil {
		return nil, err
	}
	actor, err := actorOf(ctx, req.Msg.GetActor())
	if err != nil {
		return nil, err
	}
	products := req.Msg.GetProducts()
	faults := s.check(ctx, products)
	switch {
	case ctx.Err() != nil:
		return nil, s.callError(ctx, fmt.Errorf("check the products: %w", ctx.Err()))
	case len(faults) > 0:
		return nil, invalidArgument(faults)
	}
	written, faults, err := s.upsert(ctx, actor, products)
	switch {
	case err != nil:
		return nil, s.callError(ctx, err)
	case len(faults) > 0:
		return nil, invalidArgument(faults)
	}
	return connect.NewResponse(&ingestv1.UpsertProductsResponse{Products: written}), nil
}

// ArchiveProducts sets active to false for all products or none.
func (s *server) ArchiveProducts(ctx context.Context,
	req *connect.Request[ingestv1.ArchiveProductsRequest]) (*connect.Response[ingestv1.ArchiveProductsResponse],
	error,
) {
	if err := s.writable(); err != nil {
		return nil, err
	}
	actor, err := actorOf(ctx, req.Msg.GetActor())
	if err != nil {
		return nil, err
	}
	ids := req.Msg.GetIds()
	if faults := checkIDs(ids); len(faults) > 0 {
		return nil, invalidArgument(faults)
	}
	missing, err := s.archive(ctx, actor, ids)
	switch {
	case err != nil:
		return nil, s.callError(ctx, err)
	case len(missing) > 0:
		return nil, connect.NewError(connect.CodeNotFound,
			fmt.Errorf("the catalog has no product %s; nothing was written", listIDs(missing)))
	}
	return connect.NewResponse(&ingestv1.ArchiveProductsResponse{}), nil
}

// listIDs returns the first of some products, for messages.
func listIDs(ids []string) string {
	const most = 20
	names := make([]string, 0, most)
	for _, id := range ids[:min(len(ids), most)] {
		names = append(names, catalog.Abridged(id))
	}
	if more := len(ids) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names, ", "), more)
	}
	return strings.Join(names, ", ")
}

// WaitCaptured waits until everything committed before the call is captured.
func (s *server) WaitCaptured(ctx context.Context,
	_ *connect.Request[ingestv1.WaitCapturedRequest],
) (*connect.Response[ingestv1.WaitCapturedResponse], error) {
	version, err := s.Config.WaitCaptured(ctx)
	if err != nil {
		return nil, s.callError(ctx, err)
	}
	return connect.NewResponse(&ingestv1.WaitCapturedResponse{Version: version}), nil
}

func (s *server) writable() error {
	if s.BuiltIn {
		return nil
	}
	return connect.NewError(connect.CodeFailedPrecondition,
		errors.New("the catalog is mapped from the operator's own tables: write there"))
}
