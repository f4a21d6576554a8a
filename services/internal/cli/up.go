package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alecthomas/kong"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/local"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/redact"
	"github.com/driftless-sync/driftless/services/internal/service"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/internal/visible"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// seed is the catalog of a first start.
//
//go:embed seed.json
var seed []byte

type upCmd struct {
	config.Mesh
	config.Hosts
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

func (cmd *upCmd) Run(ctx context.Context, c *cli, mapping *config.Mapping, parsed *kong.Context) error {
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
	if err := settleToken(parsed, c, dataDir); err != nil {
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
		return fmt.Errorf(
			"data directory %s was used with %s, and now STRIPE_API_KEY says %s: use another with --data-dir, or remove it", dataDir, before, now)
	}
	return nil
}

// settleToken makes the token of the APIs if none is given: any program on this machine can reach a loopback port,
// those of other users included. Only an empty --token does without; an empty variable counts as not set.
func settleToken(parsed *kong.Context, c *cli, dataDir string) error {
	none := slices.ContainsFunc(parsed.Path, func(p *kong.Path) bool {
		return p.Flag != nil && p.Flag.Name == "token" && !p.Resolved
	})
	if c.Token != "" || none {
		return nil
	}
	token, err := keptSecret(filepath.Join(dataDir, "token"), "")
	if err != nil {
		return fmt.Errorf("token of the APIs: %w", err)
	}
	c.Token = config.Secret(token)
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
	natsURLs map[string]string // by user; empty if NATS is not ours
	pg       *local.Postgres   // nil if the database is not ours
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
	pg, err := local.StartPostgres(ctx, local.PostgresConfig{
		DataDir: filepath.Join(u.dataDir, "postgres"),
		Logger:  u.logger,
	})
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
		if err := u.startPrivateNATS(ctx); err != nil {
			return err
		}
	}
	settings := u.NATS
	settings.NATSURL = u.natsURL(topology.AdminUser)
	client := service.NATS(topology.AdminUser, settings)
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
	options := topology.Options{Accounts: []string{u.Account}, Replicas: u.replicas()}
	if u.NATSURL != "" {
		options.Placement = topology.Placement{Cluster: u.PlacementCluster, Tags: u.PlacementTags}
	}
	var kept []string
	options.OnKept = func(d topology.Difference) { kept = append(kept, d.Kind+" "+d.Name+" ("+d.Lowers+")") }
	options.Refused = func(d topology.Difference, err error) {
		u.logger.WarnContext(ctx, "NATS does not take what protects its streams; see docs/security.md",
			"of", d.Kind+" "+d.Name, "error", err)
	}
	err := m.ApplyTopology(ctx, options, u.Timeout)
	if len(kept) > 0 {
		u.logger.WarnContext(
			ctx, "NATS has more than is configured, and stays as it is; `driftless topology apply --allow-lowering` lowers it",
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
	secret, err := keptSecret(filepath.Join(u.dataDir, "webhook.secret"), "whsec_")
	if err != nil {
		return fmt.Errorf("the simulator's webhook secret: %w", err)
	}
	listener, err := net.Listen("tcp", strings.TrimPrefix(u.at.Stripe, "http://")) //nolint:noctx // a local address
	if err != nil {
		return fmt.Errorf("the Stripe simulator cannot listen: %w; use --ports auto", err)
	}
	u.sim = &stripesim.Config{
		Listener: listener, AllowedHosts: u.AllowedHosts, DataFile: filepath.Join(u.dataDir, simulatorFile),
		Logger:   u.logger,
		Webhooks: []stripesim.Webhook{{URL: u.at.Webhook + "/stripe/webhook", Secrets: []string{secret}}},
		// Those of live mode, although the key is a test key, with which Stripe allows a quarter of that.
		Limits: stripesim.Limits{PerSecond: simulatorRate, PerEndpoint: 25},
	}
	u.webhook, u.at.Simulated = secret, true
	return nil
}

// keptSecret returns the secret in a file that only its owner may read. At the first time it makes both.
func keptSecret(path, prefix string) (string, error) {
	data, err := os.ReadFile(path)
	if kept := strings.TrimSpace(string(data)); err == nil && kept != "" {
		return kept, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read the secret that is kept: %w", err)
	}
	secret := prefix + rand.Text()
	// Renamed into place: a file that a kill left half written would be taken for the secret.
	draft := path + ".new"
	if err := os.WriteFile(draft, []byte(secret+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep a secret: %w", err)
	}
	if err := os.Rename(draft, path); err != nil {
		return "", fmt.Errorf("keep a secret: %w", err)
	}
	return secret, nil
}

// addresses settles where everything listens.
func (u *up) addresses() error {
	fixed := []struct {
		addr *string
		url  *string
	}{
		{&u.IngestionAddr, &u.at.Ingest},
		{&u.PullAddr, &u.at.Webhook},
		{&u.ReconciliationAddr, &u.at.Control},
		{&u.PushAddr, &u.at.Push},
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
	for _, name := range []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation} {
		if slices.Contains(u.Without, name) {
			continue
		}
		s := local.NewService(local.ServiceConfig{
			Name: name, Path: filepath.Join(bin, name), Env: append(u.environment(name), u.keys.environment(name)...),
			Output: out.named(name), Logger: u.logger,
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
			return fmt.Errorf(
				"the private Postgres has ended; its log, %s, says why: start the mesh again when that is mended",
				u.pg.LogFile())
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
		say(os.Stderr, "stopped")
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
	if _, err := os.Stat(filepath.Join(dir, topology.Push)); err != nil {
		return "", fmt.Errorf("the services' programs must lie beside this one, in %s: %w", dir, err)
	}
	return dir, nil
}

// awaitReady returns once every service says that it is ready.
func (u *up) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, u.Timeout, fmt.Errorf("not everything was ready within %s", u.Timeout))
	defer cancel()
	urls := map[string]string{
		topology.Ingestion:      u.at.Ingest,
		topology.Push:           u.at.Push,
		topology.Pull:           u.at.Webhook,
		topology.Reconciliation: u.at.Control,
	}
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
	u.at.Pids, u.at.Token = map[string]int{}, u.cli.Token.Reveal()
	for i, s := range u.services {
		u.at.Pids[u.names[i]] = s.Pid()
	}
	if err := u.at.save(u.dataDir); err != nil {
		return err
	}
	// Never into somebody's Stripe account.
	if u.Seed && u.sim != nil && u.pg != nil && u.ownTables && !slices.Contains(u.Without, topology.Ingestion) {
		if err := u.plant(ctx); err != nil {
			return fmt.Errorf("seed the catalog: %w", err)
		}
	}
	if u.JSON {
		return json.NewEncoder(jsonOut).Encode(u.at)
	}
	stripeIs := "Stripe"
	if u.at.Simulated {
		stripeIs = "Stripe simulator"
	}
	rows := [][]string{}
	add := func(what, where, note string) { rows = append(rows, []string{"  " + what, where, note}) }
	for i, name := range u.names {
		url := map[string]string{
			topology.Ingestion:      u.at.Ingest,
			topology.Push:           u.at.Push,
			topology.Pull:           u.at.Webhook,
			topology.Reconciliation: u.at.Control,
		}[name]
		add(name, url, fmt.Sprintf("pid %d", u.services[i].Pid()))
	}
	add(stripeIs, u.at.Stripe, "")
	add("NATS", redact.URL(u.at.NATS), "")
	add("Postgres", redact.URL(u.at.Database), "")
	var table bytes.Buffer
	printTable(&table, rows...)
	sayf(stdout, "Driftless is up (%s), with its data in %s\n%s\n"+
		"Try `scripts/driftless demo`, or `scripts/driftless psql`. %sCtrl-C stops everything.\n",
		time.Since(u.started).Round(10*time.Millisecond), u.dataDir, raw(table.String()), u.tokenNote())
	return nil
}

// tokenNote says how the APIs are used without these commands. The token itself is for no terminal and no log.
func (u *up) tokenNote() string {
	if u.cli.Token == "" {
		return "The APIs ask for no token. "
	}
	return fmt.Sprintf("The APIs ask for the token that %s holds; commands find it there. ", endpointsFile(u.dataDir))
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

// Write gets one line at a time. A line may hold texts of strangers: records are escaped by the service that writes
// them, and whatever else a program prints, such as a panic, is escaped here.
func (w namedWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	shown := "[" + w.name + "] " + visible.Lines(string(bytes.TrimSuffix(line, []byte("\n")))) + "\n"
	if w.json && bytes.HasPrefix(line, []byte("{")) {
		shown = string(visible.JSON(line))
	}
	if _, err := io.WriteString(w.w, shown); err != nil {
		return 0, err //nolint:wrapcheck // a writer passes its inner writer's error on
	}
	return len(line), nil
}
