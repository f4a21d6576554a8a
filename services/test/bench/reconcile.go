package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

type reconcileCmd struct {
	Products int           `default:"1000000" help:"Products on both sides, with one price each."`
	Drift    float64       `default:"0.01" help:"Share of the products that are changed in Stripe without an event."`
	Samples  int           `default:"20" help:"Changes whose time to detection is measured."`
	Poll     time.Duration `default:"2s" help:"Time between reads of /v1/events when there are no webhooks."`
}

type reconcileResult struct {
	Products    int     `json:"products"`
	Objects     uint64  `json:"objects"`
	FillSeconds float64 `json:"fill_seconds"`

	BareListPerSecond float64 `json:"bare_list_per_second"`
	BareListCalls     int     `json:"bare_list_calls"`
	// ScanSeconds is the duration of the whole scan. ListSeconds, CompareSeconds and ConfirmSeconds are those of its
	// phases.
	ScanSeconds    float64 `json:"scan_seconds"`
	ListSeconds    float64 `json:"list_seconds"`
	CompareSeconds float64 `json:"compare_seconds"`
	ConfirmSeconds float64 `json:"confirm_seconds"`
	ScanPerSecond  float64 `json:"scan_per_second"`
	BareListRatio  float64 `json:"bare_list_ratio"`
	ListCalls      uint64  `json:"list_calls"`
	Reads          uint64  `json:"reads"`

	// The list calls per second of a scan that keeps to Stripe's limits, the maximum that Stripe allows, and their
	// ratio.
	LimitedListPerSecond float64 `json:"limited_list_per_second"`
	ListLimit            float64 `json:"list_limit"`
	ListLimitRatio       float64 `json:"list_limit_ratio"`

	ComparePerSecond float64 `json:"compare_per_second"`

	DriftPlanted       int            `json:"drift_planted"`
	DriftFound         int            `json:"drift_found"`
	DriftFoundByKind   map[string]int `json:"drift_found_by_kind"`
	DriftPlantedByKind map[string]int `json:"drift_planted_by_kind"`
	// SettleSeconds is how long after the scan the ledger had all of its results.
	SettleSeconds float64 `json:"settle_seconds"`

	PeakRSSMB               float64 `json:"peak_rss_mb"`
	PullPeakRSSMB           float64 `json:"pull_peak_rss_mb"`
	ReconciliationPeakRSSMB float64 `json:"reconciliation_peak_rss_mb"`
	PullReadyMS             float64 `json:"pull_ready_ms"`
	ReconciliationReadyMS   float64 `json:"reconciliation_ready_ms"`

	DetectWebhookMS float64 `json:"detect_webhook_ms"`
	DetectPollMS    float64 `json:"detect_poll_ms"`
	PollIntervalMS  float64 `json:"poll_interval_ms"`
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
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"filling both sides", b.fill},
		{"listing with bare stripe-go", b.bare},
		{"starting the services", b.start},
		{"bringing the ledger's views up to date", b.waitReadable},
		{"planting drift", b.plant},
		{"scanning", b.scan},
		{"looking for the drift", b.waitFound},
		{"timing the detection of changes", b.detect},
		{"scanning at Stripe's limits", b.measureLimited},
	} {
		begun := time.Now()
		fmt.Fprintf(os.Stderr, "%s ...", step.what)
		if err := step.do(ctx); err != nil {
			fmt.Fprintln(os.Stderr)
			return fmt.Errorf("%s: %w", step.what, err)
		}
		fmt.Fprintf(os.Stderr, " %.1f s\n", time.Since(begun).Seconds())
	}
	return c.report(b.result.text(), b.result)
}

func (r *reconcileResult) text() string {
	var b strings.Builder
	row := func(what, format string, values ...any) {
		fmt.Fprintf(&b, "%-52s %s\n", what, fmt.Sprintf(format, values...))
	}
	row("products on both sides, and objects in Stripe", "%d, %d", r.Products, r.Objects)
	row("full scan", "%.1f s, %.0f objects a second, %d list calls, %d reads", r.ScanSeconds, r.ScanPerSecond,
		r.ListCalls, r.Reads)
	row("- listing, comparing, confirming", "%.1f s, %.1f s, %.1f s", r.ListSeconds, r.CompareSeconds, r.ConfirmSeconds)
	row("bare stripe-go loop over the same lists", "%.0f objects a second, %d calls", r.BareListPerSecond,
		r.BareListCalls)
	row("scan's rate to the bare loop's", "%.2f", r.BareListRatio)
	row("a scan at Stripe's limits", "%.1f list calls a second of %.0f, ratio %.2f", r.LimitedListPerSecond,
		r.ListLimit, r.ListLimitRatio)
	row("comparison alone (decode and diff), one core", "%.0f products a second", r.ComparePerSecond)
	row("drift planted and found", "%d, %d; in the ledger %.1f s after the scan", r.DriftPlanted, r.DriftFound,
		r.SettleSeconds)
	for _, kind := range slices.Sorted(maps.Keys(r.DriftPlantedByKind)) {
		row("- "+kind, "%d, %d", r.DriftPlantedByKind[kind], r.DriftFoundByKind[kind])
	}
	row("peak resident memory: pull, reconciliation", "%.0f MB, %.0f MB", r.PullPeakRSSMB, r.ReconciliationPeakRSSMB)
	row("ready after a restart: pull, reconciliation", "%.0f ms, %.0f ms", r.PullReadyMS, r.ReconciliationReadyMS)
	row("change noticed by a webhook, median", "%.0f ms", r.DetectWebhookMS)
	row(fmt.Sprintf("change noticed without one, polled every %.0f ms", r.PollIntervalMS), "%.0f ms", r.DetectPollMS)
	return b.String()
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
			_, err := s.CreateProduct(url.Values{"id": {"extra-" + id}, "name": {"Nobody's"}})
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

const extraKind = "extra product"

func (b *reconcileBench) scan(ctx context.Context) error {
	started, err := b.control.StartScan(ctx, connect.NewRequest(&controlv1.StartScanRequest{}))
	if err != nil {
		return fmt.Errorf("start a scan: %w", err)
	}
	begun := time.Now()
	took := map[meshv1.ScanPhase]time.Duration{}
	report := &meshv1.ScanReport{}
	for report.GetId() != started.Msg.GetId() || report.GetFinishedAt() == nil {
		if err := rest(ctx, 50*time.Millisecond); err != nil {
			return err
		}
		// The control API is not used, since the report is what the scan itself writes.
		if _, err := b.world.stores.Record(topology.KeyScan, benchAccount).Get(ctx, report); err != nil {
			return err
		}
		took[report.GetPhase()] += time.Since(begun)
		begun = time.Now()
		if report.GetId() == started.Msg.GetId() && report.GetError() != "" {
			return errors.New(report.GetError())
		}
	}
	if report.GetFailed() > 0 || report.GetUnconfirmed() > 0 {
		return fmt.Errorf("%d objects failed, %d are not confirmed", report.GetFailed(), report.GetUnconfirmed())
	}
	r := b.result
	r.ScanSeconds = report.GetFinishedAt().AsTime().Sub(report.GetStartedAt().AsTime()).Seconds()
	r.ListSeconds, r.CompareSeconds = took[meshv1.ScanPhase_SCAN_PHASE_LISTING].Seconds(),
		took[meshv1.ScanPhase_SCAN_PHASE_COMPARING].Seconds()
	r.ConfirmSeconds = took[meshv1.ScanPhase_SCAN_PHASE_CONFIRMING].Seconds()
	r.ScanPerSecond = float64(report.GetProducts()+report.GetPrices()) / r.ScanSeconds
	r.BareListRatio = r.ScanPerSecond / r.BareListPerSecond
	r.ListCalls, r.Reads = report.GetListCalls(), report.GetReads()
	return nil
}

// patience is how long the ledger may stay unchanged before the search for drift ends.
const patience = 30 * time.Second

// waitFound reads the drift from reconciliation until it contains all planted differences.
func (b *reconcileBench) waitFound(ctx context.Context) error {
	begun, last := time.Now(), time.Now()
	for {
		byKind := map[string]int{}
		drifted, err := b.driftedProducts(ctx)
		if err != nil {
			return err
		}
		found := 0
		for id, kind := range b.planted {
			if drifted[id] {
				byKind[kind]++
				found++
			}
		}
		status, err := b.control.GetStatus(ctx, connect.NewRequest(&controlv1.GetStatusRequest{}))
		if err != nil {
			return fmt.Errorf("ask for the status: %w", err)
		}
		orphans := min(int(status.Msg.GetOrphans()), b.extra)
		found += orphans
		if orphans > 0 {
			byKind[extraKind] = orphans
		}
		if found > b.result.DriftFound {
			last = time.Now()
		}
		b.result.DriftFound, b.result.DriftFoundByKind = found, byKind
		if found >= b.result.DriftPlanted || time.Since(last) > patience {
			b.result.SettleSeconds = last.Sub(begun).Seconds()
			break
		}
		if err := rest(ctx, 250*time.Millisecond); err != nil {
			return err
		}
	}
	var err error
	if b.result.PullPeakRSSMB, err = b.pull.peakMemory(); err != nil {
		return err
	}
	if b.result.ReconciliationPeakRSSMB, err = b.reconciliation.peakMemory(); err != nil {
		return err
	}
	b.result.PeakRSSMB = max(b.result.PullPeakRSSMB, b.result.ReconciliationPeakRSSMB)
	return nil
}

// driftedProducts returns the drifted products among the named ones, or among all.
func (b *reconcileBench) driftedProducts(ctx context.Context, ids ...string) (map[string]bool, error) {
	out := map[string]bool{}
	request := &controlv1.ListDriftRequest{ProductIds: ids, Limit: 10_000}
	for more := true; more; {
		list, err := b.control.ListDrift(ctx, connect.NewRequest(request))
		if err != nil {
			return nil, fmt.Errorf("ask for the drift: %w", err)
		}
		for _, d := range list.Msg.GetDrift() {
			out[d.GetProductId()] = true
			request.After = d.GetProductId()
		}
		more = list.Msg.GetTruncated() && len(list.Msg.GetDrift()) > 0
	}
	return out, nil
}

// detect measures the time from a change in Stripe's dashboard until reconciliation shows it.
func (b *reconcileBench) detect(ctx context.Context) (err error) {
	if b.result.DetectWebhookMS, err = b.detectAll(ctx, 1, b.Samples); err != nil {
		return fmt.Errorf("with webhooks: %w", err)
	}
	if _, err := b.world.sim.AddFault(stripesim.Fault{Kind: stripesim.FaultWebhookLost}); err != nil {
		return err
	}
	b.result.DetectPollMS, err = b.detectAll(ctx, 1+b.Samples, max(b.Samples/4, 1))
	if err != nil {
		return fmt.Errorf("by polling: %w", err)
	}
	return nil
}

// detectAll changes some of the equal products, one after another, and returns the median time.
func (b *reconcileBench) detectAll(ctx context.Context, first, samples int) (float64, error) {
	var took []float64
	for i := first; len(took) < samples && i < b.Products; i++ {
		id := productID(i)
		if b.planted[id] != "" {
			continue
		}
		begun := time.Now()
		if err := b.world.loud.EditProduct(id, url.Values{"name": {"Changed at the dashboard"}}); err != nil {
			return 0, err
		}
		for {
			drifted, err := b.driftedProducts(ctx, id)
			if err != nil {
				return 0, err
			}
			if drifted[id] {
				break
			}
			if time.Since(begun) > time.Minute+2*b.Poll {
				return 0, fmt.Errorf("a change of product %s was not detected", id)
			}
			if err := rest(ctx, 2*time.Millisecond); err != nil {
				return 0, err
			}
		}
		took = append(took, float64(time.Since(begun).Microseconds())/1000)
	}
	if len(took) == 0 {
		return 0, errors.New("there are too few products to change one")
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
