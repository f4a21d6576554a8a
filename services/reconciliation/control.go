package reconciliation

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/nuid"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/budget"
	"github.com/driftless-sync/driftless/services/catalog"
	"github.com/driftless-sync/driftless/services/connectjson"
	"github.com/driftless-sync/driftless/services/httpserver"
	"github.com/driftless-sync/driftless/services/mesh"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
	"github.com/driftless-sync/driftless/services/telemetry"
)

// maxNamed is how many products a request may name, and how many entries an answer may have.
const (
	maxNamed     = 1000
	defaultLimit = 100
	// maxPlanned is how many products a plan may have.
	maxPlanned = 10_000
)

// operator is the issuer of orders that come through the control API.
const operator = "operator"

// control serves the ControlService.
type control struct{ *reconciler }

var _ controlv1connect.ControlServiceHandler = control{}

func (r *reconciler) controlAPI() http.Handler {
	path, handler := controlv1connect.NewControlServiceHandler(control{r}, connectjson.Handler(), connect.WithInterceptors(r.connected()))
	mux := http.NewServeMux()
	mux.Handle(path, handler)
	return httpserver.BearerToken(r.Token, telemetry.HTTPServer(mux))
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

// GetStatus counts products by state and shows every consumer's backlog.
func (c control) GetStatus(ctx context.Context, _ *connect.Request[controlv1.GetStatusRequest]) (*connect.Response[controlv1.GetStatusResponse], error) {
	counts, err := c.ledger.Counts(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	drift, err := c.ledger.DriftCounts(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	consumers, err := c.mesh.Consumers(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	scan, err := c.lastScan(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	poll := &meshv1.PollReport{}
	if ok, err := c.mesh.Cursor("poll."+c.Account).Get(ctx, poll); err != nil {
		return nil, unavailable(err)
	} else if !ok {
		poll = nil
	}
	halted, err := c.mesh.Halted(c.Account).GetString(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	retrying, err := c.mesh.RetryingCount(ctx, mesh.Push, c.Account)
	if err != nil {
		return nil, unavailable(err)
	}
	reads, err := budget.Reads(ctx, c.mesh.Budget(c.Account))
	if err != nil {
		return nil, unavailable(err)
	}
	guard := &meshv1.Guard{}
	if revision, err := c.mesh.Guard(c.Account).Load(ctx, guard); err != nil {
		return nil, unavailable(err)
	} else if revision == 0 {
		guard = nil
	} else {
		guard.Recent = nil
	}
	creations, err := c.mesh.CreationsHeld(c.Account).GetString(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	paused, err := c.allPaused(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	out := &controlv1.GetStatusResponse{
		CreationsHeld: creations != "", Paused: paused, Guard: guard, Halted: halted, Retrying: retrying, Reads: reads,
		Account: c.Account, InSync: counts[ledger.InSync], Pending: counts[ledger.Pending], Drifted: counts[ledger.Drifted],
		Dead: counts[ledger.Dead], Orphans: counts[ledger.Orphan], LastScan: scan, LastPoll: poll,
	}
	if out.ReadsFor, err = c.readsFor(ctx); err != nil {
		return nil, unavailable(err)
	}
	for _, d := range drift {
		out.Drift = append(out.Drift, &controlv1.DriftCount{Kind: d.Kind, State: d.State, Count: d.N})
	}
	for _, s := range consumers {
		out.Consumers = append(out.Consumers, &controlv1.ConsumerStatus{
			Stream: s.Stream, Consumer: s.Name, Pending: s.Pending, InFlight: s.InFlight, Redelivered: s.Redelivered,
		})
	}
	return connect.NewResponse(out), nil
}

// Plan shows what differs. What is in flight is counted before what differs is read: zero and nothing mean that all
// that was published before the call is taken into account.
func (c control) Plan(ctx context.Context, req *connect.Request[controlv1.PlanRequest]) (*connect.Response[controlv1.PlanResponse], error) {
	if len(req.Msg.GetProductIds()) > maxNamed {
		return nil, invalid("product_ids: must be at most %d", maxNamed)
	}
	if req.Msg.GetLimit() > maxPlanned {
		return nil, invalid("limit: must be at most %d", maxPlanned)
	}
	limit := int(req.Msg.GetLimit())
	if limit == 0 {
		limit = maxPlanned
	}
	consumers, err := c.mesh.Consumers(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	out := &controlv1.PlanResponse{}
	for _, s := range consumers {
		out.InFlight += s.Pending + s.InFlight
		if s.Consumer == mesh.PushCommand {
			out.Orders = s.Pending + s.InFlight
		}
	}
	out.Truncated, out.Compared, err = c.ledger.Differing(ctx, req.Msg.GetProductIds(), req.Msg.GetAfter(), limit, func(p *ledger.Product) {
		out.Products = append(out.Products, plan(p))
	})
	if err != nil {
		return nil, unavailable(err)
	}
	if out.Paused, err = c.allPaused(ctx); err != nil {
		return nil, unavailable(err)
	}
	if out.Halted, err = c.mesh.Halted(c.Account).GetString(ctx); err != nil {
		return nil, unavailable(err)
	}
	if len(req.Msg.GetProductIds()) > 0 {
		if out.Unknown, err = c.ledger.Unknown(ctx, req.Msg.GetProductIds()); err != nil {
			return nil, unavailable(err)
		}
		for _, p := range out.GetProducts() {
			if err := c.explain(ctx, p); err != nil {
				return nil, unavailable(err)
			}
		}
	}
	return connect.NewResponse(out), nil
}

// explain says why a product still differs, if that is known.
func (c control) explain(ctx context.Context, p *controlv1.ProductPlan) error {
	if p.GetState() == controlv1.ProductState_PRODUCT_STATE_DEAD {
		letters, err := c.ledger.DeadLetters(ctx, ledger.Letters{Products: []string{p.GetProductId()}}, 1)
		for _, l := range letters {
			p.Refused = l.GetMessage()
		}
		return err
	}
	var err error
	p.Waiting, err = c.mesh.RetryReason(ctx, mesh.Push, c.Account, p.GetProductId())
	return err
}

var states = map[ledger.State]controlv1.ProductState{
	ledger.InSync:  controlv1.ProductState_PRODUCT_STATE_IN_SYNC,
	ledger.Pending: controlv1.ProductState_PRODUCT_STATE_PENDING,
	ledger.Drifted: controlv1.ProductState_PRODUCT_STATE_DRIFTED,
	ledger.Dead:    controlv1.ProductState_PRODUCT_STATE_DEAD,
	ledger.Orphan:  controlv1.ProductState_PRODUCT_STATE_ORPHAN,
}

func plan(p *ledger.Product) *controlv1.ProductPlan {
	out := &controlv1.ProductPlan{ProductId: p.ID, State: states[p.State]}
	if !p.DiffersSince.IsZero() {
		out.DiffersSince = timestamppb.New(p.DiffersSince)
	}
	for _, s := range p.Steps() {
		step := &controlv1.PlannedStep{Kind: string(s.Kind), Step: s.String()}
		for _, param := range s.Params {
			value := param.Value
			if param.PriceRef != "" {
				value = "(Stripe's id of price " + param.PriceRef + ")"
			}
			step.Parameters = append(step.Parameters, &controlv1.Parameter{Name: param.Name, Value: value})
		}
		out.Steps = append(out.Steps, step)
	}
	for _, change := range p.Outline() {
		planned := &controlv1.PlannedChange{Verb: string(change.Verb), PriceId: change.Price, Before: change.Before, After: change.After}
		for _, d := range change.Differences {
			planned.Differences = append(planned.Differences, difference(&ledger.Drift{Difference: d}))
		}
		out.Changes = append(out.Changes, planned)
	}
	for _, d := range p.Decisions {
		if d.Action == catalog.WriteBack {
			out.WriteBacks = append(out.WriteBacks, difference(&ledger.Drift{Difference: d.Difference, Action: d.Action}))
		}
	}
	return out
}

// SyncProducts orders push to bring products to their newest desired state. Their dead letters that are about no version
// are settled by it: what fails again writes new ones.
func (c control) SyncProducts(ctx context.Context, req *connect.Request[controlv1.SyncProductsRequest]) (*connect.Response[controlv1.SyncProductsResponse], error) {
	ids := req.Msg.GetProductIds()
	if len(ids) == 0 || len(ids) > maxNamed {
		return nil, invalid("product_ids: must be between 1 and %d", maxNamed)
	}
	for _, id := range ids {
		command, at := nuid.Next(), c.Now()
		if err := c.order(ctx, id, req.Msg.GetLook(), operator, "asked for", command); err != nil {
			return nil, unavailable(err)
		}
		detail := "sync"
		if req.Msg.GetLook() {
			detail = "sync, with a look at Stripe"
		}
		if err := c.ledger.Apply(ctx, ledger.Record(ledger.Entry{EventID: "ORDER:" + command, Product: id, At: at, Kind: "ordered", Detail: detail, TraceID: traceID(ctx)})); err != nil {
			return nil, unavailable(err)
		}
	}
	return connect.NewResponse(&controlv1.SyncProductsResponse{}), nil
}

// Approve lets push archive what the guard holds, and whatever else the catalog loses until then.
func (c control) Approve(ctx context.Context, req *connect.Request[controlv1.ApproveRequest]) (*connect.Response[controlv1.ApproveResponse], error) {
	duration, asked := time.Hour, req.Msg.GetDuration() != nil
	if asked {
		if duration = req.Msg.GetDuration().AsDuration(); duration < 0 || duration > 24*time.Hour {
			return nil, invalid("duration: must be at most a day; 0 ends an approval")
		}
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
		revision, err := c.mesh.Guard(c.Account).Load(ctx, guard)
		if err != nil {
			return nil, unavailable(err)
		}
		if !asked && len(guard.GetHeld()) == 0 {
			return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("the guard holds nothing; to let everything be archived for a while all the same, say for how long"))
		}
		guard.ApprovedUntil = until
		if until != nil {
			held, guard.Held, guard.HeldSince = guard.GetHeld(), nil, nil
		}
		_, err = c.mesh.Guard(c.Account).Store(ctx, guard, revision)
		if errors.Is(err, mesh.ErrMoved) {
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
func (c control) StartScan(ctx context.Context, _ *connect.Request[controlv1.StartScanRequest]) (*connect.Response[controlv1.StartScanResponse], error) {
	id := nuid.Next()
	if err := c.scan(ctx, id, operator, "asked for"); err != nil {
		return nil, unavailable(err)
	}
	return connect.NewResponse(&controlv1.StartScanResponse{Id: id}), nil
}

// GetScan tells how the newest scan goes or went.
func (c control) GetScan(ctx context.Context, _ *connect.Request[controlv1.GetScanRequest]) (*connect.Response[controlv1.GetScanResponse], error) {
	scan, err := c.lastScan(ctx)
	switch {
	case err != nil:
		return nil, unavailable(err)
	case scan == nil:
		return nil, connect.NewError(connect.CodeNotFound, errors.New("the account was never scanned: start a scan with StartScan"))
	}
	return connect.NewResponse(&controlv1.GetScanResponse{Scan: scan}), nil
}

// ListHistory shows everything recorded about a product, newest first.
func (c control) ListHistory(ctx context.Context, req *connect.Request[controlv1.ListHistoryRequest]) (*connect.Response[controlv1.ListHistoryResponse], error) {
	limit, err := limited(req.Msg.GetLimit())
	if err != nil {
		return nil, err
	}
	if req.Msg.GetProductId() == "" {
		return nil, invalid("product_id: must be given")
	}
	entries, err := c.ledger.History(ctx, req.Msg.GetProductId(), limit)
	if err != nil {
		return nil, unavailable(err)
	}
	out := &controlv1.ListHistoryResponse{}
	for _, e := range entries {
		entry := &controlv1.HistoryEntry{}
		if e.Data != nil {
			if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(e.Data, entry); err != nil {
				return nil, connect.NewError(connect.CodeInternal, fmt.Errorf("entry %s of the history: %w", e.EventID, err))
			}
		}
		entry.At, entry.Kind, entry.Version, entry.Detail, entry.TraceId = timestamppb.New(e.At), e.Kind, e.Version, e.Detail, e.TraceID
		out.Entries = append(out.Entries, entry)
	}
	return connect.NewResponse(out), nil
}

// ListDeadLetters shows open dead letters, newest first.
func (c control) ListDeadLetters(ctx context.Context, req *connect.Request[controlv1.ListDeadLettersRequest]) (*connect.Response[controlv1.ListDeadLettersResponse], error) {
	limit, err := limited(req.Msg.GetLimit())
	if err != nil {
		return nil, err
	}
	if len(req.Msg.GetProductIds()) > maxNamed {
		return nil, invalid("product_ids: must be at most %d", maxNamed)
	}
	of := ledger.Letters{Products: req.Msg.GetProductIds(), Reason: req.Msg.GetReason(), Service: req.Msg.GetService()}
	letters, err := c.ledger.DeadLetters(ctx, of, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	return connect.NewResponse(&controlv1.ListDeadLettersResponse{DeadLetters: letters}), nil
}

func limited(limit uint32) (int, error) {
	switch {
	case limit == 0:
		return defaultLimit, nil
	case limit > maxNamed:
		return 0, invalid("limit: must be at most %d", maxNamed)
	default:
		return int(limit), nil
	}
}

func invalid(format string, args ...any) error {
	return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf(format, args...))
}

func unavailable(err error) error { return connect.NewError(connect.CodeUnavailable, err) }
