// Package push is the service that writes to Stripe. It consumes desired states from CATALOG and orders from
// COMMAND, makes each product in Stripe equal to its newest desired state, and records on OBSERVED and SYNC what
// it did; what Stripe refuses for good it puts on DEAD.
//
// It holds no state of its own and no database. Any number of replicas may run: a claim on OBSERVED keeps two of
// them off one product.
package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Config of the service.
type Config struct {
	// Account is the name of the Stripe account in subjects.
	Account string
	NATS    mesh.Config
	// Stripe without a budget: push's calls share the account's.
	Stripe stripeapi.Config
	// Limits of the account, which all processes share.
	Limits budget.Limits
	// HTTP serves health and metrics.
	HTTP httpserver.Config
	// Concurrency is how many products are worked on at once in the live lane; 0 means 32. The bulk lane gets a
	// quarter of it on top.
	Concurrency int
	// Policy says which of Stripe's values stay; nil has the catalog own everything. Reconciliation must have the same.
	Policy *catalog.Policy
	// Guard against a catalog that suddenly loses many products; the zero value is none.
	Guard GuardConfig
	// HoldCreations keeps products that Stripe does not hold, and prices of products that Driftless has not written
	// yet, from being created: while the products that an account has already are adopted, they must not come to be
	// twice.
	HoldCreations bool
	// TakeLookupKeys has lookup keys that the catalog wants taken from prices that are not of the catalog.
	TakeLookupKeys bool
	Logger         *slog.Logger
}

// consumers of push.
var consumers = []topology.Consumer{topology.PushLive, topology.PushBulk, topology.PushCommand, topology.PushRetry}

// Run pushes until ctx ends. It returns an error at once if NATS cannot be reached, the topology is missing, or
// the key is not accepted or of the wrong mode.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Concurrency == 0 {
		cfg.Concurrency = 32
	}
	cfg.NATS.Account = cfg.Account
	m, err := mesh.Connect(ctx, cfg.NATS)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.Bind(ctx, consumers...); err != nil {
		return err
	}
	shared := budget.New(m.Budget(cfg.Account), m.BudgetBell(cfg.Account), m.Clock(), cfg.Limits, cfg.Logger)
	defer shared.Close()
	defer shared.Observe()()
	cfg.Stripe.Budget = shared
	client := stripeapi.New(cfg.Stripe)
	if err := stripeapi.CheckMode(ctx, m.Record(topology.KeyStripeMode, cfg.Account), cfg.Account, cfg.Stripe.Key); err != nil {
		return err
	}
	p := newPusher(cfg.Account, m, client, cfg.Logger)
	p.guarded, p.policy, p.holdCreations = cfg.Guard, cfg.Policy, cfg.HoldCreations
	p.takeLookupKeys = cfg.TakeLookupKeys
	if err := p.resume(ctx); err != nil {
		return err
	}
	if err := p.tellCreations(ctx); err != nil {
		return err
	}

	gate, err := m.Gate(ctx, topology.Push)
	if err != nil {
		return err
	}

	g, ctx := errgroup.WithContext(budget.For(ctx, budget.Pushes))
	work := func(run func(context.Context) error) {
		g.Go(func() error { return gate.Run(ctx, run) })
	}
	g.Go(func() error { return m.Closed(ctx) })
	g.Go(func() error { return gate.Watch(ctx) })
	work(func(ctx context.Context) error {
		return mesh.Consume(ctx, m,
			mesh.Worker{Service: topology.Push, Consumer: topology.PushLive, Concurrency: cfg.Concurrency}, p.change)
	})
	work(func(ctx context.Context) error {
		return mesh.Consume(ctx, m,
			mesh.Worker{Service: topology.Push, Consumer: topology.PushBulk, Concurrency: max(cfg.Concurrency/4, 1)},
			inBulk(p.change))
	})
	work(func(ctx context.Context) error {
		return mesh.Consume(ctx, m,
			mesh.Worker{Service: topology.Push, Consumer: topology.PushCommand, Concurrency: max(cfg.Concurrency/4, 1)},
			inBulk(p.command))
	})
	work(func(ctx context.Context) error {
		return mesh.Consume(ctx, m,
			mesh.Worker{Service: topology.Push, Consumer: topology.PushRetry, Concurrency: max(cfg.Concurrency/4, 1)},
			p.retry)
	})
	g.Go(func() error { return p.watchHalts(ctx) })
	cfg.HTTP.Ready = m.Ready
	g.Go(func() error { return httpserver.Run(ctx, cfg.HTTP) })
	cfg.Logger.Info("push is running", "account", cfg.Account)
	return g.Wait()
}

// inBulk has a handler's calls to Stripe leave room for live ones.
func inBulk[M proto.Message](handle func(context.Context, mesh.Message[M]) mesh.Verdict) func(context.Context,
	mesh.Message[M]) mesh.Verdict {
	return func(ctx context.Context, msg mesh.Message[M]) mesh.Verdict {
		return handle(budget.InLane(ctx, budget.Bulk), msg)
	}
}

// busyDelay is how long a message waits for a product that another process has claimed.
const busyDelay = 250 * time.Millisecond

// change handles a desired state: the way of a message through push.
func (p *pusher) change(ctx context.Context, msg mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
	change := msg.Body
	newest, err := p.mesh.Desired().Latest(ctx, change.GetAccount(), change.GetProductId())
	if err != nil {
		return p.later(ctx, order{change: change}, err)
	}
	if newest.GetVersion() > change.GetVersion() {
		if budget.LaneOf(ctx) == budget.Live {
			live, err := p.mesh.Desired().LatestInLane(ctx, change.GetAccount(), topology.Live, change.GetProductId())
			if err != nil {
				return p.later(ctx, order{change: change}, err)
			}
			if live.GetVersion() <= change.GetVersion() {
				// The newer one is of a reading of the whole catalog: a live change does not wait for all that is
				// before it.
				return p.settle(ctx, order{change: newest, redelivered: msg.Attempt > 1})
			}
		}
		metrics.ChangeSuperseded.Add(ctx, 1)
		p.links.superseded(ctx, change)
		return mesh.Ack()
	}
	return p.settle(ctx, order{change: change, redelivered: msg.Attempt > 1})
}

// command handles an order to bring a product to its newest desired state, or to adopt one.
func (p *pusher) command(ctx context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
	if msg.Body.GetAdopt() != nil {
		return p.adopt(ctx, msg)
	}
	sync := msg.Body.GetSync()
	if sync == nil {
		return mesh.Dead(&meshv1.DeadLetter{
			Account: msg.Body.GetAccount(), ProductId: "unknown", Reason: topology.ReasonUndecodable,
			Message: fmt.Sprintf("push does not know the command on %s", msg.Subject),
		})
	}
	newest, err := p.mesh.Desired().Latest(ctx, msg.Body.GetAccount(), sync.GetProductId())
	if err != nil {
		return mesh.Retry(err)
	}
	if newest == nil && sync.GetArchiveExtra() {
		// Nobody has a say in the product but the operator, who wants no extras.
		newest = &catalogv1.ProductChange{
			Account:   msg.Body.GetAccount(),
			ProductId: sync.GetProductId(),
			Operation: catalogv1.Operation_OPERATION_DELETE,
		}
	}
	if newest == nil {
		if verdict, lost := p.lost(ctx, sync.GetProductId(), "lost:"+msg.Body.GetId(), msg.Attempt); lost {
			return verdict
		}
		p.logger.WarnContext(ctx, "told to sync a product that the catalog never had", "product", sync.GetProductId())
		return mesh.Ack()
	}
	return p.settle(ctx, order{
		change: newest, look: sync.GetLook(), always: true,
		exceptions: catalog.Exceptions{Overwrite: sync.GetOverwrite(), Leave: sync.GetLeave()},
	})
}

// retry handles a product whose time to be tried again has come.
func (p *pusher) retry(ctx context.Context, msg mesh.Message[*meshv1.Retry]) mesh.Verdict {
	retry := msg.Body
	if retry.GetLane() == string(topology.Bulk) {
		ctx = budget.InLane(ctx, budget.Bulk)
	}
	newest, err := p.mesh.Desired().Latest(ctx, retry.GetAccount(), retry.GetProductId())
	if err != nil {
		return mesh.Retry(err)
	}
	if newest == nil {
		if verdict, lost := p.lost(ctx, retry.GetProductId(), fmt.Sprintf("lost:%s:%d", msg.Subject, msg.Sequence),
			msg.Attempt); lost {
			return verdict
		}
		return mesh.Ack()
	}
	p.failures.atLeast(retry.GetProductId(), retry.GetAttempts(), time.Now())
	// Always: the wish may have been an order, which a version that was applied before does not settle.
	o := order{
		change: newest, redelivered: true, always: true, look: retry.GetLook(),
		exceptions: catalog.Exceptions{Overwrite: retry.GetOverwrite(), Leave: retry.GetLeave()},
	}
	err = p.pass(ctx, o)
	// Of a product that is settled, conclude tells the guard.
	if refused := new(refusedError); errors.As(err, &refused) {
		if err := p.released(ctx, retry.GetProductId()); err != nil {
			return mesh.Retry(err)
		}
	}
	return p.conclude(ctx, o, err)
}

// settle makes a pass over the product.
func (p *pusher) settle(ctx context.Context, o order) mesh.Verdict {
	return p.conclude(ctx, o, p.pass(ctx, o))
}

// conclude turns the end of a pass into a verdict.
func (p *pusher) conclude(ctx context.Context, o order, err error) mesh.Verdict {
	product := o.change.GetProductId()
	var refused *refusedError
	var held *heldError
	switch {
	case err == nil:
		// A retry that is still to come would find nothing to do.
		if p.failures.clear(product) || o.always {
			// The retry would have done this.
			if err := p.released(ctx, product); err != nil {
				return mesh.Retry(err)
			}
			if err := p.mesh.CancelRetry(ctx, topology.Push, p.account, product, o.change.GetVersion(),
				o.look); err != nil {
				p.logger.WarnContext(ctx, "a retry that is not needed stays", "product", product, "error", err)
			}
		}
		return mesh.Ack()
	case err == errBusy: //nolint:errorlint // itself: nothing was done
		return mesh.Busy(busyDelay)
	case errors.Is(err, errBusy):
		return mesh.RetryIn(busyDelay, nil)
	case errors.As(err, &held):
		return p.heldBack(ctx, o, held, guardDelay)
	case errors.Is(err, errCreationHeld):
		return p.heldBack(ctx, o, err, creationDelay)
	case errors.As(err, &refused):
		p.failures.clear(product)
		return mesh.Dead(refused.letter)
	case errors.Is(err, mesh.ErrTooLarge):
		p.failures.clear(product)
		return mesh.Dead(p.letter(o.change, topology.ReasonExhausted, err.Error()))
	case stripeapi.Classify(err).Action == stripeapi.Halt:
		return p.halt(ctx, err)
	default:
		return p.later(ctx, o, err)
	}
}

// heldDelay is the longest delay for which a message keeps its place in the consumer; what has longer to wait is
// acknowledged and comes back from RETRY.
const heldDelay = 10 * time.Second

// later has the product tried again, after a delay that grows with its failures, not with the deliveries: a message
// that waited for its product has not failed.
func (p *pusher) later(ctx context.Context, o order, err error) mesh.Verdict {
	change := o.change
	attempts := p.failures.add(change.GetProductId(), time.Now())
	delay := mesh.RetryDelay(attempts)
	if delay <= heldDelay {
		return mesh.RetryIn(delay, err)
	}
	lane := topology.Live
	if budget.LaneOf(ctx) == budget.Bulk {
		lane = topology.Bulk
	}
	retry := &meshv1.Retry{
		Account: p.account, ProductId: change.GetProductId(), Version: change.GetVersion(), Attempts: attempts,
		Lane: string(lane), Error: err.Error(),
		Look: o.look, Overwrite: o.exceptions.Overwrite, Leave: o.exceptions.Leave,
	}
	if failed := p.mesh.RetryLater(ctx, topology.Push, retry, delay); failed != nil {
		return mesh.RetryIn(delay, errors.Join(err, failed))
	}
	span := trace.SpanFromContext(ctx)
	span.SetAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeRetry),
		telemetry.RetryDelayKey.Int64(delay.Milliseconds()))
	telemetry.Fail(span, err)
	p.logger.WarnContext(ctx, "will try again", "product", change.GetProductId(), "attempt", attempts, "in", delay,
		"error", err)
	return mesh.Ack()
}
