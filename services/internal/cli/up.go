package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/local"
	"github.com/driftless-sync/driftless/services/internal/service"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

type upCmd struct {
	config.Mesh
	config.Hosts
	config.Stripe
	config.Ingestion
	config.Push
	config.Guard
	config.Pull
	config.Reconciliation
	config.Notify
	config.Policy
	config.Placement
	config.Signing
	config.Tokens
	config.Console
	config.ConsoleOpenID

	Ports           string        `enum:"fixed,auto" default:"fixed" help:"Ports to listen on: fixed for those in the documentation, auto for free ones."`
	JSON            bool          `name:"json" help:"Print all addresses as one line of JSON on standard output once everything is ready."`
	Seed            bool          `negatable:"" default:"true" help:"Fill an empty catalog in the private Postgres with about 40 products if Stripe is the simulator."`
	ServiceLogLevel string        `name:"service-log-level" enum:"debug,info,warn,error" default:"warn" help:"Minimum level of the services' log records to show; debug shows every call to Stripe."`
	Without         []string      `enum:"ingestion,push,pull,reconciliation,console" help:"Services not to start: ingestion, push, pull, reconciliation, console." placeholder:"SERVICE"`
	DryRun          bool          `name:"dry-run" help:"Read your tables and Stripe, show the plan, and write nothing to Stripe: no push runs. Uses a NATS, a ledger and a replication slot of its own."`
	Once            bool          `help:"End a dry run after its plan. Exits with 2 if anything differs."`
	Timeout         time.Duration `name:"ready-timeout" default:"60s" help:"Timeout until everything is ready."`

	// meshSlot is the slot of the mesh that a dry run must leave alone.
	meshSlot string
}

func (cmd *upCmd) Run(ctx context.Context, c *cli, mapping *config.Mapping, loaded *config.Loaded,
	parsed *kong.Context,
) error {
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
	dataDir, err = cmd.prepareDryRun(dataDir, mapping)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dataDir, 0o755); err != nil { //nolint:gosec // Postgres' own user must be able to enter it
		return fmt.Errorf("data directory: %w", err)
	}
	if err := pinStripe(dataDir, cmd.StripeAPIKey != ""); err != nil {
		return err
	}
	if err := ensureToken(parsed, c, dataDir); err != nil {
		return err
	}
	u := &up{
		upCmd:            cmd,
		cli:              c,
		isSet:            func(flag string) bool { return loaded.IsSet(parsed, flag) },
		dataDir:          dataDir,
		logger:           logger,
		hasBuiltInTables: mapping.IsBuiltIn(),
		started:          time.Now(),
		linkKey:          rand.Text(),
	}
	defer u.stopDependencies()
	if err := u.makeKeys(); err != nil {
		return err
	}
	if err := u.startDependencies(ctx); err != nil {
		return err
	}
	err = u.serve(ctx)
	if errors.Is(err, errPlanned) {
		if u.differs {
			return errDiffers
		}
		return nil
	}
	return err
}

// console is the name of the console's program. It is not a service of the mesh, and has no user of NATS.
const console = "console"

// programs are the services that up starts, in the order in which it waits for them.
var programs = []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation, console}

// up is a mesh on one machine while it runs.
type up struct {
	*upCmd
	cli *cli
	// isSet reports whether a flag was set on the command line, in the environment or in the file.
	isSet            func(flag string) bool
	dataDir          string
	logger           *slog.Logger
	hasBuiltInTables bool
	started          time.Time
	// differs reports whether a dry run has found differences.
	differs bool

	endpoints     endpoints
	natsURLs      map[string]string // by user; empty if NATS is not ours
	postgres      *local.Postgres   // nil if the database is not ours
	simulator     *stripesim.Config
	webhookSecret string // the simulator's secret
	// linkKey is the key of the link that signs in to the console once.
	linkKey string
	keys    upKeys
	// listeners are those that the services inherit, by service.
	listeners         map[string]*os.File
	simulatorListener net.Listener // nil if Stripe is not simulated
	services          []*local.Service
	serviceNames      []string

	mu    sync.Mutex
	stops []func()
}

// startDependencies starts Postgres, NATS and the simulator unless the settings name others.
func (u *up) startDependencies(ctx context.Context) error {
	if err := u.pinCatalog(ctx); err != nil {
		return err
	}
	if err := u.chooseAddresses(); err != nil {
		return err
	}
	// Postgres takes the longest. NATS and the topology are ready before it.
	g, startCtx := errgroup.WithContext(ctx)
	g.Go(func() error { return u.startPostgres(startCtx) })
	g.Go(func() error { return u.startNATS(startCtx) })
	if err := g.Wait(); err != nil {
		return err
	}
	return u.startStripe()
}

func (u *up) stopDependencies() {
	for _, stop := range slices.Backward(u.stops) {
		stop()
	}
}

func (u *up) onStop(stop func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stops = append(u.stops, stop)
}

// serve runs the services until ctx ends, and stops them before Postgres, NATS and the simulator.
func (u *up) serve(ctx context.Context) error {
	simCtx, stopSim := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSim()
	parts, simCtx := errgroup.WithContext(simCtx)
	if u.simulator != nil {
		parts.Go(func() error { return stripesim.Run(simCtx, *u.simulator) })
	}

	g, serveCtx := errgroup.WithContext(ctx)
	out := &lineWriter{w: os.Stderr, json: telemetry.LogFormat(os.Stderr, u.cli.LogFormat) == "json"}
	bin, err := programDir()
	if err != nil {
		return err
	}
	for _, name := range programs {
		if slices.Contains(u.Without, name) {
			continue
		}
		s := local.NewService(local.ServiceConfig{
			Name:   name,
			Path:   filepath.Join(bin, name),
			Env:    append(append(u.environment(name), u.keys.environment(name)...), service.ListenerEnvironment),
			Files:  []*os.File{u.listeners[name]},
			Output: out.named(name),
			Logger: u.logger,
		})
		u.services, u.serviceNames = append(u.services, s), append(u.serviceNames, name)
		g.Go(func() error { return s.Run(serveCtx) })
	}
	g.Go(func() error {
		if err := u.awaitReady(serveCtx); err != nil {
			return err
		}
		if err := u.announce(serveCtx); err != nil || !u.DryRun {
			return err
		}
		return u.planDry(serveCtx)
	})
	g.Go(func() error {
		var exited <-chan struct{}
		if u.postgres != nil {
			exited = u.postgres.Exited()
		}
		select {
		case <-serveCtx.Done():
		case <-exited:
			return fmt.Errorf(
				"the private Postgres has ended; its log, %s, says why: fix that, then start the mesh again",
				u.postgres.LogFile())
		case <-simCtx.Done():
			if serveCtx.Err() == nil {
				return fmt.Errorf("the Stripe simulator has ended: %w", context.Cause(simCtx))
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

// programDir returns the directory of the services' programs: that of this program.
func programDir() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the services' programs: %w", err)
	}
	dir := filepath.Dir(self)
	for _, name := range programs {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("the services' programs must be beside this one, in %s: %w", dir, err)
		}
	}
	return dir, nil
}

// awaitReady returns once every service reports that it is ready.
func (u *up) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, u.Timeout, fmt.Errorf("not everything was ready within %s", u.Timeout))
	defer cancel()
	urls := u.endpoints.services()
	for i, name := range u.serviceNames {
		for !isReady(ctx, urls[name]+"/readyz") {
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

func isReady(ctx context.Context, url string) bool {
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
