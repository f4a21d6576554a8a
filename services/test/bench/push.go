package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/local"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/push"
	"github.com/driftless-sync/driftless/services/stripesim"
)

type pushCmd struct {
	Products    int   `default:"3000" help:"Products to create without a limit."`
	Concurrency int   `default:"128" help:"Products synced at once without a limit, by push and by the bare loop."`
	Replicas    []int `default:"1,2,4" help:"Numbers of processes that share the limit."`
	Seconds     int   `default:"15" help:"How long to push at the limit."`
	Backfill    int   `default:"100000" help:"Products of the backfill that runs during the live changes; 0 for no backfill."`
	Samples     int   `default:"100" help:"Live changes whose latency is measured."`
}

const (
	benchKey     = "sk_live_bench"
	benchAccount = "default"
	// The limits are Stripe's in live mode.
	benchRate, benchEndpointRate = 100.0, 25.0
)

func (cmd *pushCmd) Run(ctx context.Context, c *cli) error {
	r := &pushResult{}
	var err error
	if r.Unlimited, r.Calls, err = cmd.unlimited(ctx); err != nil {
		return fmt.Errorf("with no limit: %w", err)
	}
	r.BareLoopRatio = r.Unlimited.Ratio
	for i, n := range cmd.Replicas {
		at, err := cmd.atTheLimit(ctx, n)
		if err != nil {
			return fmt.Errorf("at the limit with %d replicas: %w", n, err)
		}
		r.AtTheLimit = append(r.AtTheLimit, at)
		r.RateLimitedAfterFirstSecond += at.RateLimitedLater
		if i == 0 || at.Ratio < r.LimitUtilisation {
			r.LimitUtilisation = at.Ratio
		}
	}
	if cmd.Backfill > 0 {
		for _, backfill := range []int{0, cmd.Backfill} {
			l, err := cmd.latency(ctx, backfill)
			if err != nil {
				return fmt.Errorf("latency: %w", err)
			}
			r.Latency = append(r.Latency, l)
		}
	}
	return c.report(r.text(), r)
}

// pushBench is a mesh with a simulator and any number of pushes.
type pushBench struct {
	nats   string
	mesh   *mesh.Mesh
	sim    string
	admin  stripesim.Admin
	limits budget.Limits
	// concurrency is that of each push. 0 selects its default.
	concurrency int
	transport   http.RoundTripper
	close       []func() error
}

func newPushBench(ctx context.Context, sim stripesim.Config, limits budget.Limits,
	concurrency int,
) (b *pushBench, err error) {
	b = &pushBench{limits: limits, concurrency: concurrency}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.stop())
		}
	}()
	dir, err := os.MkdirTemp("", "driftless-bench-")
	if err != nil {
		return b, fmt.Errorf("make a data directory: %w", err)
	}
	b.close = append(b.close, func() error { return os.RemoveAll(dir) })
	server, err := local.StartNATS(ctx, local.NATSConfig{DataDir: filepath.Join(dir, "nats")})
	if err != nil {
		return b, err
	}
	b.close = append(b.close, server.Close)
	err = b.createMesh(ctx, server.URL(), 1, sim)
	return b, err
}

// createMesh creates the mesh on a NATS server, or on a cluster with that many replicas, and starts the simulator.
func (b *pushBench) createMesh(ctx context.Context, url string, replicas int, sim stripesim.Config) (err error) {
	b.nats = url
	if b.mesh, err = mesh.Connect(ctx, mesh.Config{URL: b.nats, Name: "bench"}); err != nil {
		return err
	}
	b.close = append(b.close, func() error { b.mesh.Close(); return nil })
	if err := topology.Apply(ctx, b.mesh.JetStream(), topology.Options{Replicas: replicas}); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a local address
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	b.sim = "http://" + listener.Addr().String()
	b.admin = stripesim.Admin{BaseURL: b.sim}
	sim.Listener, sim.Logger = listener, slog.New(slog.DiscardHandler)
	b.start(ctx, func(ctx context.Context) error { return stripesim.Run(ctx, sim) })
	return nil
}

// start runs a function until the bench is stopped.
func (b *pushBench) start(ctx context.Context, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	b.close = append(b.close, func() error { cancel(); return <-done })
}

func (b *pushBench) stop() (err error) {
	for _, f := range slices.Backward(b.close) {
		err = errors.Join(err, f())
	}
	b.close = nil
	return err
}

func (b *pushBench) push(ctx context.Context) {
	b.start(ctx, func(ctx context.Context) error {
		return push.Run(ctx, push.Config{
			Account: benchAccount, NATS: mesh.Config{URL: b.nats, Name: "push", Logger: slog.Default()},
			Stripe: stripeapi.Config{Key: benchKey, Base: b.sim, Transport: b.transport}, Limits: b.limits,
			Concurrency: b.concurrency,
			HTTP:        httpserver.Config{Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)},
			Logger:      slog.New(slog.DiscardHandler),
		})
	})
}

func benchProduct(id, name, amount string) *catalogv1.Product {
	return &catalogv1.Product{
		Id: id, Name: name, DefaultPrice: id + "-eur",
		Prices: []*catalogv1.Price{{Id: id + "-eur", Currency: "eur", UnitAmount: amount}},
	}
}

// publish publishes desired states.
func (b *pushBench) publish(ctx context.Context, lane topology.Lane, version uint64,
	products ...*catalogv1.Product,
) error {
	out := make([]mesh.Outgoing, len(products))
	for i, p := range products {
		out[i] = mesh.Outgoing{
			Subject: topology.CatalogSubject(benchAccount, lane, p.GetId()), Version: version,
			Body: &catalogv1.ProductChange{
				Account: benchAccount, ProductId: p.GetId(), Version: version,
				Operation: catalogv1.Operation_OPERATION_UPSERT, Product: p,
				CommittedAt: timestamppb.Now(),
			},
		}
	}
	return b.mesh.PublishBatch(ctx, out)
}

// waitDone waits until push has nothing left to do.
func (b *pushBench) waitDone(ctx context.Context) error {
	for {
		all, err := b.mesh.Consumers(ctx)
		if err != nil {
			return err
		}
		left := uint64(0)
		for _, c := range all {
			if c.Consumer == topology.PushLive || c.Consumer == topology.PushBulk {
				left += c.Pending + c.InFlight
			}
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (b *pushBench) calls(ctx context.Context) (n int, err error) {
	stats, err := b.admin.Stats(ctx)
	if err != nil {
		return 0, err
	}
	for _, e := range stats.Endpoints {
		n += e.Executed
	}
	return n, nil
}

func (cmd *pushCmd) unlimited(ctx context.Context) (r unlimitedResult, calls coalescingResult, err error) {
	b, err := newPushBench(ctx, stripesim.Config{Limits: stripesim.Limits{Off: true}}, budget.Limits{}, cmd.Concurrency)
	if err != nil {
		return r, calls, err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	products := make([]*catalogv1.Product, cmd.Products)
	for i := range products {
		products[i] = benchProduct(fmt.Sprintf("product-%d", i), "Product", "1400")
	}
	if err := b.publish(ctx, topology.Live, 1, products...); err != nil {
		return r, calls, err
	}
	start := time.Now()
	b.push(ctx)
	if err := b.waitDone(ctx); err != nil {
		return r, calls, err
	}
	r.Products, r.PushesPerSecond = cmd.Products, float64(cmd.Products)/time.Since(start).Seconds()
	made, err := b.calls(ctx)
	if err != nil {
		return r, calls, err
	}
	calls.PerNewProduct = float64(made) / float64(cmd.Products)
	if calls.Edits, calls.ForEdits, err = b.edit(ctx, made); err != nil {
		return r, calls, err
	}
	bare, err := b.bare(ctx, cmd.Products, cmd.Concurrency)
	if err != nil {
		return r, calls, err
	}
	r.BarePerSecond = float64(cmd.Products) / bare.Seconds()
	r.Ratio = r.PushesPerSecond / r.BarePerSecond
	return r, calls, nil
}

// edit makes many edits of one product at once and counts their calls.
func (b *pushBench) edit(ctx context.Context, before int) (edits, calls int, err error) {
	const n = 100
	for i := range n {
		if err := b.publish(ctx, topology.Live, uint64(i+2),
			benchProduct("product-0", fmt.Sprintf("Edition %d", i), "1400")); err != nil {
			return 0, 0, err
		}
	}
	if err := b.waitDone(ctx); err != nil {
		return 0, 0, err
	}
	after, err := b.calls(ctx)
	return n, after - before, err
}

// bare makes the calls of a new product without anything around them.
func (b *pushBench) bare(ctx context.Context, products, concurrency int) (time.Duration, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the standard library defines this value
	transport.MaxIdleConnsPerHost = concurrency
	api := client.New(benchKey,
		&stripe.Backends{API: stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
			URL: stripe.String(b.sim), HTTPClient: &http.Client{Transport: transport},
			EnableTelemetry: stripe.Bool(false),
			LeveledLogger:   &stripe.LeveledLogger{Level: stripe.LevelNull},
		})})
	next := make(chan int, products)
	for i := range products {
		next <- i
	}
	close(next)
	start := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for range concurrency {
		g.Go(func() error {
			for i := range next {
				if err := bareProduct(ctx, api, fmt.Sprintf("bare-%d", i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := g.Wait()
	return time.Since(start), err
}

func bareProduct(ctx context.Context, api *client.API, id string) error {
	params := &stripe.ProductParams{
		Params: stripe.Params{Context: ctx, Headers: http.Header{"Stripe-Version": {"2025-02-24.acacia"}}},
		ID:     stripe.String(id), Name: stripe.String("Product"),
		DefaultPriceData: &stripe.ProductDefaultPriceDataParams{
			Currency:   stripe.String("eur"),
			UnitAmount: stripe.Int64(1400),
		},
	}
	params.AddExtra("default_price_data[metadata]["+catalog.PriceMarker+"]", id+"-eur")
	params.AddExpand("default_price.currency_options")
	p, err := api.Products.New(params)
	if err != nil {
		return fmt.Errorf("bare call: %w", err)
	}
	_, err = api.Prices.Update(p.DefaultPrice.ID, &stripe.PriceParams{
		Params: stripe.Params{Context: ctx}, LookupKey: stripe.String(id + "-eur"),
		TransferLookupKey: stripe.Bool(true),
	})
	if err != nil {
		return fmt.Errorf("bare call: %w", err)
	}
	return nil
}

// atTheLimit changes amounts and creates products. A change of an amount calls three endpoints, and a new product a
// fourth. Together they use Stripe's whole limit.
func (cmd *pushCmd) atTheLimit(ctx context.Context, replicas int) (r limitResult, err error) {
	b, err := newPushBench(ctx, stripesim.Config{Limits: stripesim.Limits{Off: true}}, budget.Limits{}, 0)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	// These are more products than the time allows.
	n := int(benchEndpointRate) * (cmd.Seconds + 5)
	priced, mixed := make([]*catalogv1.Product, n), make([]*catalogv1.Product, 0, 2*n)
	for i := range n {
		priced[i] = benchProduct(fmt.Sprintf("priced-%d", i), "Product", "1400")
		mixed = append(mixed, benchProduct(priced[i].GetId(), "Product",
			"1600"), &catalogv1.Product{Id: fmt.Sprintf("plain-%d", i), Name: "Product"})
	}
	b.push(ctx)
	if err := errors.Join(b.publish(ctx, topology.Live, 1, priced...), b.waitDone(ctx), b.stopPush()); err != nil {
		return r, err
	}
	if err := errors.Join(b.admin.SetLimits(ctx, stripesim.Limits{}), b.admin.ResetStats(ctx)); err != nil {
		return r, err
	}
	b.limits = budget.Limits{PerSecond: benchRate, PerEndpoint: benchEndpointRate}
	if err := b.publish(ctx, topology.Live, 2, mixed...); err != nil {
		return r, err
	}
	for range replicas {
		b.push(ctx)
	}
	select {
	case <-ctx.Done():
		return r, context.Cause(ctx)
	case <-time.After(time.Duration(cmd.Seconds+2) * time.Second):
	}
	stats, err := b.admin.Stats(ctx)
	if err != nil {
		return r, err
	}
	r.Replicas, r.Limit = replicas, benchRate
	// Only whole seconds count, so the first and the unfinished one are left out.
	whole := stats.Seconds[1 : len(stats.Seconds)-1]
	sum := 0
	for _, s := range whole {
		sum += s.Requests - s.RateLimited
		r.RateLimitedLater += s.RateLimited
	}
	r.RateLimited = r.RateLimitedLater + stats.Seconds[0].RateLimited
	r.CallsPerSecond = float64(sum) / float64(len(whole))
	r.Ratio = r.CallsPerSecond / r.Limit
	return r, nil
}
