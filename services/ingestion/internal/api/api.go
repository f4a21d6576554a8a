// Package api serves the IngestService: it validates products and writes them to the built-in tables, and to those
// only. Capture learns of them as of every other change, from the log.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
	"github.com/driftless-sync/driftless/services/connectjson"
	"github.com/driftless-sync/driftless/services/httpserver"
	"github.com/driftless-sync/driftless/services/ingestion/internal/validation"
	"github.com/driftless-sync/driftless/services/telemetry"
)

// Config of the API.
type Config struct {
	Pool      *pgxpool.Pool
	Validator *validation.Validator
	// WaitCaptured returns once everything committed before the call is captured, and up to which position.
	WaitCaptured func(context.Context) (uint64, error)
	// BuiltIn is true if the catalog is the built-in tables; others are not written.
	BuiltIn bool
	// Token that callers must show; none if empty.
	Token  string
	Logger *slog.Logger
}

// maxRequest bounds a request: a thousand products of a few kilobytes each, and room.
const maxRequest = 32 << 20

// New makes the API's handler.
func New(cfg Config) http.Handler {
	path, handler := ingestv1connect.NewIngestServiceHandler(&server{cfg},
		connect.WithCodec(connectjson.Codec{}), connect.WithReadMaxBytes(maxRequest))
	mux := http.NewServeMux()
	mux.Handle(path, handler)
	return httpserver.BearerToken(cfg.Token, telemetry.HTTPServer(mux))
}

type server struct{ Config }

var _ ingestv1connect.IngestServiceHandler = (*server)(nil)

// UpsertProducts writes products to the built-in tables, all or none.
func (s *server) UpsertProducts(ctx context.Context, req *connect.Request[ingestv1.UpsertProductsRequest]) (*connect.Response[ingestv1.UpsertProductsResponse], error) {
	if err := s.writable(); err != nil {
		return nil, err
	}
	products := req.Msg.GetProducts()
	faults := s.check(products)
	if len(faults) == 0 {
		written, moved, err := s.upsert(ctx, products)
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		if faults = moved; len(faults) == 0 {
			return connect.NewResponse(&ingestv1.UpsertProductsResponse{Products: written}), nil
		}
	}
	return nil, refusal(faults)
}

// ArchiveProducts sets active to false, on all or none.
func (s *server) ArchiveProducts(ctx context.Context, req *connect.Request[ingestv1.ArchiveProductsRequest]) (*connect.Response[ingestv1.ArchiveProductsResponse], error) {
	if err := s.writable(); err != nil {
		return nil, err
	}
	ids := req.Msg.GetIds()
	if len(ids) == 0 || len(ids) > maxProducts {
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("ids: must be between 1 and %d", maxProducts))
	}
	missing, err := s.archive(ctx, ids)
	switch {
	case err != nil:
		return nil, s.failed(ctx, err)
	case len(missing) > 0:
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("the catalog has no product %s; nothing was written", strings.Join(missing, ", ")))
	}
	return connect.NewResponse(&ingestv1.ArchiveProductsResponse{}), nil
}

// WaitCaptured waits for capture to pass everything committed before the call.
func (s *server) WaitCaptured(ctx context.Context, _ *connect.Request[ingestv1.WaitCapturedRequest]) (*connect.Response[ingestv1.WaitCapturedResponse], error) {
	version, err := s.Config.WaitCaptured(ctx)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return connect.NewResponse(&ingestv1.WaitCapturedResponse{Version: version}), nil
}

func (s *server) writable() error {
	if s.BuiltIn {
		return nil
	}
	return connect.NewError(connect.CodeFailedPrecondition, errors.New("the catalog is mapped from the operator's own tables: write there"))
}

// failed turns an error of the database into an answer that tells the caller what to do.
func (s *server) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return connect.NewError(connect.CodeCanceled, err)
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "23505" && strings.Contains(pg.ConstraintName, "lookup_key") {
		return refusal([]*ingestv1.FieldViolation{{
			Field: "lookup_key", Message: "must be unique in the catalog: " + pg.Detail,
		}})
	}
	s.Logger.ErrorContext(ctx, "the catalog database refused a call", "error", err)
	return connect.NewError(connect.CodeUnavailable, fmt.Errorf("the catalog database: %w; nothing was written, try again", err))
}

// Bounds of what a refusal says: all violations as details, the first in the message.
const (
	maxDetails = 100
	maxLines   = 10
)

func refusal(faults []*ingestv1.FieldViolation) error {
	var b strings.Builder
	fmt.Fprintf(&b, "nothing was written: %d fields are not valid", len(faults))
	for i, f := range faults {
		if i == maxLines {
			fmt.Fprintf(&b, "\n  and %d more", len(faults)-maxLines)
			break
		}
		fmt.Fprintf(&b, "\n  %s", f.GetField())
		if f.GetProductId() != "" {
			fmt.Fprintf(&b, " (product %s)", f.GetProductId())
		}
		fmt.Fprintf(&b, ": %s", f.GetMessage())
	}
	err := connect.NewError(connect.CodeInvalidArgument, errors.New(b.String()))
	for i, f := range faults {
		if i == maxDetails {
			break
		}
		if detail, detailErr := connect.NewErrorDetail(f); detailErr == nil {
			err.AddDetail(detail)
		}
	}
	return err
}
