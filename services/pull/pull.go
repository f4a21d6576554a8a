// Package pull is the service that reads from Stripe. It takes webhooks and reads /v1/events, puts what they say on
// STRIPE, and keeps OBSERVED, what Stripe holds of each product, up to date from there; on command it lists
// everything Stripe holds. An event caused by one of push's calls becomes the confirmation of that call.
//
// It never writes to Stripe: a restricted key with read rights is enough. It has no database.
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
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// WebhookPath is where Stripe's webhooks are taken.
const WebhookPath = "/stripe/webhook"

// Config of the service.
type Config struct {
	// Account is the name of the Stripe account in subjects.
	Account string
	NATS    mesh.Config
	// Stripe without a budget: pull's calls share the account's.
	Stripe stripeapi.Config
	// Limits of the account, which all processes share.
	Limits budget.Limits
	// WebhookSecrets are the signing secrets of the endpoint: several while one is being replaced. Without any,
	// webhooks are refused and changes are found by polling only.
	WebhookSecrets []string
	// PollInterval is the time between readings of /v1/events, for what no webhook told; 0 means 10 minutes. Every
	// reading counts towards Stripe's monthly read allowance of 10,000 or more.
	PollInterval time.Duration
	// HTTP serves the webhook, health and metrics.
	HTTP   httpserver.Config
	Logger *slog.Logger
}

// Run pulls until ctx ends. It returns an error at once if NATS cannot be reached, the topology is missing, or the
// key is not accepted or of the wrong mode.
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
	if err := stripeapi.CheckMode(ctx, m.Record(topology.KeyStripeMode, cfg.Account), cfg.Account, cfg.Stripe.Key); err != nil {
		return err
	}
	mode, err := stripeapi.KeyModeOf(cfg.Stripe.Key)
	if err != nil {
		return err
	}
	shared := budget.New(m.Budget(cfg.Account), m.BudgetBell(cfg.Account), m.Clock(), cfg.Limits, cfg.Logger)
	defer shared.Close()
	defer shared.Observe()()
	cfg.Stripe.Budget = shared
	links, err := m.Links().Watch(ctx, cfg.Account)
	if err != nil {
		return err
	}
	p := &puller{
		links: links, budget: shared, account: cfg.Account, stripeAccount: cfg.Stripe.StripeAccount,
		livemode: mode == stripeapi.LiveMode, mesh: m, stripe: stripeapi.New(cfg.Stripe),
		secrets: cfg.WebhookSecrets, bodies: newBodies(), logger: cfg.Logger,
	}
	p.polled.Store(time.Now().UnixNano())
	defer observePolls(p.polled.Load)()
	if len(p.secrets) == 0 {
		cfg.Logger.Warn(
			"no webhook secret: webhooks are refused and changes in Stripe are found by polling only; set STRIPE_WEBHOOK_SECRET", "every", cfg.PollInterval)
	}
	defer observeReads(shared, cfg.Logger)()
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+WebhookPath, p.webhook)
	cfg.HTTP.Handler, cfg.HTTP.Ready = mux, m.Ready
	// Stripe names the server as the endpoint's address does, whatever tunnel or proxy leads here.
	cfg.HTTP.SignedPaths = []string{WebhookPath}

	gate, err := m.Gate(ctx, topology.Pull)
	if err != nil {
		return err
	}

	g, ctx := errgroup.WithContext(ctx)
	p.running = ctx
	work := func(run func(context.Context) error) {
		g.Go(func() error { return gate.Run(ctx, run) })
	}
	g.Go(func() error { return m.Closed(ctx) })
	g.Go(func() error { return gate.Watch(ctx) })
	// Webhooks are stored also while the service is paused: Stripe would give them up.
	g.Go(func() error { return httpserver.Run(ctx, cfg.HTTP) })
	g.Go(func() error { return links.Follow(ctx) })
	work(func(ctx context.Context) error { return p.poll(budget.For(ctx, budget.Polls), cfg.PollInterval) })
	work(func(ctx context.Context) error {
		worker := mesh.Worker{Service: topology.Pull, Consumer: topology.PullStripe, Concurrency: batches}
		return mesh.ConsumeBatches(ctx, m, worker, batchSize, p.observe)
	})
	work(func(ctx context.Context) error {
		worker := mesh.Worker{Service: topology.Pull, Consumer: topology.PullCommand, Concurrency: commands}
		return mesh.Consume(ctx, m, worker, p.command)
	})
	cfg.Logger.Info("pull is running", "account", cfg.Account, "webhook", WebhookPath)
	return g.Wait()
}

// puller holds what the parts of the service share. Safe for concurrent use.
type puller struct {
	account string
	// stripeAccount is the connected account whose events are taken; empty for the key's own.
	stripeAccount string
	livemode      bool
	mesh          *mesh.Mesh
	stripe        *stripeapi.Client
	budget        *budget.Budget
	links         *mesh.LinkCache
	secrets       []string
	// bodies bounds the memory of webhooks that are being read.
	bodies *httpserver.Bodies
	logger *slog.Logger
	// polled is when Stripe's events were last read to their end, in Unix nanoseconds.
	polled atomic.Int64
	// running ends when the service is to end.
	running context.Context //nolint:containedctx // what takes long in a handler ends with the service, not after the grace that the others have
	// turns are those of the products of which events are being handled.
	turns turns
	// scans are taken one after the other.
	scans scanQueue
}
