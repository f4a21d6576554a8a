// Package control serves the control API. It answers operators from the ledger and the mesh, and sends their commands
// to the services that carry them out.
package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/nuid"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/connectjson"
	"github.com/driftless-sync/driftless/services/internal/guard"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/command"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/notify"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/request"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/view"
)

// Limits of requests and answers.
const (
	// maxNamed is how many products a request may name, and how many entries an answer may have.
	maxNamed     = 1000
	defaultLimit = 100
	// maxPlanned is how many products a plan may have.
	maxPlanned = 10_000
	// maxRequest is in bytes: a thousand adoptions with the ids of 30 prices each. All other requests are far smaller.
	maxRequest = 4 << 20
)

// syncProduct commands push to sync a product, with a reread from Stripe first if that is asked for.
func (c control) syncProduct(ctx context.Context, product string, reread bool, about command.About) error {
	sync := &meshv1.SyncProduct{ProductId: product, Look: reread}
	return c.Commands.Publish(ctx, c.Commands.Sync(about, sync), product)
}

// Config is what the API works with.
type Config struct {
	// Account is the name of the Stripe account.
	Account string
	// Tokens are those that the API accepts. Nil asks for none.
	Tokens *auth.Tokens
	// Version is the version of the program.
	Version  string
	Mesh     *mesh.Mesh
	Stores   *state.Stores
	Ledger   *ledger.Ledger
	Commands command.Issuer
	View     *view.Reader
	// Unpublished returns why some messages of the ledger are not published, "" if each is.
	Unpublished func() string
	// Notifier sends the account's notifications.
	Notifier *notify.Notifier
	// Approvers is how many different people must approve a held change. 0 means 1. Push must have the same number.
	Approvers int
	// CanWriteBack returns why the operator's tables cannot take a field from Stripe, which is named as in the policy:
	// "prices.nickname". Nil means that they take every field.
	CanWriteBack func(field string) error
	// Mapped reports whether the catalog is in the operator's tables, not in the built-in ones.
	Mapped bool
	// CanInsert returns why the operator's tables cannot get another row: a "product" or a "price". Nil means that they
	// can.
	CanInsert func(object string) error
	// Guard are push's rules, for forecasts of what push would hold.
	Guard guard.Config
	// Policy is push's policy, for forecasts.
	Policy *catalog.Policy
	// Stopping is closed when the service stops, so that calls which wait end. Nil means never.
	Stopping <-chan struct{}
	Now      func() time.Time
	Logger   *slog.Logger
}

// control serves the ControlService.
type control struct {
	Config
	// activityWaiters has an entry for each call of ListActivity that waits.
	activityWaiters chan struct{}
	// counts are the latest counts of products.
	counts *countCache
	// status is the reading of the status that callers share.
	status *sharedReading[statusReading]
	// adoptions is the latest plan of adoptions.
	adoptions *planCache
}

var _ controlv1connect.ControlServiceHandler = control{}

// Handler returns the handler of the API.
func Handler(cfg Config) http.Handler {
	if cfg.CanWriteBack == nil {
		cfg.CanWriteBack = func(string) error { return nil }
	}
	if cfg.CanInsert == nil {
		cfg.CanInsert = func(string) error { return nil }
	}
	c := control{
		Config:          cfg,
		activityWaiters: make(chan struct{}, maxActivityWaiters),
		counts:          newCountCache(cfg.Now),
		adoptions:       newPlanCache(cfg.Now),
	}
	c.status = newSharedReading(c.readStatus, cfg.Now)
	path, handler := controlv1connect.NewControlServiceHandler(c, connectjson.Handler(maxRequest),
		connect.WithInterceptors(auth.Control.Interceptor(), validateRequests(), c.requireNATS(),
			requireLedger(c.Ledger.Answers, slowCall, answerTimeout)))
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
	return c.Tokens.Handler(telemetry.HTTPServer(mux))
}

// maxReportedFaults is how many faults of a request an answer lists.
const maxReportedFaults = 10

// validateRequests refuses requests that break the contract, or that name ids that the ledger cannot store. It does so
// before anything is published for them.
func validateRequests() connect.UnaryInterceptorFunc {
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
			var faultTexts []string
			for _, fault := range faults[:min(len(faults), maxReportedFaults)] {
				faultTexts = append(faultTexts, fault.String())
			}
			if more := len(faults) - len(faultTexts); more > 0 {
				faultTexts = append(faultTexts, fmt.Sprintf("and at least %d more", more))
			}
			return nil, connect.NewError(connect.CodeInvalidArgument, errors.New(strings.Join(faultTexts, "; ")))
		}
	}
}

// withoutNATS are the methods that also answer while NATS is unreachable, from the ledger. Each answer says that it is
// old.
var withoutNATS = []string{
	controlv1connect.ControlServiceExplainProcedure,
	controlv1connect.ControlServiceListHistoryProcedure,
	controlv1connect.ControlServiceWhoAmIProcedure,
}

// requireNATS fails calls at once with Unavailable while NATS is unreachable. Without it they would wait until their
// deadline.
func (c control) requireNATS() connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			if err := c.Mesh.Ready(ctx); err != nil && !slices.Contains(withoutNATS, req.Spec().Procedure) {
				return nil, unavailable(fmt.Errorf("reconciliation has no connection to its streams (see docs/runbooks/DriftlessNatsDown.md): %w", err))
			}
			return next(ctx, req)
		}
	}
}

// unknown returns the products that neither the ledger nor CATALOG nor OBSERVED knows: the ledger may be behind, or
// new.
func (c control) unknown(ctx context.Context, ids []string) ([]string, error) {
	unknown, err := c.Ledger.Unknown(ctx, ids)
	if err != nil || len(unknown) == 0 {
		return nil, err
	}
	desired, err := c.Stores.Desired().LatestMany(ctx, c.Account, unknown)
	if err != nil {
		return nil, err
	}
	observed, err := c.Stores.Observed().GetMany(ctx, c.Account, unknown)
	if err != nil {
		return nil, err
	}
	var nowhere []string
	for i, id := range unknown {
		if desired[i] == nil && observed[i].Revision == 0 {
			nowhere = append(nowhere, id)
		}
	}
	return nowhere, nil
}

// StartScan commands pull to scan all of Stripe.
func (c control) StartScan(ctx context.Context,
	req *connect.Request[controlv1.StartScanRequest],
) (*connect.Response[controlv1.StartScanResponse], error) {
	asked, err := byCaller(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	id := nuid.Next()
	if err := c.Commands.Scan(ctx, asked.about(id, "requested")); err != nil {
		return nil, unavailable(err)
	}
	if err := c.recordForAll(ctx, asked, "scan", "scan of Stripe"); err != nil {
		return nil, unavailable(err)
	}
	return connect.NewResponse(&controlv1.StartScanResponse{Id: id}), nil
}

// GetScan returns the report of the latest scan, running or finished.
func (c control) GetScan(ctx context.Context,
	_ *connect.Request[controlv1.GetScanRequest],
) (*connect.Response[controlv1.GetScanResponse], error) {
	scan, err := c.View.LastScan(ctx)
	switch {
	case err != nil:
		return nil, unavailable(err)
	case scan == nil:
		return nil, connect.NewError(connect.CodeNotFound,
			errors.New("the account was never scanned: start a scan with StartScan"))
	}
	return connect.NewResponse(&controlv1.GetScanResponse{Scan: scan}), nil
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

// unavailable turns an error into Unavailable, which tells the caller to try again. If the values of the request caused
// the error, it returns InvalidArgument.
func unavailable(err error) error {
	if ledger.Refused(err) {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	return connect.NewError(connect.CodeUnavailable, explainAway(err))
}

// Reread commands ingestion to read products again from the operator's tables, or the whole catalog if none are named.
func (c control) Reread(ctx context.Context,
	req *connect.Request[controlv1.RereadRequest],
) (*connect.Response[controlv1.RereadResponse], error) {
	asked, err := byCaller(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	ids := req.Msg.GetProductIds()
	id := nuid.Next()
	if err := c.Commands.Backfill(ctx, asked.about(id, "requested"), ids); err != nil {
		return nil, unavailable(err)
	}
	if len(ids) == 0 {
		err = c.recordForAll(ctx, asked, "reread", "the whole catalog")
	}
	for _, product := range distinct(ids) {
		if err == nil {
			err = c.record(ctx, asked, ledger.Entry{
				EventID: "REREAD:" + id + ":" + product,
				Product: product,
				Kind:    "reread",
				Detail:  "reread from the tables",
			}, nil)
		}
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return connect.NewResponse(&controlv1.RereadResponse{Id: id}), nil
}
