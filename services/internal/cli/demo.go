package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/stripe/stripe-go/v76"
	stripeclient "github.com/stripe/stripe-go/v76/client"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

type demoCmd struct {
	address
	StripeAPIKey  config.Secret `name:"stripe-api-key" env:"STRIPE_API_KEY" secret:"" help:"Test key. Not needed with the simulator of the mesh on the data directory."`
	StripeAPIBase string        `name:"stripe-api-base" env:"STRIPE_API_BASE" default:"https://api.stripe.com" help:"Address of Stripe's API, for a mesh that --control and --ingest name."`
	Timeout       time.Duration `default:"60s" help:"How long each change may take to arrive."`
}

// demo makes changes as an application and as a user of Stripe's dashboard would, and checks the result in Stripe.
type demo struct {
	json bool
	// terminal shows the step that is under way, until its result replaces it.
	terminal bool
	timeout  time.Duration
	control  controlv1connect.ControlServiceClient
	ingest   ingestv1connect.IngestServiceClient
	stripe   *stripeclient.API
	id       string
	results  []demoResult
}

type demoResult struct {
	Change string  `json:"change"`
	OK     bool    `json:"ok"`
	Took   float64 `json:"seconds"`
	Detail string  `json:"detail"`
}

func (cmd *demoCmd) Run(ctx context.Context, c *cli) error {
	d, err := cmd.connect(c)
	if err != nil {
		return err
	}
	for _, s := range []struct {
		change string
		make   func(context.Context) error
		check  func() (string, error)
	}{
		{"a product with two prices", d.create, d.created},
		{"an amount change", d.reprice, d.repriced},
		{"a burst of 100 edits", d.burst, d.burstArrived},
		{"an archive", d.archive, d.archived},
		{"an edit on the Stripe side", d.editInStripe, d.edited},
		{"a product deleted on the Stripe side", d.deleteInStripe, d.recreated},
	} {
		d.step(ctx, s.change, s.make, s.check, d.mug(), d.deletable())
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	d.step(ctx, "everything converged", func(context.Context) error { return nil },
		func() (string, error) { return "catalog and Stripe are equal", nil })
	failed := slices.ContainsFunc(d.results, func(r demoResult) bool { return !r.OK })
	if d.json {
		if err := printJSON(demoAnswer{OK: !failed, Steps: d.results}); err != nil {
			return err
		}
	}
	if failed {
		return errors.New(
			"not everything arrived; `driftless plan` shows what differs and `driftless status` the backlog")
	}
	if !d.json {
		sayf(stdout, "\nEverything arrived. Follow one of the products: driftless history %s\n", d.mug())
	}
	return nil
}

func (cmd *demoCmd) connect(c *cli) (*demo, error) {
	key, base := cmd.StripeAPIKey.Reveal(), cmd.StripeAPIBase
	if cmd.Control == "" || cmd.Ingest == "" {
		mesh, err := findMesh(c.DataDir)
		if err != nil {
			return nil, err
		}
		if base = mesh.Stripe; mesh.Simulated {
			key = simulatorKey
		}
	}
	mode, err := stripeapi.KeyModeOf(key)
	if err != nil {
		return nil, err
	}
	if mode == stripeapi.LiveMode {
		return nil, errors.New(
			"the demo creates products and does not run in live mode: run the mesh with a test key or the simulator")
	}
	isJSON := c.Output == "json"
	d := &demo{
		json:     isJSON,
		terminal: !isJSON && isTerminal(stdout),
		timeout:  cmd.Timeout,
		id:       "demo-" + strings.ToLower(rand.Text()[:8]),
	}
	if d.control, err = cmd.control(c); err != nil {
		return nil, err
	}
	if d.ingest, err = cmd.ingest(c); err != nil {
		return nil, err
	}
	backend := stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
		URL:               stripe.String(base),
		EnableTelemetry:   stripe.Bool(false),
		MaxNetworkRetries: stripe.Int64(5),
		LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull},
	})
	d.stripe = stripeclient.New(key, &stripe.Backends{API: backend})
	return d, nil
}

// step makes one change, waits until the given products (or all) are equal, and checks the result in Stripe.
func (d *demo) step(ctx context.Context, change string, act func(context.Context) error, check func() (string, error),
	products ...string,
) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.timeout, fmt.Errorf("it had not arrived after %s", d.timeout))
	defer cancel()
	if d.terminal {
		sayf(stdout, "  … %s\r", change)
	}
	start := time.Now()
	detail, err := "", act(ctx)
	for err == nil {
		if _, err = waitConverged(ctx, d.control, d.ingest, products); err != nil {
			break
		}
		// A change in Stripe reaches the mesh with its webhook, which may still be on its way.
		if detail, err = check(); err == nil || ctx.Err() != nil {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(250 * time.Millisecond):
			err = nil
		}
	}
	r := demoResult{Change: change, OK: err == nil, Took: time.Since(start).Seconds(), Detail: detail}
	mark, in := "✓", good
	if err != nil {
		in = bad
		mark, r.Detail = "✗", err.Error()
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			r.Detail = fmt.Sprintf("%v (%s)", cause, err)
		}
	}
	d.results = append(d.results, r)
	if d.terminal {
		sayf(stdout, "%s", raw("\x1b[K"))
	}
	if !d.json {
		sayf(stdout, "  %s %s (%.2f s): %s\n", in.paint(mark), change, r.Took, r.Detail)
	}
}

func (d *demo) mug() string       { return d.id + "-mug" }
func (d *demo) deletable() string { return d.id + "-poster" }

func (d *demo) product(name, amount string) *catalogv1.Product {
	return &catalogv1.Product{
		Id:           d.mug(),
		Name:         name,
		Description:  "Stoneware, 350 ml.",
		DefaultPrice: d.mug() + "-one",
		Metadata:     map[string]string{"sku": "MUG-350"},
		Prices: []*catalogv1.Price{
			{Id: d.mug() + "-one", Currency: "eur", UnitAmount: amount, Nickname: "one"},
			{
				Id:         d.mug() + "-club",
				Currency:   "eur",
				UnitAmount: "900",
				Nickname:   "club",
				Recurring:  &catalogv1.Recurring{Interval: "month"},
			},
		},
	}
}

func (d *demo) upsert(ctx context.Context, p *catalogv1.Product) error {
	err := retryUnavailable(ctx, func() error {
		_, err := d.ingest.UpsertProducts(ctx,
			connect.NewRequest(&ingestv1.UpsertProductsRequest{Products: []*catalogv1.Product{p}}))
		return err
	})
	if err != nil {
		return refused(err, nil, 0)
	}
	return nil
}

func (d *demo) create(ctx context.Context) error { return d.upsert(ctx, d.product("Mug", "1400")) }

func (d *demo) created() (string, error) {
	return d.expect("Mug", true, 1400)
}

func (d *demo) reprice(ctx context.Context) error { return d.upsert(ctx, d.product("Mug", "1600")) }

func (d *demo) repriced() (string, error) { return d.expect("Mug", true, 1600) }

func (d *demo) burst(ctx context.Context) error {
	for i := range 100 {
		if err := d.upsert(ctx, d.product(fmt.Sprintf("Mug, edition %d", i+1), "1600")); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) burstArrived() (string, error) {
	detail, err := d.expect("Mug, edition 100", true, 1600)
	if err != nil {
		return "", err
	}
	history, err := d.control.ListHistory(context.Background(),
		connect.NewRequest(&controlv1.ListHistoryRequest{ProductId: d.mug(), Limit: 1000}))
	if err != nil {
		return "", err
	}
	applied := 0
	for _, e := range history.Msg.GetEntries() {
		if e.GetKind() == "applied" {
			applied++
		}
	}
	// Two syncs came before the burst.
	return detail + "; 100 edits took " + countOf(applied-2, "sync", "syncs"), nil
}

func (d *demo) archive(ctx context.Context) error {
	return retryUnavailable(ctx, func() error {
		_, err := d.ingest.ArchiveProducts(ctx,
			connect.NewRequest(&ingestv1.ArchiveProductsRequest{Ids: []string{d.mug()}}))
		return err
	})
}

func (d *demo) archived() (string, error) { return d.expect("Mug, edition 100", false, 1600) }

func (d *demo) editInStripe(context.Context) error {
	_, err := d.stripe.Products.Update(d.mug(), &stripe.ProductParams{Name: stripe.String("Renamed in the dashboard")})
	return stripeMessage(err)
}

func (d *demo) edited() (string, error) {
	detail, err := d.expect("Mug, edition 100", false, 1600)
	if err != nil {
		return "", err
	}
	return "repaired; " + detail, nil
}

func (d *demo) deleteInStripe(ctx context.Context) error {
	// Stripe only deletes products without prices.
	if err := d.upsert(ctx, &catalogv1.Product{Id: d.deletable(), Name: "Poster"}); err != nil {
		return err
	}
	if _, err := waitConverged(ctx, d.control, d.ingest, []string{d.deletable()}); err != nil {
		return err
	}
	_, err := d.stripe.Products.Del(d.deletable(), nil)
	return stripeMessage(err)
}

func (d *demo) recreated() (string, error) {
	p, err := d.stripe.Products.Get(d.deletable(), nil)
	if err != nil {
		return "", stripeMessage(err)
	}
	if p.Name != "Poster" || !p.Active {
		return "", fmt.Errorf("Stripe has %q, active %t", p.Name, p.Active)
	}
	return "created again: " + p.ID, nil
}

// demoPrices is the number of active prices of the demo's product.
const demoPrices = 2

// expect reads the demo's product from Stripe and returns what it has, or an error if that is not as expected.
func (d *demo) expect(name string, active bool, amount int64) (string, error) {
	p, err := d.stripe.Products.Get(d.mug(), nil)
	if err != nil {
		return "", stripeMessage(err)
	}
	found := 0
	var defaultAmount int64
	list := d.stripe.Prices.List(&stripe.PriceListParams{Product: stripe.String(d.mug()), Active: stripe.Bool(true)})
	for list.Next() {
		found++
		if price := list.Price(); p.DefaultPrice != nil && price.ID == p.DefaultPrice.ID {
			defaultAmount = price.UnitAmount
		}
	}
	if err := list.Err(); err != nil {
		return "", stripeMessage(err)
	}
	seen := fmt.Sprintf("%q, active %t, %s, default %s", p.Name, p.Active,
		countOf(found, "active price", "active prices"),
		catalog.FormatAmount(strconv.FormatInt(defaultAmount, 10), "eur"))
	if p.Name != name || p.Active != active || defaultAmount != amount || found != demoPrices {
		return "", errors.New("Stripe has " + seen)
	}
	return seen, nil
}

// stripeMessage returns the message of Stripe's error; the text of stripe-go's error is JSON.
func stripeMessage(err error) error {
	if e, ok := errors.AsType[*stripe.Error](err); ok {
		return errors.New("Stripe: " + e.Msg)
	}
	return err
}
