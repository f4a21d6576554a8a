package main

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/driftless-sync/driftless/services/cmd/internal/service"
	"github.com/driftless-sync/driftless/services/config"
	"github.com/driftless-sync/driftless/services/local"
	"github.com/driftless-sync/driftless/services/mesh"
	"github.com/driftless-sync/driftless/services/stripesim"
	"github.com/driftless-sync/driftless/services/telemetry"
)

// seed is the catalog of a first start.
//
//go:embed seed.json
var seed []byte

type upCmd struct {
	config.Mesh
	config.Stripe
	config.Ingestion
	config.Push
	config.Pull
	config.Reconciliation
	config.Policy
	config.Placement

	Ports           string        `enum:"fixed,auto" default:"fixed" help:"fixed for the ports of the documentation, auto for free ones."`
	JSON            bool          `name:"json" help:"Print where everything is as one line of JSON on standard output once it is ready."`
	Seed            bool          `negatable:"" default:"true" help:"Fill an empty catalog in the private Postgres with about 40 products, if Stripe is the simulator."`
	ServiceLogLevel string        `name:"service-log-level" enum:"debug,info,warn,error" default:"warn" help:"Least severe records of the services to show; debug shows every call to Stripe."`
	Without         []string      `help:"Services not to start: ingestion, push, pull, reconciliation." placeholder:"SERVICE"`
	Timeout         time.Duration `name:"ready-timeout" default:"60s" help:"How long everything may take to be ready."`
}

// The simulator of a mesh on one machine.
const (
	simulatorKey  = "sk_test_driftlesssimulator"
	simulatorFile = "stripe.journal"
	simulatorRate = 100.0 // calls per second
)

// Settings of a mesh on one machine that differ from those of production: the simulator has no read allowance to
// save, and nobody wants to wait.
const (
	localPollInterval = 2 * time.Second
	localGracePeriod  = 3 * time.Second
)

func (cmd *upCmd) Run(ctx context.Context, c *cli, mapping *config.Mapping) error {
	logger, err := telemetry.NewLogger(os.Stderr, c.LogLevel, c.LogFormat)
	if err != nil {
		return err
	}
	slog.SetDefault(logger)
	if _, err := service.Policy(cmd.Policy, c.Config, mapping); err != nil {
		return err
	}
	dataDir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if err := os.MkdirAll(dataDir, 0o755); err != nil { //nolint:gosec // Postgres' own user must be able to enter it
		return fmt.Errorf("data directory: %w", err)
	}
	if err := keepToOneStripe(dataDir, cmd.StripeAPIKey != ""); err != nil {
		return err
	}
	u := &up{upCmd: cmd, cli: c, dataDir: dataDir, logger: logger, ownTables: mapping == nil, started: time.Now()}
	defer u.stopParts()
	if err := u.makeKeys(); err != nil {
		return err
	}
	if err := u.startParts(ctx); err != nil {
		return err
	}
	return u.serve(ctx)
}

// keepToOneStripe remembers whether a data directory goes with the simulator or with Stripe itself, and refuses the
// other: the catalog of the one, samples among it, has no business in the other.
func keepToOneStripe(dataDir string, hasKey bool) error {
	const simulator, stripe = "the simulator", "Stripe"
	now := simulator
	if hasKey {
		now = stripe
	}
	path := filepath.Join(dataDir, "stripe")
	known, err := os.ReadFile(path)
	switch before := strings.TrimSpace(string(known)); {
	case errors.Is(err, os.ErrNotExist):
		if err := os.WriteFile(path, []byte(now+"\n"), 0o600); err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("data directory: %w", err)
	case before != now:
		return fmt.Errorf("data directory %s was used with %s, and now STRIPE_API_KEY says %s: use another with --data-dir, or remove it", dataDir, before, now)
	}
	return nil
}

// up is a mesh on one machine while it runs.
type up struct {
	*upCmd
	cli       *cli
	dataDir   string
	logger    *slog.Logger
	ownTables bool
	started   time.Time

	at       endpoints
	pg       *local.Postgres // nil if the database is not ours
	sim      *stripesim.Config
	webhook  string // the simulator's secret
	keys     upKeys
	services []*local.Service
	names    []string

	mu    sync.Mutex
	stops []func()
}

// startParts starts what is not given: Postgres, NATS and the simulator.
func (u *up) startParts(ctx context.Context) error {
	if err := u.addresses(); err != nil {
		return err
	}
	// Postgres takes the longest; NATS and the topology are ready by the time it is.
	g, startCtx := errgroup.WithContext(ctx)
	g.Go(func() error { return u.startPostgres(startCtx) })
	g.Go(func() error { return u.startNATS(startCtx) })
	if err := g.Wait(); err != nil {
		return err
	}
	return u.startStripe()
}

func (u *up) stopParts() {
	for _, stop := range slices.Backward(u.stops) {
		stop()
	}
}

func (u *up) onStop(stop func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stops = append(u.stops, stop)
}

func (u *up) startPostgres(ctx context.Context) error {
	if u.DatabaseURL != "" {
		u.at.Database = u.DatabaseURL.Reveal()
		return nil
	}
	pg, err := local.StartPostgres(ctx, local.PostgresConfig{DataDir: filepath.Join(u.dataDir, "postgres"), Logger: u.logger})
	if err != nil {
		return err
	}
	u.onStop(func() {
		if err := pg.Close(); err != nil {
			u.logger.Warn("stopping Postgres", "error", err)
		}
	})
	u.at.Database, u.pg = pg.URL(), pg
	return nil
}

func (u *up) startNATS(ctx context.Context) error {
	u.at.NATS = u.NATSURL
	if u.NATSURL == "" {
		server, err := local.StartNATS(ctx, local.NATSConfig{DataDir: filepath.Join(u.dataDir, "nats"), Logger: u.logger})
		if err != nil {
			return err
		}
		u.onStop(func() {
			if err := server.Close(); err != nil {
				u.logger.Warn("stopping NATS", "error", err)
			}
		})
		u.at.NATS = server.URL()
	}
	settings := u.NATS
	settings.NATSURL = u.at.NATS
	client := service.NATS(mesh.TopologyUser, settings)
	client.Logger, client.Patience = u.logger, u.Timeout
	m, err := mesh.Connect(ctx, client)
	if err != nil {
		return err
	}
	defer m.Close()
	return u.applyTopology(ctx, m)
}

// applyTopology creates what is missing. It never lowers what there is on a NATS server that is not ours.
func (u *up) applyTopology(ctx context.Context, m *mesh.Mesh) error {
	options := mesh.TopologyOptions{Accounts: []string{u.Account}, Replicas: u.replicas()}
	if u.NATSURL != "" {
		options.Placement = mesh.Placement{Cluster: u.PlacementCluster, Tags: u.PlacementTags}
	}
	var kept []string
	options.Kept = func(d mesh.Difference) { kept = append(kept, d.Kind+" "+d.Name+" ("+d.Lowers+")") }
	err := m.ApplyTopology(ctx, options, u.Timeout)
	if len(kept) > 0 {
		u.logger.WarnContext(ctx, "NATS has more than is configured, and stays as it is; `driftless topology apply --allow-lowering` lowers it",
			"of", len(kept), "first", kept[0])
	}
	return err
}

// replicas of the streams: the server that up starts is alone.
func (u *up) replicas() int {
	if u.NATSURL == "" {
		return 1
	}
	return u.NATSReplicas
}

func (u *up) startStripe() error {
	if u.StripeAPIKey != "" {
		u.at.Stripe = u.StripeAPIBase
		return nil
	}
	secret, err := keptSecret(filepath.Join(u.dataDir, "webhook.secret"))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", strings.TrimPrefix(u.at.Stripe, "http://")) //nolint:noctx // a local address
	if err != nil {
		return fmt.Errorf("the Stripe simulator cannot listen: %w; use --ports auto", err)
	}
	u.sim = &stripesim.Config{
		Listener: listener, DataFile: filepath.Join(u.dataDir, simulatorFile), Logger: u.logger,
		Webhooks: []stripesim.Webhook{{URL: u.at.Webhook + "/stripe/webhook", Secrets: []string{secret}}},
		// Those of live mode, although the key is a test key, with which Stripe allows a quarter of that.
		Limits: stripesim.Limits{PerSecond: simulatorRate, PerEndpoint: 25},
	}
	u.webhook, u.at.Simulated = secret, true
	return nil
}

// keptSecret reads a signing secret, or makes one and keeps it.
func keptSecret(path string) (string, error) {
	if data, err := os.ReadFile(path); err == nil {
		return strings.TrimSpace(string(data)), nil
	}
	secret := "whsec_" + rand.Text()
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep the simulator's webhook secret: %w", err)
	}
	return secret, nil
}

// addresses settles where everything listens.
func (u *up) addresses() error {
	fixed := []struct {
		addr *string
		url  *string
	}{
		{&u.IngestionAddr, &u.at.Ingest}, {&u.PullAddr, &u.at.Webhook}, {&u.ReconciliationAddr, &u.at.Control}, {&u.PushAddr, &u.at.Push},
	}
	sim := "127.0.0.1:12111"
	if u.StripeAPIKey == "" {
		fixed = append(fixed, struct{ addr, url *string }{&sim, &u.at.Stripe})
	}
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	for _, f := range fixed {
		if u.Ports == "auto" {
			*f.addr = "127.0.0.1:0"
		}
		// Held until all are chosen, so that no two are the same; a port in use is said before anything starts.
		l, err := net.Listen("tcp", *f.addr) //nolint:noctx // a local address
		if err != nil {
			return fmt.Errorf("%w: another mesh may be running; stop it, or use --ports auto", err)
		}
		held = append(held, l)
		*f.addr = l.Addr().String()
		*f.url = "http://" + *f.addr
	}
	return nil
}

// serve runs the services until ctx ends, and stops them before what they need.
func (u *up) serve(ctx context.Context) error {
	simCtx, stopSim := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSim()
	parts, simCtx := errgroup.WithContext(simCtx)
	if u.sim != nil {
		parts.Go(func() error { return stripesim.Run(simCtx, *u.sim) })
	}

	g, serveCtx := errgroup.WithContext(ctx)
	out := &lineWriter{w: os.Stderr, json: telemetry.LogFormat(os.Stderr, u.cli.LogFormat) == "json"}
	bin, err := programs()
	if err != nil {
		return err
	}
	for _, name := range []string{mesh.Ingestion, mesh.Push, mesh.Pull, mesh.Reconciliation} {
		if slices.Contains(u.Without, name) {
			continue
		}
		s := local.NewService(local.ServiceConfig{
			Name: name, Path: filepath.Join(bin, name), Env: append(u.environment(), u.keys.environment(name)...), Output: out.named(name), Logger: u.logger,
		})
		u.services, u.names = append(u.services, s), append(u.names, name)
		g.Go(func() error { return s.Run(serveCtx) })
	}
	g.Go(func() error {
		if err := u.awaitReady(serveCtx); err != nil {
			return err
		}
		return u.announce(serveCtx)
	})
	g.Go(func() error {
		var exited <-chan struct{}
		if u.pg != nil {
			exited = u.pg.Exited()
		}
		select {
		case <-serveCtx.Done():
		case <-exited:
			return fmt.Errorf("the private Postgres has ended; its log, %s, says why: start the mesh again when that is mended", u.pg.LogFile())
		case <-simCtx.Done():
			if serveCtx.Err() == nil {
				return fmt.Errorf("the Stripe simulator ended: %w", context.Cause(simCtx))
			}
		}
		return nil
	})
	err = g.Wait()
	_ = os.Remove(endpointsFile(u.dataDir))
	stopSim()
	if simErr := parts.Wait(); err == nil {
		err = simErr
	}
	if ctx.Err() != nil {
		fmt.Fprintln(os.Stderr, "stopped")
		return nil
	}
	return err
}

// programs is where the services' programs are: beside this one.
func programs() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the services' programs: %w", err)
	}
	dir := filepath.Dir(self)
	if _, err := os.Stat(filepath.Join(dir, mesh.Push)); err != nil {
		return "", fmt.Errorf("the services' programs must lie beside this one, in %s: %w", dir, err)
	}
	return dir, nil
}

// environment is that of the services: this one's, with where everything is.
func (u *up) environment() []string {
	set := map[string]string{
		"DRIFTLESS_ACCOUNT": u.Account, "DATABASE_URL": u.at.Database, "NATS_URL": u.at.NATS, "NATS_REPLICAS": strconv.Itoa(u.replicas()), "NATS_CREDS": u.NATSCreds,
		"NATS_NKEY": u.NATSNKey, "NATS_CA": u.NATSCA, "NATS_CERT": u.NATSCert, "NATS_KEY": u.NATSKey,
		"STRIPE_API_KEY": u.StripeAPIKey.Reveal(), "STRIPE_API_BASE": u.at.Stripe, "DRIFTLESS_TOKEN": u.cli.Token.Reveal(),
		"STRIPE_WEBHOOK_SECRET":         strings.Join(u.StripeWebhookSecret.Reveal(), ","),
		"LEDGER_DATABASE_URL":           u.LedgerDatabaseURL.Reveal(),
		"DRIFTLESS_INGESTION_ADDR":      u.IngestionAddr,
		"DRIFTLESS_PULL_ADDR":           u.PullAddr,
		"DRIFTLESS_RECONCILIATION_ADDR": u.ReconciliationAddr,
		"DRIFTLESS_PUSH_ADDR":           u.PushAddr,
		"DRIFTLESS_SLOT":                u.Slot,
		"DRIFTLESS_PUBLICATION":         u.Publication,
		"DRIFTLESS_PUSH_CONCURRENCY":    strconv.Itoa(u.PushConcurrency),
		"DRIFTLESS_PUSH_CREATE":         strconv.FormatBool(u.PushCreate),
		"DRIFTLESS_TAKE_LOOKUP_KEYS":    strconv.FormatBool(u.TakeLookupKeys),
		"DRIFTLESS_GUARD_SHARE":         formatRate(u.GuardShare),
		"DRIFTLESS_GUARD_LEAST":         strconv.FormatUint(u.GuardLeast, 10),
		"DRIFTLESS_POLL_INTERVAL":       u.PollInterval.String(),
		"DRIFTLESS_GRACE_PERIOD":        u.GracePeriod.String(),
		"DRIFTLESS_SCAN_INTERVAL":       u.ScanInterval.String(),
		"DRIFTLESS_DRIFT_POLICY":        u.DriftPolicy,
		"DRIFTLESS_POLICY":              u.Policy.Policy.String(),
		"DRIFTLESS_EXTRAS":              u.Extras,
		"DRIFTLESS_HISTORY_RETENTION":   u.HistoryRetention.String(),
		"DRIFTLESS_LOG_LEVEL":           u.ServiceLogLevel,
		"DRIFTLESS_LOG_FORMAT":          telemetry.LogFormat(os.Stderr, u.cli.LogFormat),
		"DRIFTLESS_CONFIG":              u.cli.Config,
		"STRIPE_ACCOUNT":                u.StripeAccount,
		"STRIPE_RATE":                   formatRate(u.StripeRate),
		"STRIPE_ENDPOINT_RATE":          formatRate(u.StripeEndpointRate),
		"STRIPE_READ_ALLOWANCE":         strconv.FormatUint(u.StripeReadAllowance, 10),
	}
	if u.sim != nil {
		set["STRIPE_API_KEY"], set["STRIPE_WEBHOOK_SECRET"] = simulatorKey, u.webhook
		// The simulator counts no reads.
		if u.StripeReadAllowance == 10_000 {
			set["STRIPE_READ_ALLOWANCE"] = "0"
		}
		if u.StripeRate == 0 {
			set["STRIPE_RATE"] = formatRate(simulatorRate)
		}
		if u.PollInterval == 10*time.Minute {
			set["DRIFTLESS_POLL_INTERVAL"] = localPollInterval.String()
		}
		if u.GracePeriod == 30*time.Second {
			set["DRIFTLESS_GRACE_PERIOD"] = localGracePeriod.String()
		}
	}
	// The services read the files themselves, again at every connection.
	for name, file := range map[string]string{
		"DATABASE_URL": u.DatabaseURLFile, "LEDGER_DATABASE_URL": u.LedgerDatabaseURLFile, "NATS_URL": u.NATSURLFile,
	} {
		if file != "" {
			set[name], set[name+"_FILE"] = "", file
		}
	}
	env := slices.DeleteFunc(os.Environ(), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		_, ours := set[strings.TrimSuffix(name, "_FILE")]
		return ours
	})
	for name, value := range set {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func formatRate(r float64) string { return strconv.FormatFloat(r, 'f', -1, 64) }

// awaitReady returns once every service says that it is ready.
func (u *up) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, u.Timeout, fmt.Errorf("not everything was ready within %s", u.Timeout))
	defer cancel()
	urls := map[string]string{mesh.Ingestion: u.at.Ingest, mesh.Push: u.at.Push, mesh.Pull: u.at.Webhook, mesh.Reconciliation: u.at.Control}
	for i, name := range u.names {
		for !answers(ctx, urls[name]+"/readyz") {
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s is not ready: %w", name, context.Cause(ctx))
			case <-time.After(20 * time.Millisecond):
			}
		}
		u.services[i].Ready()
	}
	return nil
}

func answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// announce says what runs where, and seeds an empty catalog.
func (u *up) announce(ctx context.Context) error {
	if err := u.keys.signedOnce(u.Without); err != nil {
		return err
	}
	u.at.Pids = map[string]int{}
	for i, s := range u.services {
		u.at.Pids[u.names[i]] = s.Pid()
	}
	if err := u.at.save(u.dataDir); err != nil {
		return err
	}
	// Never into somebody's Stripe account.
	if u.Seed && u.sim != nil && u.pg != nil && u.ownTables && !slices.Contains(u.Without, mesh.Ingestion) {
		if err := u.plant(ctx); err != nil {
			return fmt.Errorf("seed the catalog: %w", err)
		}
	}
	if u.JSON {
		return json.NewEncoder(stdout).Encode(u.at)
	}
	stripeIs := "Stripe"
	if u.at.Simulated {
		stripeIs = "Stripe simulator"
	}
	rows := [][]string{}
	add := func(what, where, note string) { rows = append(rows, []string{"  " + what, where, note}) }
	for i, name := range u.names {
		url := map[string]string{mesh.Ingestion: u.at.Ingest, mesh.Push: u.at.Push, mesh.Pull: u.at.Webhook, mesh.Reconciliation: u.at.Control}[name]
		add(name, url, fmt.Sprintf("pid %d", u.services[i].Pid()))
	}
	add(stripeIs, u.at.Stripe, "")
	add("NATS", config.RedactURL(u.at.NATS), "")
	add("Postgres", config.RedactURL(u.at.Database), "")
	var table bytes.Buffer
	printTable(&table, rows...)
	fmt.Printf("Driftless is up (%s), with its data in %s\n%s\nTry `scripts/driftless demo`, or `psql \"$(jq -r .database %s)\"`. Ctrl-C stops everything.\n",
		time.Since(u.started).Round(10*time.Millisecond), u.dataDir, table.String(), endpointsFile(u.dataDir))
	return nil
}

// plant writes the seed if the catalog is empty. One that has been seeded once, or was not empty at a start, is left
// alone from then on, so that a catalog somebody empties stays empty.
func (u *up) plant(ctx context.Context) error {
	marker := filepath.Join(u.dataDir, "seeded")
	if _, err := os.Stat(marker); err == nil {
		return nil
	}
	empty, err := u.empty(ctx)
	if err != nil {
		return err
	}
	if empty {
		client, err := address{Ingest: u.at.Ingest, Control: u.at.Control}.ingest(u.cli)
		if err != nil {
			return err
		}
		if _, _, err := applyProducts(ctx, client, seed); err != nil {
			return err
		}
	}
	return os.WriteFile(marker, nil, 0o600)
}

func (u *up) empty(ctx context.Context) (empty bool, err error) {
	conn, err := pgx.Connect(ctx, u.at.Database)
	if err != nil {
		return false, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, "SELECT NOT EXISTS (SELECT FROM driftless.products)").Scan(&empty)
	return empty, err
}

// lineWriter keeps the lines of several services whole.
type lineWriter struct {
	mu sync.Mutex
	w  *os.File
	// json records name their service themselves.
	json bool
}

type namedWriter struct {
	*lineWriter
	name string
}

func (w *lineWriter) named(name string) namedWriter { return namedWriter{w, name} }

// Write gets one line at a time.
func (w namedWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	prefix := "[" + w.name + "] "
	if w.json && bytes.HasPrefix(line, []byte("{")) {
		prefix = ""
	}
	if _, err := fmt.Fprintf(w.w, "%s%s", prefix, line); err != nil {
		return 0, err //nolint:wrapcheck // a writer passes its inner writer's error on
	}
	return len(line), nil
}
