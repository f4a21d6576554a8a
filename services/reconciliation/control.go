package reconciliation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/nuid"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/connectjson"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/request"
)

// maxNamed is how many products a request may name, and how many entries an answer may have.
const (
	maxNamed     = 1000
	defaultLimit = 100
	// maxPlanned is how many products a plan may have.
	maxPlanned = 10_000
	// maxRequest in bytes: a thousand adoptions with the ids of 30 prices each. Everything else is far smaller.
	maxRequest = 4 << 20
)

// operator is the issuer of orders that come through the control API.
const operator = "operator"

// control serves the ControlService.
type control struct{ *reconciler }

var _ controlv1connect.ControlServiceHandler = control{}

func (r *reconciler) controlAPI() http.Handler {
	path, handler := controlv1connect.NewControlServiceHandler(control{r}, connectjson.Handler(maxRequest),
		connect.WithInterceptors(checked(), r.connected()))
	bodies := httpserver.NewBodies(httpserver.Bounds{
		Max:   maxRequest,
		Small: 64 << 10,
		Count: 256,
		Large: 4 * maxRequest,
		Work:  32,
		Wait:  5 * time.Second,
	})
	mux := http.NewServeMux()
	mux.Handle(path, bodies.Handler(handler))
	return httpserver.BearerToken(r.Token, telemetry.HTTPServer(mux))
}

// maxTold is how many faults of a request an answer names.
const maxTold = 10

// checked refuses requests that break the contract, or name what the ledger cannot store, before anything is published
// for them.
func checked() connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			m, ok := req.Any().(proto.Message)
			if !ok {
				return nil, connect.NewError(connect.CodeInternal, fmt.Errorf("%T is not a message", req.Any()))
			}
			faults := request.Check(m)
			if len(faults) == 0 {
				return next(ctx, req)
			}
			told := make([]string, min(len(faults), maxTold))
			for i := range told {
				told[i] = faults[i].String()
			}
			if more := len(faults) - len(told); more > 0 {
				told = append(told, fmt.Sprintf("and at least %d more", more))
			}
			return nil, connect.NewError(connect.CodeInvalidArgument, errors.New(strings.Join(told, "; ")))
		}
	}
}

// connected has calls answered at once that would wait for NATS.
func (r *reconciler) connected() connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			if err := r.mesh.Ready(ctx); err != nil {
				return nil, unavailable(fmt.Errorf("reconciliation has no connection to its streams: %w", err))
			}
			return next(ctx, req)
		}
	}
}

// SyncProducts orders ingestion to read products from the operator's tables, and push to bring them to their latest
// desired state. Their dead letters that are about no version are settled by it: what fails again writes new ones. A
// product that neither side has as far as is known costs no order of its own and no entry of the audit trail.
func (c control) SyncProducts(ctx context.Context,
	req *connect.Request[controlv1.SyncProductsRequest],
) (*connect.Response[controlv1.SyncProductsResponse], error) {
	ids := distinct(req.Msg.GetProductIds())
	unknown, err := c.ledger.Unknown(ctx, ids)
	if err != nil {
		return nil, unavailable(err)
	}
	reread := nuid.Next()
	if err := c.backfill(ctx, ids, operator, "sync", reread); err != nil {
		return nil, unavailable(err)
	}
	for _, id := range ids {
		if slices.Contains(unknown, id) {
			// Ingestion looks for it. If the tables have it, push learns of it from CATALOG.
			continue
		}
		command, at := nuid.Next(), c.Now()
		if err := c.order(ctx, id, req.Msg.GetLook(), operator, "asked for", command); err != nil {
			return nil, unavailable(err)
		}
		detail := "sync"
		if req.Msg.GetLook() {
			detail = "sync, with a look at Stripe"
		}
		if err := c.ledger.Apply(ctx,
			ledger.AuditEntry(ledger.Entry{
				EventID: "ORDER:" + command,
				Product: id,
				At:      at,
				Kind:    "ordered",
				Detail:  detail,
				TraceID: traceID(ctx),
			})); err != nil {
			return nil, unavailable(err)
		}
	}
	return connect.NewResponse(&controlv1.SyncProductsResponse{RereadId: reread, Unknown: unknown}), nil
}

// Approve lets push archive what the guard holds, and whatever else the catalog loses until then.
func (c control) Approve(ctx context.Context,
	req *connect.Request[controlv1.ApproveRequest],
) (*connect.Response[controlv1.ApproveResponse], error) {
	duration, asked := time.Hour, req.Msg.GetDuration() != nil
	if asked {
		duration = req.Msg.GetDuration().AsDuration()
	}
	now, err := c.mesh.Clock().Now(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	var until *timestamppb.Timestamp
	if duration > 0 {
		until = timestamppb.New(now.Add(duration))
	}
	var held []string
	for {
		guard := &meshv1.Guard{}
		revision, err := c.mesh.Guard(c.Account).GetAt(ctx, guard)
		if err != nil {
			return nil, unavailable(err)
		}
		if !asked && len(guard.GetHeld()) == 0 {
			return nil, connect.NewError(connect.CodeFailedPrecondition,
				errors.New("the guard holds nothing; to let everything be archived for a while all the same, say for how long"))
		}
		guard.ApprovedUntil = until
		if until != nil {
			held, guard.Held, guard.HeldSince = guard.GetHeld(), nil, nil
		}
		_, err = c.mesh.Guard(c.Account).CompareAndPut(ctx, guard, revision)
		if errors.Is(err, mesh.ErrConflict) {
			continue
		}
		if err != nil {
			return nil, unavailable(err)
		}
		break
	}
	if until == nil {
		c.Logger.WarnContext(ctx, "approval of a mass change ended")
		return connect.NewResponse(&controlv1.ApproveResponse{}), nil
	}
	c.Logger.WarnContext(ctx, "mass change approved", "until", until.AsTime(), "held", len(held))
	// Those that are not on the list come back by themselves.
	for _, id := range held {
		if err := c.order(ctx, id, false, operator, "approved", nuid.Next()); err != nil {
			return nil, unavailable(err)
		}
	}
	return connect.NewResponse(&controlv1.ApproveResponse{Until: until, ProductIds: held}), nil
}

// StartScan orders a full scan of Stripe.
func (c control) StartScan(ctx context.Context,
	_ *connect.Request[controlv1.StartScanRequest],
) (*connect.Response[controlv1.StartScanResponse], error) {
	id := nuid.Next()
	if err := c.scan(ctx, id, operator, "asked for"); err != nil {
		return nil, unavailable(err)
	}
	return connect.NewResponse(&controlv1.StartScanResponse{Id: id}), nil
}

// GetScan tells how the newest scan goes or went.
func (c control) GetScan(ctx context.Context,
	_ *connect.Request[controlv1.GetScanRequest],
) (*connect.Response[controlv1.GetScanResponse], error) {
	scan, err := c.lastScan(ctx)
	switch {
	case err != nil:
		return nil, unavailable(err)
	case scan == nil:
		return nil, connect.NewError(connect.CodeNotFound,
			errors.New("the account was never scanned: start a scan with StartScan"))
	}
	return connect.NewResponse(&controlv1.GetScanResponse{Scan: scan}), nil
}

// ListHistory shows everything recorded about a product, newest first.
func (c control) ListHistory(ctx context.Context,
	req *connect.Request[controlv1.ListHistoryRequest],
) (*connect.Response[controlv1.ListHistoryResponse], error) {
	limit := int(cmp.Or(req.Msg.GetLimit(), defaultLimit))
	entries, err := c.ledger.History(ctx, req.Msg.GetProductId(), limit)
	if err != nil {
		return nil, unavailable(err)
	}
	out := &controlv1.ListHistoryResponse{}
	for _, e := range entries {
		entry := &controlv1.HistoryEntry{}
		if e.Data != nil {
			if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(e.Data, entry); err != nil {
				return nil, connect.NewError(connect.CodeInternal,
					fmt.Errorf("entry %s of the history: %w", e.EventID, err))
			}
		}
		entry.At, entry.Kind, entry.Version, entry.Detail, entry.TraceId = timestamppb.New(e.At), e.Kind, e.Version,
			e.Detail, e.TraceID
		out.Entries = append(out.Entries, entry)
	}
	return connect.NewResponse(out), nil
}

// ListDeadLetters shows open dead letters, newest first.
func (c control) ListDeadLetters(ctx context.Context,
	req *connect.Request[controlv1.ListDeadLettersRequest]) (*connect.Response[controlv1.ListDeadLettersResponse],
	error,
) {
	limit := int(cmp.Or(req.Msg.GetLimit(), defaultLimit))
	of := ledger.Letters{Products: req.Msg.GetProductIds(), Reason: req.Msg.GetReason(), Service: req.Msg.GetService()}
	letters, err := c.ledger.DeadLetters(ctx, of, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	return connect.NewResponse(&controlv1.ListDeadLettersResponse{DeadLetters: letters}), nil
}

// distinct returns ids without repetitions, in their order.
func distinct(ids []string) []string {
	seen := make(map[string]bool, len(ids))
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		again := seen[id]
		seen[id] = true
		return again
	})
}

func invalid(format string, args ...any) error {
	return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf(format, args...))
}

// unavailable is what a call answers that failed: to try again helps, unless the values of the call are the reason.
func unavailable(err error) error {
	if ledger.Refused(err) {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	return connect.NewError(connect.CodeUnavailable, err)
}
