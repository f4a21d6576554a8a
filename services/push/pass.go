package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nuid"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const tracerName = "github.com/driftless-sync/driftless/services/push"

// errScanBusy means that another process, or another message in this process, is syncing the product.
var errBusy = errors.New("the product is claimed")

// errChangedMeanwhile means that the product was written, and something else changed it in Stripe at the same time.
var errChangedMeanwhile = errors.New("the product changed in Stripe while it was being written")

// passRequest describes the pass to make.
type passRequest struct {
	change *catalogv1.ProductChange
	// reread reads the product from Stripe before planning.
	reread bool
	// force makes the pass plan even if the version was applied before.
	force bool
	// redelivered reports whether an earlier attempt may have applied the version and died before it published the
	// outcome.
	redelivered bool
	// traceparent is the pass's trace. Stripe's events about its calls continue it.
	traceparent string
	// exceptions are exceptions from the policy.
	exceptions catalog.Exceptions
	// laterRound reports whether this is a later round of the pass.
	laterRound bool
	// adopted reports whether an operator has adopted the product. Its missing prices may then be created.
	adopted bool
	// skips are the parts that Stripe has refused in this pass.
	skips *skips
	// keys are the lookup keys whose owners the pass has read from Stripe.
	keys *lookupKeys
}

// pusher applies desired states. It is safe for concurrent use.
type pusher struct {
	account string
	// holder identifies this process in claims.
	holder     string
	mesh       *mesh.Mesh
	stripe     *stripeapi.Client
	logger     *slog.Logger
	traceLinks traceLinks

	policy        *catalog.Policy
	guardConfig   GuardConfig
	holdCreations bool
	// takeLookupKeys lets push take keys from prices that are not in the catalog.
	takeLookupKeys bool
	active         activeCount

	failures *failures
	// halted reports whether the account is halted, as far as this process knows.
	halted atomic.Bool

	mu   sync.Mutex
	busy map[string]bool
}

func newPusher(account string, m *mesh.Mesh, client *stripeapi.Client, logger *slog.Logger) *pusher {
	return &pusher{
		account: account, holder: nuid.Next(), mesh: m, stripe: client, logger: logger,
		traceLinks: traceLinks{mesh: m, account: account}, busy: map[string]bool{}, failures: newFailures(),
	}
}

// lock stops two messages of this process from syncing one product at once. It needs no call to the bucket.
func (p *pusher) lock(product string) (unlock func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy[product] {
		return nil, false
	}
	p.busy[product] = true
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.busy, product)
	}, true
}

// pass syncs one product with a desired state: claim, plan, apply, record, publish.
func (p *pusher) pass(ctx context.Context, req passRequest) (err error) {
	product := req.change.GetProductId()
	unlock, ok := p.lock(product)
	if !ok {
		return errBusy
	}
	defer unlock()
	ctx = telemetry.ContextAbout(ctx, telemetry.About{
		Account: p.account,
		Product: product,
		Version: req.change.GetVersion(),
	})
	ctx, span := startSpan(ctx, "sync product")
	defer func() { endSpan(span, err) }()
	req.traceparent = telemetry.Traceparent(ctx)

	req.skips, req.keys = &skips{}, newLookupKeys()
	var refused *refusedError
	for {
		err := p.runRounds(ctx, req)
		found := new(refusedError)
		if errors.As(err, &found) && found.step != nil && req.keys.needsOwner(found.step) {
			left, err := p.resolveKeyOwner(ctx, req, found.step)
			if err != nil {
				return err
			}
			if left != nil {
				refused = refused.join(left)
			}
			req.reread, req.laterRound = false, true
			continue
		}
		switch {
		case errors.As(err, &found) && found.step != nil && req.skips.add(found.step):
			refused = refused.join(found)
			req.reread, req.laterRound = false, true
		case errors.As(err, &found) && refused != nil:
			return refused.join(found)
		case err == nil && refused != nil:
			return refused.withRestApplied()
		default:
			return err
		}
	}
}

// runRounds plans and applies until nothing is left to do or until another party must act. It makes at most three rounds.
// It handles at once what it can detect at once: the product existed already, or it changed during the pass. A
// redelivery would be slower.
func (p *pusher) runRounds(ctx context.Context, req passRequest) (err error) {
	for n := range 3 {
		var again bool
		again, err = p.runRound(ctx, req)
		switch {
		case !again && n > 0 && errors.Is(err, errBusy):
			return fmt.Errorf("while it was being synced: %w", err)
		case !again:
			return err
		}
		req.reread, req.laterRound = true, true
	}
	if kept := new(reservedIDError); errors.As(err, &kept) {
		return kept.refusedError
	}
	return fmt.Errorf("product %s: still different after three rounds: %w", req.change.GetProductId(), err)
}

// runRound plans once and applies the plan. It returns again if Stripe holds something else than was recorded. Another
// round, after a reread, may then succeed.
func (p *pusher) runRound(ctx context.Context, req passRequest) (again bool, err error) {
	plan, err := p.claim(ctx, req)
	if err != nil || plan == nil {
		return false, err
	}
	stop := p.keepClaim(ctx, plan)
	applied, failure := p.apply(ctx, plan)
	stop()
	defer func() {
		if err == nil {
			p.traceLinks.linkCarried(ctx, req.change, plan.base.GetVersion())
		}
	}()
	observed, err := p.recordResult(ctx, req, plan, applied, failure)
	if err != nil {
		return false, err
	}
	if failure != nil {
		countFailure(ctx, failure)
		// The call may rest on an outdated observed state, so a refusal counts only after a reread.
		unlooked := failure.Action == stripeapi.Refuse && !plan.reread && !req.keys.needsOwner(failure)
		again := failure.Action == stripeapi.RereadFirst && failure.Status < 500 || unlooked
		if kept := p.checkReservedID(plan, failure); kept != nil {
			return true, kept
		}
		return again, p.stepError(plan, applied, failure)
	}
	if observed.GetStale() {
		return true, errChangedMeanwhile
	}
	// Other remaining steps come from changes that others made and that no event has reported yet. The ledger detects
	// those as drift.
	if left := repeatedSteps(p.steps(req, observed), applied); len(left) > 0 {
		return false, &refusedError{letter: p.deadLetter(req.change, topology.ReasonNotConverging,
			fmt.Sprintf("Stripe accepted every call but still holds other values; remaining steps: %s",
				describeSteps(left)))}
	}
	if !req.isComplete() {
		return false, nil
	}
	if plan.base.GetVersion() < req.change.GetVersion() {
		countApplied(ctx, req.change)
	}
	return false, p.publishApplied(ctx, req, observed.GetGeneration(), applied)
}

// repeatedSteps returns the remaining steps that set what one of the calls has just set.
func repeatedSteps(left []catalog.Step, applied []appliedStep) []catalog.Step {
	return slices.DeleteFunc(slices.Clone(left), func(l catalog.Step) bool {
		return !slices.ContainsFunc(applied, func(a appliedStep) bool {
			sets := func(param catalog.Param) bool {
				value, ok := a.Param(param.Name)
				return ok && value == param.Value
			}
			return l.Kind == a.Kind && l.PriceID == a.PriceID && l.StripePriceID == a.StripePriceID &&
				(l.Kind == catalog.CreateProduct || l.Kind == catalog.CreatePrice ||
					slices.ContainsFunc(l.Params, sets))
		})
	})
}

// appliedStep is a call that succeeded.
type appliedStep struct {
	catalog.Step
	key string
	*stripeapi.Applied
}

// failedStep is the call that ended a pass early.
type failedStep struct {
	catalog.Step
	*stripeapi.Failure
	// notSent reports whether the call was not made.
	notSent bool
	// index is the step's position in the plan.
	index int
}

// apply makes the calls of a plan in order and stops at the first that fails.
func (p *pusher) apply(ctx context.Context, pl *plan) (done []appliedStep, failed *failedStep) {
	created := map[string]string{}
	for i, planned := range pl.steps {
		step := withCreatedIDs(planned.Step, created)
		stepCtx, span := startSpan(ctx, string(step.Kind))
		span.SetAttributes(telemetry.StepKey.String(step.String()), telemetry.IdempotencyKeyKey.String(planned.key))
		result, err := p.stripe.Apply(stepCtx, step, planned.key, func() error { return p.checkClaim(ctx, pl, i) })
		countStep(ctx, step.Kind, err)
		if err != nil {
			f := &failedStep{Step: step, Failure: stripeapi.Classify(err), index: i}
			var notSent *stripeapi.NotSentError
			f.notSent = errors.As(err, &notSent)
			if f.RequestID != "" {
				span.SetAttributes(telemetry.StripeRequestIDKey.String(f.RequestID))
			}
			endSpan(span, f)
			return done, f
		}
		span.SetAttributes(telemetry.StripeRequestIDKey.String(result.RequestID),
			telemetry.StripeReplayedKey.Bool(result.Replayed))
		span.End()
		p.endHalt(ctx)
		switch step.Kind {
		case catalog.CreatePrice:
			created[step.PriceID] = result.ObjectID
		case catalog.CreateProduct:
			created[step.PriceID] = result.Product.Product.GetDefaultPrice()
		case catalog.UpdateProduct, catalog.UpdatePrice:
		}
		p.logger.DebugContext(stepCtx, "applied", "step", step.String(), "object", result.ObjectID,
			"request", result.RequestID)
		done = append(done, appliedStep{step, planned.key, result})
	}
	return done, nil
}

// withCreatedIDs fills in Stripe's ids of prices that earlier steps created.
func withCreatedIDs(step catalog.Step, created map[string]string) catalog.Step {
	params := make([]catalog.Param, len(step.Params))
	for i, param := range step.Params {
		if id, ok := created[param.PriceRef]; ok && param.PriceRef != "" {
			param = catalog.Param{Name: param.Name, Value: id}
		}
		params[i] = param
	}
	step.Params = params
	if step.Kind == catalog.UpdatePrice && step.StripePriceID == "" {
		step.StripePriceID = created[step.PriceID]
	}
	return step
}

// stepError turns the failure of a step into the error of the pass.
func (p *pusher) stepError(pl *plan, applied []appliedStep, f *failedStep) error {
	if f.Action != stripeapi.Refuse {
		return fmt.Errorf("product %s: %s: %w (%d of %d steps done; %s)", pl.change.GetProductId(), f.Step, f.Err,
			len(applied), len(pl.steps), f.Action)
	}
	letter := p.deadLetter(pl.change, topology.ReasonRefused, f.Err.Error())
	letter.Field, letter.StripeCode, letter.StripeRequestId, letter.Step = f.Failure.Param, f.Code, f.RequestID,
		f.Step.String()
	if f.Message != "" {
		letter.Message = f.Message
	}
	return &refusedError{letter: letter, step: f}
}

// deadLetter returns a dead letter for a change. It has the desired state, so that a replay works whether a change, a
// command or a retry asked for it.
func (p *pusher) deadLetter(change *catalogv1.ProductChange, reason, message string) *meshv1.DeadLetter {
	letter := &meshv1.DeadLetter{
		Account: p.account, ProductId: change.GetProductId(), Version: change.GetVersion(), Reason: reason,
		Message: message,
	}
	if payload, err := proto.Marshal(change); err == nil && len(payload) <= p.mesh.MaxBody()/2 {
		letter.Payload = payload
	}
	return letter
}

func describeSteps(steps []catalog.Step) string {
	var b strings.Builder
	for i, s := range steps {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(s.String())
		b.WriteString(" (")
		for j, param := range s.Params {
			if j > 0 {
				b.WriteString(", ")
			}
			b.WriteString(param.Name)
		}
		b.WriteString(")")
	}
	return b.String()
}

// publishApplied publishes that a version is applied. The outcome's id is the same on every attempt, so the audit trail has it
// once.
func (p *pusher) publishApplied(ctx context.Context, req passRequest, generation uint64, applied []appliedStep) error {
	change := req.change
	out := &meshv1.Outcome{
		Id:      fmt.Sprintf("applied:%s:%s:%d:%d", p.account, change.GetProductId(), change.GetVersion(), generation),
		Account: p.account, ProductId: change.GetProductId(), Kind: meshv1.OutcomeKind_OUTCOME_KIND_APPLIED,
		Version: change.GetVersion(), At: timestamppb.Now(), CommittedAt: change.GetCommittedAt(),
	}
	for _, a := range applied {
		out.Steps = append(out.Steps, &meshv1.AppliedStep{
			Step: req.keys.describe(a.Step), ObjectId: a.ObjectID, IdempotencyKey: a.key, StripeRequestId: a.RequestID,
			Took: durationpb.New(a.Took),
		})
	}
	trace.SpanFromContext(ctx).SetAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeApplied))
	return p.mesh.Publish(ctx, topology.SyncSubject(p.account, out.GetKind(), out.GetProductId()), out,
		mesh.WithID(out.GetId()), mesh.WithVersion(out.GetVersion()))
}
