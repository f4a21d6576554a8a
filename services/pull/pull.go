// Package pull is the service that reads from Stripe. It receives webhooks, polls /v1/events, and puts the events on
// STRIPE. From them it keeps OBSERVED up to date, which has what Stripe holds of each product. On command it lists
// everything that Stripe holds. An event that one of push's calls caused becomes the confirmation of that call.
//
// The package never writes to Stripe: a restricted key with read rights is enough. It has no database.
package pull

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/heartbeat"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// WebhookPath is the path of Stripe's webhooks.
const WebhookPath = "/stripe/webhook"

// Config configures the service.
type Config struct {
	// Account is the name of the Stripe account in subjects.
	Account string
	NATS    mesh.Config
	// Stripe configures the client. Its Budget is ignored: pull shares the account's budget.
	Stripe stripeapi.Config
	// Limits are the account's rate limits. All processes must have the same.
	Limits budget.Limits
	// WebhookSecrets are the signing secrets of the endpoint. There are several while one is being replaced. Without
	// any, webhooks are refused and only polls detect changes.
	WebhookSecrets []string
	// PollInterval is the time between polls of /v1/events, for events that no webhook delivered. Defaults to 10
	// minutes. Every poll counts towards Stripe's monthly read allowance of 10,000 or more.
	PollInterval time.Duration
	// HTTP configures the server of webhooks, health checks and metrics.
	HTTP httpserver.Config
	// SelfCheck is the time between two looks of the process at its own part. 0 looks at nothing.
	SelfCheck time.Duration
	Logger    *slog.Logger
}

// Run reads from Stripe until ctx ends. It returns an error at once if NATS cannot be reached, if the topology is
// missing, or if the key is refused or of the wrong mode.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.PollInterval == 0 {
		cfg.PollInterval = 10 * time.Minute
	}
	if err := config.CheckWebhookSecrets(cfg.Stripe.Base, cfg.WebhookSecrets); err != nil {
		return err
	}
	cfg.NATS.Account = cfg.Account
	m, err := mesh.Connect(ctx, cfg.NATS)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.Bind(ctx, topology.PullStripe, topology.PullCommand); err != nil {
		return err
	}
	stores := state.New(m)
	if err := stripeapi.CheckMode(ctx, stores.Record(topology.KeyStripeMode, cfg.Account), cfg.Account,
		cfg.Stripe.Key); err != nil {
		return err
	}
	mode, err := stripeapi.KeyModeOf(cfg.Stripe.Key)
	if err != nil {
		return err
	}
	shared := budget.New(stores.Budget(cfg.Account), stores.BudgetBell(cfg.Account), m.Clock(), cfg.Limits, cfg.Logger)
	defer shared.Close()
	defer shared.Observe()()
	cfg.Stripe.Budget = shared
	links, err := stores.Links().Watch(ctx, cfg.Account)
	if err != nil {
		return err
	}
	p := &puller{
		links: links, budget: shared, account: cfg.Account, stripeAccount: cfg.Stripe.StripeAccount,
		livemode: mode == stripeapi.LiveMode, mesh: m, stores: stores, stripe: stripeapi.New(cfg.Stripe),
		secrets: cfg.WebhookSecrets, bodies: newBodies(), logger: cfg.Logger,
	}
	defer p.stripe.Observe()()
	p.polled.Store(time.Now().UnixNano())
	defer observePolls(p.polled.Load)()
	if len(p.secrets) == 0 {
		cfg.Logger.Warn(
			"no webhook secret: webhooks are refused and only polls detect changes in Stripe; set "+
				"STRIPE_WEBHOOK_SECRET", "every", cfg.PollInterval)
	}
	defer observeReads(shared, cfg.Logger)()
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+WebhookPath, p.webhook)
	cfg.HTTP.Handler, cfg.HTTP.Ready = mux, m.Ready
	// Stripe sends the endpoint's host name, whatever tunnel or proxy forwards to this server.
	cfg.HTTP.SignedPaths = []string{WebhookPath}

	gate, err := stores.Gate(ctx, topology.Pull)
	if err != nil {
		return err
	}

	g, ctx := errgroup.WithContext(ctx)
	p.running = ctx
	runUnlessPaused := func(run func(context.Context) error) {
		g.Go(func() error { return gate.Run(ctx, run) })
	}
	g.Go(func() error { return m.Closed(ctx) })
	g.Go(func() error { return gate.Watch(ctx) })
	// Webhooks are stored also while the service is paused. Otherwise Stripe would drop them after a time.
	g.Go(func() error { return httpserver.Run(ctx, cfg.HTTP) })
	checker := selfChecker(cfg, m)
	g.Go(func() error { return checker.Run(budget.For(ctx, budget.Others)) })
	g.Go(func() error { return heartbeat.Run(ctx, p.heartbeat(gate, checker)) })
	g.Go(func() error { return links.Follow(ctx) })
	runUnlessPaused(func(ctx context.Context) error { return p.poll(budget.For(ctx, budget.Polls), cfg.PollInterval) })
	runUnlessPaused(func(ctx context.Context) error {
		worker := mesh.Worker{Service: topology.Pull, Consumer: topology.PullStripe, Concurrency: maxBatches}
		return mesh.ConsumeBatches(ctx, m, worker, batchSize, p.handleEvents)
	})
	runUnlessPaused(func(ctx context.Context) error {
		worker := mesh.Worker{Service: topology.Pull, Consumer: topology.PullCommand, Concurrency: maxCommands}
		return mesh.Consume(ctx, m, worker, p.command)
	})
	cfg.Logger.Info("pull is running", "account", cfg.Account, "webhook", WebhookPath)
	return g.Wait()
}

// puller is shared by the parts of the service. It is safe for concurrent use.
type puller struct {
	account string
	// stripeAccount is the connected account whose events are read. It is empty for the key's own account.
	stripeAccount string
	livemode      bool
	mesh          *mesh.Mesh
	stores        *state.Stores
	stripe        *stripeapi.Client
	budget        *budget.Budget
	links         *state.LinkCache
	secrets       []string
	// bodies bounds the memory of webhooks that are being read.
	bodies *httpserver.Bodies
	logger *slog.Logger
	// polled is when a poll last read Stripe's events to their end, in Unix nanoseconds.
	polled atomic.Int64
	// webhookAt is when a webhook was last stored, in Unix nanoseconds; 0 for never. received counts the stored events.
	webhookAt atomic.Int64
	received  atomic.Uint64
	// polledOnly counts the events that no webhook has reported.
	polledOnly polledOnly
	// scanning counts the scans that run in this process.
	scanning atomic.Int32
	// running ends when the service stops.
	running context.Context //nolint:containedctx // long work of a handler ends with the service, not after the drain time
	// locks lets one goroutine at a time work on a product.
	locks productLocks
	// scans runs scans one after the other.
	scans scanQueue
}
