package mesh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/redact"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Config describes the connection to the NATS servers.
type Config struct {
	// URL of one or several servers, separated by commas.
	URL string
	// URLFile is the file that URL was read from; empty for none. Each connection reads user, password and token from
	// it again.
	URLFile string
	// Creds is a credentials file of a user of decentralised authentication; empty for none. Each connection reads it
	// again, so a replaced file takes effect with the next connection.
	Creds string
	// NKey is a file with the seed of a user's nkey; empty for none. It cannot be combined with Creds.
	NKey string
	// CA is a file with the certificates that verify the servers'. Defaults to the system's. With CA, or with Cert and
	// Key, the connection must use TLS. Each connection reads these files again.
	CA string
	// Cert and Key are files with a client certificate and its key; empty for none.
	Cert, Key string
	// Signing has the client's key, and the keys that it trusts.
	Signing Signing
	// Account whose consumers are used. Defaults to topology.DefaultAccount.
	Account string
	// Replicas is how many replicas the streams should have. Bind logs a warning if they have fewer. 0 means any
	// number.
	Replicas int
	// Patience is how long Connect waits for the JetStream of a cluster that has just started; 0 means not at all.
	Patience time.Duration
	// Name is the name of the service. The server's monitoring shows it.
	Name string
	// Version of the program. Defaults to "devel".
	Version string
	// Settings are those of the program, without secrets, for the record of the process. Nil if they are not known.
	Settings []*meshv1.Setting
	Logger   *slog.Logger
	// InProcess connects to a server in the same process instead of to URL.
	InProcess nats.InProcessConnProvider
	// Now is the host's clock. Defaults to time.Now.
	Now func() time.Time
}

// pingInterval is how often the client pings its server. After two intervals without an answer it connects to another
// server.
const pingInterval = time.Second

// Mesh is a connection to the streams. Safe for concurrent use.
type Mesh struct {
	nc   *nats.Conn
	js   jetstream.JetStream
	name string
	// version of the program.
	version string
	// settings are for the record of the process.
	settings []*meshv1.Setting
	// account whose consumers are used.
	account string
	// replicas is how many replicas the streams should have.
	replicas int
	logger   *slog.Logger
	clock    *Clock
	keys     *keyring
	refusals refusals
	// catalogEnd is the highest known sequence of CATALOG; 0 if none is known.
	catalogEnd atomic.Uint64

	mu         sync.Mutex
	streams    map[string]jetstream.Stream
	buckets    map[string]jetstream.KeyValue
	committers map[string]*committer

	presence presence

	senders sync.WaitGroup

	// unobserve ends the report of whether the client is connected.
	unobserve func()

	// closing is set by Close. closed is closed with the connection.
	closing atomic.Bool
	closed  chan struct{}
}

// Connect connects to NATS and checks that JetStream answers. It returns an error if no server can be reached. If a
// server is lost later, the client reconnects without a limit of time.
func Connect(ctx context.Context, cfg Config) (*Mesh, error) {
	logger := cfg.Logger
	if logger == nil {
		logger = slog.Default()
	}
	keys, err := newKeyring(cfg.Name, cfg.Signing, logger)
	if err != nil {
		return nil, err
	}
	closed := make(chan struct{})
	trouble := &errorLog{}
	connected := &atomic.Bool{}
	// refusals has the reasons logged since the connection was lost. Owned by the client's callback goroutine.
	refusals := map[string]bool{}
	opts := []nats.Option{
		nats.Name("driftless-" + cfg.Name),
		nats.MaxReconnects(-1),
		// Refused credentials may become valid again, or their file may be replaced.
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, time.Second),
		// A server that hangs keeps its connections open, and accepts new ones without answering.
		nats.Timeout(2 * time.Second),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.CustomInboxPrefix(topology.InboxPrefix(cfg.Name)),
		nats.SyncQueueLen(maxAnswers),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			connected.Store(false)
			if err != nil {
				metrics.Disconnects.Add(ctx, 1)
				logger.Warn("NATS connection lost; reconnecting", "error", err)
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			if why := refusalOf(err); err != nil && !refusals[why] {
				refusals[why] = true
				logger.Warn("NATS reconnect failed; retrying", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			clear(refusals)
			connected.Store(true)
			logger.Info("NATS connection restored", "url", redact.URL(nc.ConnectedUrl()))
		}),
		nats.ClosedHandler(func(*nats.Conn) {
			connected.Store(false)
			close(closed)
		}),
		nats.ConnectHandler(func(*nats.Conn) { connected.Store(true) }),
		// A missing permission shows only here: the call that needed it times out.
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { trouble.log(logger, err) }),
	}
	servers, current := cfg.currentUser(logger)
	opts = append(opts, current...)
	identity, err := cfg.identity()
	if err != nil {
		return nil, err
	}
	opts = append(opts, identity...)
	if cfg.InProcess != nil {
		opts = append(opts, nats.InProcessServer(cfg.InProcess))
	}
	nc, err := nats.Connect(servers, opts...)
	if _, broken := errors.AsType[*url.Error](err); broken {
		// The error's text has the URL with the password.
		return nil, fmt.Errorf(
			"NATS_URL (%s) is not a list of NATS servers: use nats://user:password@host:4222, several separated by commas", redact.URL(cfg.URL))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot reach NATS at %s: %w; start the server or set NATS_URL (and NATS_CREDS)",
			redact.URL(cfg.URL), err)
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(10*time.Second))
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("set up JetStream: %w", err)
	}
	m := &Mesh{
		nc: nc, js: js, name: cfg.Name, version: cmp.Or(cfg.Version, "devel"),
		settings: cfg.Settings,
		account:  cmp.Or(cfg.Account, topology.DefaultAccount), replicas: cfg.Replicas,
		logger:  logger,
		streams: map[string]jetstream.Stream{}, buckets: map[string]jetstream.KeyValue{},
		committers: map[string]*committer{}, closed: closed,
		keys: keys,
	}
	m.clock = &Clock{read: m.serverTime, now: cfg.Now}
	m.unobserve = observeConnection(connected)
	if err := m.await(ctx, cfg.Patience, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, answerTimeout)
		defer cancel()
		_, err := js.AccountInfo(ctx)
		return err
	}); err != nil {
		nc.Close()
		m.unobserve()
		if errors.Is(err, jetstream.ErrJetStreamNotEnabled) ||
			errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
			err = fmt.Errorf("NATS at %s runs without JetStream: start it with -js", redact.URL(cfg.URL))
		} else {
			err = fmt.Errorf("JetStream at %s does not answer: %w", redact.URL(cfg.URL), err)
		}
		return nil, noJetStreamError{err}
	}
	keys.announce()
	return m, nil
}

// ErrNoJetStream is an error of Connect: NATS accepts the client, and JetStream is off or does not answer.
var ErrNoJetStream = errors.New("JetStream does not answer")

// noJetStreamError is an ErrNoJetStream with its reason.
type noJetStreamError struct{ error }

func (e noJetStreamError) Unwrap() error        { return e.error }
func (e noJetStreamError) Is(target error) bool { return target == ErrNoJetStream }

// refusalOf returns why a connection failed, without the server's address.
func refusalOf(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op + ": " + op.Err.Error()
	}
	return fmt.Sprint(err)
}

// JetStream returns the underlying client, for administration.
func (m *Mesh) JetStream() jetstream.JetStream { return m.js }

// Account returns the account whose consumers are used.
func (m *Mesh) Account() string { return m.account }

// Version returns the version of the program.
func (m *Mesh) Version() string { return m.version }

// Settings returns those of the program, without secrets. Nil if they are not known.
func (m *Mesh) Settings() []*meshv1.Setting { return m.settings }

// Logger returns the log of the client.
func (m *Mesh) Logger() *slog.Logger { return m.logger }

// Conn returns the underlying connection.
func (m *Mesh) Conn() *nats.Conn { return m.nc }

// Close flushes buffered messages and disconnects.
func (m *Mesh) Close() {
	m.closing.Store(true)
	if m.nc.IsConnected() {
		_ = m.nc.FlushTimeout(2 * time.Second)
	}
	m.nc.Close()
	m.senders.Wait()
	m.unobserve()
}

// Closed blocks until ctx ends or the connection is closed. It returns nil if ctx ended or Close was called, and an
// error otherwise. An error that no reconnect can fix, such as a line that is too long for the server, closes the
// connection for good.
func (m *Mesh) Closed(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-m.closed:
	}
	if m.closing.Load() {
		return nil
	}
	return m.closedError()
}

// Done returns a channel that is closed with the connection. Closed then returns why.
func (m *Mesh) Done() <-chan struct{} { return m.closed }

// closedError says why the connection was closed, and what to do.
func (m *Mesh) closedError() error {
	why := m.nc.LastError()
	if why == nil {
		why = nats.ErrConnectionClosed
	}
	return fmt.Errorf(
		"the connection to NATS was closed for good: %w; restart the service; if it happens again, compare the limits of the NATS server with its defaults and read its log", why)
}

// Ready returns an error if the connection is down, or if a consumer or bucket that the client uses does not exist. It
// is for readiness probes.
func (m *Mesh) Ready(context.Context) error {
	if !m.nc.IsConnected() {
		return errors.New("NATS: " + m.nc.Status().String())
	}
	if gone := m.missing(); len(gone) > 0 {
		return fmt.Errorf("NATS: %s does not exist: run `driftless topology apply --account %s`",
			strings.Join(gone, ", "), m.account)
	}
	return nil
}

// Bind checks that the given consumers exist, and the buckets of the service that the client is named after. The error
// names what is missing and the command that creates it. From then on Ready fails while one of them is deleted.
func (m *Mesh) Bind(ctx context.Context, want ...topology.Consumer) error {
	var few []string
	for _, c := range want {
		cons, err := m.js.Consumer(ctx, c.Stream, c.Durable(m.account))
		if err != nil {
			if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
				return fmt.Errorf(
					"consumer %s of stream %s does not exist: run `driftless topology apply --account %s`",
					c.Durable(m.account), c.Stream, m.account)
			}
			return fmt.Errorf("bind consumer %s of stream %s: %w", c.Durable(m.account), c.Stream, err)
		}
		m.track(m.consumerResource(c), cons.CachedInfo().Created)
		// A consumer has as many replicas as its stream. A service may not read the stream's configuration.
		if n := replicasOf(cons.CachedInfo().Cluster); n < m.replicas && !slices.Contains(few, c.Stream) {
			few = append(few, c.Stream)
		}
	}
	for _, b := range topology.BucketsOf(m.name) {
		kv, err := m.js.KeyValue(ctx, b)
		if err != nil {
			if errors.Is(err, jetstream.ErrBucketNotFound) {
				return fmt.Errorf("bucket %s does not exist: run `driftless topology apply`", b)
			}
			return fmt.Errorf("bind bucket %s: %w", b, err)
		}
		status, err := kv.Status(ctx)
		if err != nil {
			return fmt.Errorf("bind bucket %s: %w", b, err)
		}
		if s, ok := status.(*jetstream.KeyValueBucketStatus); ok {
			m.track(resource{stream: "KV_" + b}, s.StreamInfo().Created)
			if s.StreamInfo().Config.Replicas < m.replicas {
				few = append(few, b)
			}
		}
	}
	if len(few) > 0 {
		m.logger.WarnContext(ctx, "streams have fewer replicas than NATS_REPLICAS: "+
			"the loss of a server stops them or loses their messages; run `driftless topology apply`",
			"streams", few, "replicas", m.replicas)
	}
	return nil
}

// replicasOf counts the servers that hold a stream or a consumer.
func replicasOf(c *jetstream.ClusterInfo) int {
	if c == nil {
		return 1
	}
	return 1 + len(c.Replicas)
}

// boundStream returns a stream and caches it. Binding costs a round trip.
func (m *Mesh) boundStream(ctx context.Context, name string) (jetstream.Stream, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.streams[name]; ok {
		return s, nil
	}
	s, err := m.js.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("bind stream %s: %w", name, err)
	}
	m.streams[name] = s
	return s, nil
}
