package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// superuser owns the private server. Its password is created with the cluster and stored in the data directory.
const superuser = "driftless"

// PostgresConfig configures the private Postgres.
type PostgresConfig struct {
	// DataDir has the cluster, its password and its log. Created if absent. Required. If the user that Postgres must
	// run as cannot enter it, the cluster is in /var/lib/driftless, which is logged.
	DataDir string
	// Port to listen on at 127.0.0.1. Defaults to a free one.
	Port int
	// Database is the database of URL, created if absent. Defaults to "driftless".
	Database string
	// ReadyTimeout is the timeout until the server accepts connections, including recovery after a crash. Defaults to a
	// minute.
	ReadyTimeout time.Duration
	// NoFsync trades safety in a power failure for speed. For tests. A kill -9 loses nothing either way.
	NoFsync bool
	// Settings are server settings that override the defaults: {"wal_level": "replica"}.
	Settings map[string]string
	// Logger gets warnings and relocations. Defaults to slog.Default(). Postgres' own log is postgres.log beside the
	// cluster.
	Logger *slog.Logger

	// relocateTo replaces /var/lib/driftless in tests.
	relocateTo string
}

// Postgres is a running private server.
type Postgres struct {
	process  *process
	lock     *dirLock
	home     home
	port     int
	database string
	password string
	close    func() error
}

// StartPostgres starts the server, creates cluster and database at the first time, and returns when the server accepts
// connections. It first stops a server that a killed run left on the same directory. ctx limits only the start; Close
// stops the server. It returns ErrInUse, ErrPortTaken and ErrNoPostgres.
//
// On Linux the server also stops in order when this process dies.
func StartPostgres(ctx context.Context, cfg PostgresConfig) (*Postgres, error) {
	if cfg.DataDir == "" {
		return nil, errors.New("start Postgres: DataDir is empty")
	}
	cfg.Database = cmp.Or(cfg.Database, "driftless")
	cfg.ReadyTimeout = cmp.Or(cfg.ReadyTimeout, time.Minute)
	cfg.relocateTo = cmp.Or(cfg.relocateTo, "/var/lib/driftless")
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	var err error
	if cfg.DataDir, err = makeDir(cfg.DataDir); err != nil {
		return nil, fmt.Errorf("start Postgres: %w", err)
	}
	lock, err := lockDir(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("start Postgres: %w", err)
	}
	p := &Postgres{lock: lock, database: cfg.Database}
	p.close = sync.OnceValue(p.stop)
	ctx, cancel := context.WithTimeout(ctx, cfg.ReadyTimeout)
	defer cancel()
	if err := p.start(ctx, cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("start Postgres on %s: %w", cfg.DataDir, err), p.close())
	}
	return p, nil
}

func (p *Postgres) start(ctx context.Context, cfg PostgresConfig) error {
	account, err := runAs(cfg.DataDir)
	if err != nil {
		return err
	}
	installed, err := findBinaries(ctx)
	if err != nil {
		return err
	}
	if p.home, err = chooseHome(ctx, cfg, account, installed[0]); err != nil {
		return err
	}
	bin, err := p.home.compatible(installed)
	if err != nil {
		return err
	}
	if err := stopLeftover(ctx, p.home.cluster(), cfg.Logger); err != nil {
		return err
	}
	if p.password, err = p.home.initialise(ctx, bin, cfg.NoFsync); err != nil {
		return err
	}
	if cfg.Port != 0 {
		if err := checkPort(ctx, loopback, cfg.Port); err != nil {
			return err
		}
	}
	if err := p.serve(ctx, bin, cfg); err != nil {
		return err
	}
	return p.ensureDatabase(ctx)
}

// serve starts the server process until the server accepts connections. It tries several times. Another program may
// take a free port before the server does. After a kill -9, the last children of the old server use its shared memory
// for a moment.
func (p *Postgres) serve(ctx context.Context, bin binaries, cfg PostgresConfig) error {
	var err error
	for delay := 50 * time.Millisecond; delay < 3*time.Second; delay *= 2 {
		if p.port = cfg.Port; p.port == 0 {
			if p.port, err = freePort(ctx); err != nil {
				return err
			}
		}
		if p.process, err = p.home.startServer(bin, settings(cfg, p.port)); err != nil {
			return err
		}
		if err = p.awaitReady(ctx); !errors.Is(err, errExited) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(delay):
		}
	}
	return err
}

var errExited = errors.New("the server stopped again")

// awaitReady waits until the server accepts connections. It returns errExited if the server ends before.
func (p *Postgres) awaitReady(ctx context.Context) error {
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		conn, err := pgx.Connect(ctx, p.url("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-p.process.exited:
			return fmt.Errorf("%w; its log ends with:\n%s", errExited, p.home.logTail())
		case <-ctx.Done():
			return fmt.Errorf("no connection before the deadline (%w): %w; its log ends with:\n%s",
				ctx.Err(), err, p.home.logTail())
		case <-retry.C:
		}
	}
}

func (p *Postgres) ensureDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, p.url("postgres"))
	if err != nil {
		return fmt.Errorf("connect to create database %q: %w", p.database, err)
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{p.database}.Sanitize())
	const duplicateDatabase = "42P04"
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && refused.Code == duplicateDatabase {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create database %q: %w", p.database, err)
	}
	return nil
}

// URL returns the address of the database, including the password of the superuser.
func (p *Postgres) URL() string { return p.url(p.database) }

func (p *Postgres) url(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, p.password),
		Host:     net.JoinHostPort(loopback, strconv.Itoa(p.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Pid returns the process id of the server.
func (p *Postgres) Pid() int { return p.process.cmd.Process.Pid }

// Exited returns a channel that is closed when the server process has ended, by Close or by itself.
func (p *Postgres) Exited() <-chan struct{} { return p.process.exited }

// LogFile returns the path of the server's log.
func (p *Postgres) LogFile() string { return p.home.log() }

// Close stops the server, waits for its end, and releases the data directory. It ends sessions and rolls back open
// transactions. It may be called more than once.
func (p *Postgres) Close() error { return p.close() }

func (p *Postgres) stop() error {
	if p.process != nil {
		// A fast stop, then an immediate one (with recovery at the next start), then a kill. A replication client that
		// does not read blocks a fast stop.
		p.process.stop(10*time.Second, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL)
	}
	return p.lock.release()
}

// settings returns the server's settings as arguments of its command line.
func settings(cfg PostgresConfig, port int) []string {
	all := map[string]string{
		"listen_addresses": loopback,
		"port":             strconv.Itoa(port),
		// The path of a socket has at most 107 bytes, and a data directory may be longer.
		"unix_socket_directories": "",
		"wal_level":               "logical",
		"max_replication_slots":   "10",
		"max_wal_senders":         "10",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"log_checkpoints":         "off",
		"lc_messages":             "C",
	}
	if cfg.NoFsync {
		all["fsync"] = "off"
		all["full_page_writes"] = "off"
	}
	maps.Copy(all, cfg.Settings)
	args := make([]string, 0, 2*len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		args = append(args, "-c", name+"="+all[name])
	}
	return args
}
