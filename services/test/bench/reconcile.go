package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

type reconcileCmd struct {
	Products int           `default:"1000000" help:"Products on both sides, with one price each."`
	Drift    float64       `default:"0.01" help:"Share of the products that are changed in Stripe without an event."`
	Samples  int           `default:"20" help:"Changes whose time to detection is measured."`
	Poll     time.Duration `default:"2s" help:"Time between reads of /v1/events when there are no webhooks."`
}

func (cmd *reconcileCmd) Run(ctx context.Context, c *cli) (err error) {
	w, err := newWorld(ctx, cmd.Products)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	b := &reconcileBench{
		reconcileCmd: cmd,
		world:        w,
		result:       &reconcileResult{Products: cmd.Products, PollIntervalMS: float64(cmd.Poll.Milliseconds())},
	}
	if err := runSteps(ctx, []step{
		{"filling both sides", b.fill},
		{"listing with bare stripe-go", b.bare},
		{"starting the services", b.start},
		{"bringing the ledger's views up to date", b.waitReadable},
		{"planting drift", b.plant},
		{"scanning", b.scan},
		{"looking for the drift", b.waitFound},
		{"timing the detection of changes", b.detect},
		{"scanning at Stripe's limits", b.measureLimited},
	}); err != nil {
		return err
	}
	return c.report(b.result.text(), b.result)
}

type reconcileBench struct {
	*reconcileCmd
	world                *world
	result               *reconcileResult
	pull, reconciliation *process
	control              controlv1connect.ControlServiceClient
	// planted products, by id. Extras are not in the catalog.
	planted map[string]string
	extra   int
}

// environment returns the environment of both services.
func (b *reconcileBench) environment() []string {
	return []string{
		"NATS_URL=" + b.world.nats, "LEDGER_DATABASE_URL=" + b.world.database, "STRIPE_API_KEY=" + worldKey,
		"STRIPE_API_BASE=" + b.world.simURL,
		"STRIPE_WEBHOOK_SECRET=" + worldSecret, "STRIPE_READ_ALLOWANCE=0", "STRIPE_RATE=1000000",
		"STRIPE_ENDPOINT_RATE=1000000",
		"DRIFTLESS_POLL_INTERVAL=" + b.Poll.String(), "DRIFTLESS_SCAN_INTERVAL=0", "DRIFTLESS_DRIFT_POLICY=report",
		"DRIFTLESS_GRACE_PERIOD=1s",
	}
}

func (b *reconcileBench) startReconciliation(ctx context.Context) (err error) {
	b.reconciliation, err = startProcess(ctx, topology.Reconciliation, b.world.reconciliationAddr, b.environment()...)
	return err
}

func (b *reconcileBench) fill(ctx context.Context) error {
	begun := time.Now()
	// It creates the ledger's tables.
	if err := b.startReconciliation(ctx); err != nil {
		return err
	}
	if err := b.reconciliation.stop(); err != nil {
		return err
	}
	if err := b.world.fillStripe(ctx); err != nil {
		return err
	}
	sample, err := b.world.fillMesh(ctx)
	if err != nil {
		return err
	}
	if err := b.world.moveConsumersToEnd(ctx); err != nil {
		return err
	}
	b.result.FillSeconds = time.Since(begun).Seconds()
	return b.compare(sample)
}

// compare measures the decision about one product, from the bytes in which both sides are stored.
func (b *reconcileBench) compare(sample []row) error {
	type pair struct{ desired, observed []byte }
	pairs := make([]pair, len(sample))
	for i, r := range sample {
		var errs [2]error
		pairs[i].desired, errs[0] = proto.Marshal(r.desired)
		pairs[i].observed, errs[1] = proto.Marshal(r.observed)
		if err := errors.Join(errs[:]...); err != nil {
			return fmt.Errorf("encode: %w", err)
		}
	}
	begun, n := time.Now(), 0
	for time.Since(begun) < time.Second {
		for _, p := range pairs {
			desired, observed := &catalogv1.ProductChange{}, &catalogv1.Observed{}
			if err := errors.Join(proto.Unmarshal(p.desired, desired),
				proto.Unmarshal(p.observed, observed)); err != nil {
				return fmt.Errorf("decode: %w", err)
			}
			if len(catalog.Diff(desired, observed)) > 0 {
				return fmt.Errorf("product %s differs", desired.GetProductId())
			}
		}
		n += len(pairs)
	}
	b.result.ComparePerSecond = float64(n) / time.Since(begun).Seconds()
	return nil
}

// bare lists everything that the scan lists, with stripe-go and nothing around it.
func (b *reconcileBench) bare(ctx context.Context) error {
	transport := &counter{next: http.DefaultTransport}
	api := client.New(worldKey,
		&stripe.Backends{API: stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
			URL: stripe.String(b.world.simURL), HTTPClient: &http.Client{Transport: transport},
			EnableTelemetry: stripe.Bool(false),
			LeveledLogger:   &stripe.LeveledLogger{Level: stripe.LevelNull},
		})})
	begun := time.Now()
	for _, active := range []bool{true, false} {
		params := stripe.ListParams{Limit: stripe.Int64(100), Context: ctx}
		products := api.Products.List(&stripe.ProductListParams{ListParams: params, Active: stripe.Bool(active)})
		for products.Next() {
			b.result.Objects++
		}
		prices := api.Prices.List(&stripe.PriceListParams{
			ListParams: params, Active: stripe.Bool(active),
			Expand: []*string{stripe.String("data.tiers"), stripe.String("data.currency_options")},
		})
		for prices.Next() {
			b.result.Objects++
		}
		if err := errors.Join(products.Err(), prices.Err()); err != nil {
			return fmt.Errorf("list: %w", err)
		}
	}
	b.result.BareListPerSecond = float64(b.result.Objects) / time.Since(begun).Seconds()
	b.result.BareListCalls = transport.calls
	if want := uint64(2 * b.Products); b.result.Objects != want {
		return fmt.Errorf("Stripe lists %d objects, and holds %d", b.result.Objects, want)
	}
	return nil
}

// counter counts the calls of one goroutine.
type counter struct {
	next  http.RoundTripper
	calls int
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	c.calls++
	return c.next.RoundTrip(r)
}

func (b *reconcileBench) start(ctx context.Context) (err error) {
	if b.pull, err = startProcess(ctx, topology.Pull, b.world.pullAddr, b.environment()...); err != nil {
		return err
	}
	b.world.close = append(b.world.close, b.pull.stop)
	if err := b.startReconciliation(ctx); err != nil {
		return err
	}
	b.world.close = append(b.world.close, b.reconciliation.stop)
	b.control = controlv1connect.NewControlServiceClient(http.DefaultClient, b.reconciliation.url)
	b.result.PullReadyMS = float64(b.pull.took.Milliseconds())
	b.result.ReconciliationReadyMS = float64(b.reconciliation.took.Milliseconds())
	return nil
}

// waitReadable waits until the ledger has encoded the data of its views, as it does once after an upgrade.
func (b *reconcileBench) waitReadable(ctx context.Context) error {
	for behind := true; behind; {
		if err := b.world.ledger.QueryRow(ctx, `SELECT EXISTS (SELECT FROM driftless_ledger.product
			WHERE desired_json_of <> desired_sequence OR observed_json_of <> observed_revision)`).Scan(
			&behind); err != nil {
			return fmt.Errorf("ask the ledger: %w", err)
		}
		if err := rest(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// plant changes products in Stripe without events, in turn in each of the ways in which the sides can differ.
func (b *reconcileBench) plant(ctx context.Context) error {
	s := b.world.silent
	price := func(id string) (string, error) {
		o, _, err := b.world.stores.Observed().Get(ctx, benchAccount, id)
		if err != nil || len(o.GetPrices()) != 1 {
			return "", errors.Join(fmt.Errorf("product %s does not have exactly one price", id), err)
		}
		return o.GetPrices()[0].GetStripeId(), nil
	}
	withPrice := func(do func(price string) error) func(string) error {
		return func(id string) error {
			p, err := price(id)
			if err != nil {
				return err
			}
			return do(p)
		}
	}
	kinds := []struct {
		name string
		do   func(id string) error
	}{
		{"field differs", func(id string) error { return s.EditProduct(id, url.Values{"name": {"Changed"}}) }},
		{
			"metadata differs",
			func(id string) error { return s.EditProduct(id, url.Values{"metadata[colour]": {"blue"}}) },
		},
		{"product archived", func(id string) error { return s.EditProduct(id, url.Values{"active": {"false"}}) }},
		{
			"price field differs",
			withPrice(func(p string) error { return s.EditPrice(p, url.Values{"nickname": {"Changed"}}) }),
		},
		{"price archived", withPrice(func(p string) error { return s.EditPrice(p, url.Values{"active": {"false"}}) })},
		{"price missing", withPrice(s.DeletePrice)},
		{"product missing", func(id string) error { return s.DeleteProduct(id, true) }},
		{"wrong default price", func(id string) error {
			p, err := price(id)
			if err != nil {
				return err
			}
			return s.EditProduct(id, url.Values{"default_price": {p}})
		}},
		{extraKind, func(id string) error {
			_, err := s.CreateProduct(url.Values{"id": {"extra-" + id}, "name": {"Extra"}})
			return err
		}},
	}
	b.planted = map[string]string{}
	b.result.DriftPlantedByKind = map[string]int{}
	every := max(int(1/b.Drift), 1)
	for i, n := 0, 0; i < b.Products; i, n = i+every, n+1 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		kind := kinds[n%len(kinds)]
		if err := kind.do(productID(i)); err != nil {
			return fmt.Errorf("%s: %w", kind.name, err)
		}
		b.result.DriftPlanted++
		b.result.DriftPlantedByKind[kind.name]++
		if kind.name == extraKind {
			b.extra++
		} else {
			b.planted[productID(i)] = kind.name
		}
	}
	return nil
}
