// Package push is the service that writes to Stripe. It consumes desired states from CATALOG and commands from COMMAND.
// It makes each product in Stripe equal to its latest desired state. It records on OBSERVED and SYNC what it did. A
// change that Stripe refuses for good goes to DEAD.
//
// The package holds no state of its own and no database. Any number of replicas may run: a claim on OBSERVED lets only
// one of them sync a product at a time.
package push

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/guard"
	"github.com/driftless-sync/driftless/services/internal/heartbeat"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

// Config configures the service.
type Config struct {
	// Account is the name of the Stripe account in subjects.
	Account string
	NATS    mesh.Config
	// Stripe configures the client. Its Budget is ignored: push shares the account's budget.
	Stripe stripeapi.Config
	// Limits are the account's rate limits. All processes must have the same.
	Limits budget.Limits
	// HTTP configures the server of health checks and metrics.
	HTTP httpserver.Config
	// Concurrency is how many products of the live lane are synced at once. Defaults to 32. The bulk lane, commands and
	// retries get a quarter of it each, in addition.
	Concurrency int
	// Policy decides which of Stripe's values stay. Nil means that the catalog owns every field. Reconciliation must
	// have the same policy.
	Policy *catalog.Policy
	// Guard has the rules on dangerous changes. A change that breaks one is held until it is approved, or until the
	// catalog has another state. The zero value switches all rules off.
	Guard guard.Config
	// HoldCreations stops push from creating products that Stripe does not hold, and prices of products that Driftless
	// has not written yet. It is on while the account's existing products are adopted, so that none of them is created
	// twice.
	HoldCreations bool
	// TakeLookupKeys lets push take a lookup key that the catalog wants from a price that is not in the catalog.
	TakeLookupKeys bool
	// SelfCheck is the time between two looks of the process at its own part. 0 looks at nothing.
	SelfCheck time.Duration
	Logger    *slog.Logger
}

// consumers are the durable consumers that push reads.
var consumers = []topology.Consumer{topology.PushLive, topology.PushBulk, topology.PushCommand, topology.PushRetry}

// Run syncs products until ctx ends. It returns an error at once if NATS cannot be reached, if the topology is missing,
// or if the key is refused or of the wrong mode.
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
	stores := state.New(m)
	shared := budget.New(stores.Budget(cfg.Account), stores.BudgetBell(cfg.Account), m.Clock(), cfg.Limits, cfg.Logger)
	defer shared.Close()
	defer shared.Observe()()
	cfg.Stripe.Budget = shared
	client := stripeapi.New(cfg.Stripe)
	defer client.Observe()()
	if err := stripeapi.CheckMode(ctx, stores.Record(topology.KeyStripeMode, cfg.Account), cfg.Account,
		cfg.Stripe.Key); err != nil {
		return err
	}
	p := newPusher(cfg.Account, m, client, cfg.Logger)
	p.planner.Guard, p.planner.Policy, p.planner.HoldCreations = cfg.Guard, cfg.Policy, cfg.HoldCreations
	p.takeLookupKeys = cfg.TakeLookupKeys
	if err := p.resumeConsumers(ctx); err != nil {
		return err
	}
	if err := p.publishCreateHold(ctx); err != nil {
		return err
	}

	gate, err := stores.Gate(ctx, topology.Push)
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
			inBulkLane(p.change))
	})
	work(func(ctx context.Context) error {
		return mesh.Consume(ctx, m,
			mesh.Worker{Service: topology.Push, Consumer: topology.PushCommand, Concurrency: max(cfg.Concurrency/4, 1)},
			inBulkLane(p.command))
	})
	work(func(ctx context.Context) error {
		return mesh.Consume(ctx, m,
			mesh.Worker{Service: topology.Push, Consumer: topology.PushRetry, Concurrency: max(cfg.Concurrency/4, 1)},
			p.retry)
	})
	work(p.keepHolds)
	g.Go(func() error { return p.watchHalts(ctx) })
	cfg.HTTP.Ready = m.Ready
	g.Go(func() error { return httpserver.Run(ctx, cfg.HTTP) })
	checker := selfChecker(cfg, m)
	g.Go(func() error { return checker.Run(budget.For(ctx, budget.Others)) })
	g.Go(func() error { return heartbeat.Run(ctx, p.heartbeat(gate, shared, checker)) })
	cfg.Logger.Info("push is running", "account", cfg.Account)
	return g.Wait()
}

// inBulkLane wraps a handler so that its calls to Stripe give way to live ones.
func inBulkLane[M proto.Message](handle func(context.Context, mesh.Message[M]) mesh.Verdict) func(context.Context,
	mesh.Message[M]) mesh.Verdict {
	return func(ctx context.Context, msg mesh.Message[M]) mesh.Verdict {
		return handle(budget.InLane(ctx, budget.Bulk), msg)
	}
}

// change handles a desired state from CATALOG. It skips a state that a later one has superseded.
func (p *pusher) change(ctx context.Context, msg mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
	change := msg.Body
	latest, err := p.stores.Desired().Latest(ctx, change.GetAccount(), change.GetProductId())
	if err != nil {
		return p.scheduleRetry(ctx, plan.Request{Change: change}, err)
	}
	if latest.GetVersion() > change.GetVersion() {
		if budget.LaneOf(ctx) == budget.Live {
			live, err := p.stores.Desired().LatestInLane(ctx, change.GetAccount(), topology.Live, change.GetProductId())
			if err != nil {
				return p.scheduleRetry(ctx, plan.Request{Change: change}, err)
			}
			if live.GetVersion() <= change.GetVersion() {
				// The later state is in the bulk lane, behind a backfill. A live change does not wait for that, so this
				// message applies the later state now.
				return p.sync(ctx, plan.Request{Change: latest, Redelivered: msg.Attempt > 1})
			}
		}
		metrics.ChangeSuperseded.Add(ctx, 1)
		p.traceLinks.linkSuperseding(ctx, change)
		return mesh.Ack()
	}
	return p.sync(ctx, plan.Request{Change: change, Redelivered: msg.Attempt > 1})
}

// command handles a command: sync a product with its latest desired state, adopt one, or make a held change.
func (p *pusher) command(ctx context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
	switch msg.Body.GetVerb().(type) {
	case *meshv1.Command_Sync:
		return p.syncCommand(ctx, msg)
	case *meshv1.Command_Adopt:
		return p.adopt(ctx, msg)
	case *meshv1.Command_Approve:
		return p.approve(ctx, msg)
	default:
		return mesh.Dead(&meshv1.DeadLetter{
			Account: msg.Body.GetAccount(), ProductId: "unknown", Reason: topology.ReasonUndecodable,
			Message: fmt.Sprintf("push does not support the command on %s", msg.Subject),
		})
	}
}

func (p *pusher) syncCommand(ctx context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
	sync := msg.Body.GetSync()
	latest, err := p.stores.Desired().Latest(ctx, msg.Body.GetAccount(), sync.GetProductId())
	if err != nil {
		return mesh.Retry(err)
	}
	if latest == nil && sync.GetArchiveExtra() {
		known, _, err := p.stores.Observed().Get(ctx, p.account, sync.GetProductId())
		if err != nil {
			return mesh.Retry(err)
		}
		// Either the catalog never had this product, and the operator asked for extras to be archived. Or it left the
		// catalog, and both CATALOG and OBSERVED have lost it. If OBSERVED still has it, ingestion removes it.
		if !catalog.IsManaged(known) {
			latest = p.withoutExtra(sync.GetProductId())
		}
	}
	if latest == nil {
		if verdict, lost := p.rereadLost(ctx, sync.GetProductId(), "lost:"+msg.Body.GetId(), msg.Attempt); lost {
			return verdict
		}
		p.logger.WarnContext(ctx, "skipped a sync: the catalog never had the product", "product", sync.GetProductId())
		return mesh.Ack()
	}
	return p.sync(ctx, plan.Request{
		Change: latest, Reread: sync.GetLook(), Force: true, Repeated: msg.Attempt > 1,
		Exceptions: catalog.Exceptions{Overwrite: sync.GetOverwrite(), Leave: sync.GetLeave()},
	})
}

// withoutExtra returns the desired state that archives a product that only Stripe has.
func (p *pusher) withoutExtra(product string) *catalogv1.ProductChange {
	return &catalogv1.ProductChange{
		Account:   p.account,
		ProductId: product,
		Operation: catalogv1.Operation_OPERATION_DELETE,
	}
}

// retry handles a scheduled retry that has come due.
func (p *pusher) retry(ctx context.Context, msg mesh.Message[*meshv1.Retry]) mesh.Verdict {
	retry := msg.Body
	if retry.GetLane() == string(topology.Bulk) {
		ctx = budget.InLane(ctx, budget.Bulk)
	}
	latest, err := p.stores.Desired().Latest(ctx, retry.GetAccount(), retry.GetProductId())
	if err != nil {
		return mesh.Retry(err)
	}
	if latest == nil {
		held, _, err := p.stores.Observed().Get(ctx, p.account, retry.GetProductId())
		if err != nil {
			return mesh.Retry(err)
		}
		if held.GetHold() != nil && held.GetHold().GetVersion() == 0 {
			latest = p.withoutExtra(retry.GetProductId())
		}
	}
	if latest == nil {
		if verdict, lost := p.rereadLost(ctx, retry.GetProductId(),
			fmt.Sprintf("lost:%s:%d", msg.Subject, msg.Sequence),
			msg.Attempt); lost {
			return verdict
		}
		return mesh.Ack()
	}
	since := time.Time{}
	if retry.GetFailingSince() != nil {
		since = retry.GetFailingSince().AsTime()
	}
	p.failures.raise(retry.GetProductId(), retry.GetAttempts(), since, time.Now())
	// Force the pass: the retry may come from a command, and an earlier pass over the same version does not fulfill it.
	req := plan.Request{Change: latest, Redelivered: true, Force: true, Reread: retry.GetLook()}
	if retry.GetVersion() == latest.GetVersion() {
		// A person decided about the version that failed, and about no later one.
		req.Exceptions = catalog.Exceptions{Overwrite: retry.GetOverwrite(), Leave: retry.GetLeave()}
	}
	return p.sync(ctx, req)
}
