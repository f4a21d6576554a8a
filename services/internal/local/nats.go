package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"golang.org/x/crypto/bcrypt"
)

// NATSConfig says how to run the embedded NATS server.
type NATSConfig struct {
	// DataDir holds the streams; it is made if absent. Required.
	DataDir string
	// Host to listen on; 127.0.0.1 if empty.
	Host string
	// Port to listen on; 0 takes a free one.
	Port int
	// NoSync acknowledges a message before it is on the disk: much faster, and a power failure may lose up to two
	// minutes of acknowledged messages. For tests. A kill -9 loses nothing either way.
	NoSync bool
	// MaxPayload is the largest message that the server takes, in bytes; the server's default, 1 MiB, if 0.
	MaxPayload int32
	// Users that may connect. If there are none, everybody who reaches the port may do everything.
	Users []NATSUser
	// Logger gets the server's own messages, notices at level debug; slog.Default() if nil.
	Logger *slog.Logger
}

// NATSUser is a user of the embedded NATS server.
type NATSUser struct {
	Name, Password string
	// Publish and Subscribe are the subjects that the user may publish and subscribe to. None means all.
	Publish, Subscribe []string
}

// NATS is a running embedded server.
type NATS struct {
	server *server.Server
	lock   *dirLock
	users  []NATSUser
}

// StartNATS starts a NATS server with JetStream and returns when it takes connections. ctx bounds the start only; Close
// stops the server. It reports ErrInUse and ErrPortTaken.
func StartNATS(ctx context.Context, cfg NATSConfig) (*NATS, error) {
	if cfg.DataDir == "" {
		return nil, errors.New("start NATS: no data directory given")
	}
	if cfg.Host == "" {
		cfg.Host = loopback
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if err := checkPort(ctx, cfg.Host, cfg.Port); err != nil {
		return nil, fmt.Errorf("start NATS: %w", err)
	}
	if err := os.MkdirAll(cfg.DataDir, 0o750); err != nil {
		return nil, fmt.Errorf("start NATS: %w", err)
	}
	lock, err := lockDir(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("start NATS: %w", err)
	}
	srv, err := serveNATS(ctx, cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start NATS on %s: %w", cfg.DataDir, err), lock.release())
	}
	return &NATS{server: srv, lock: lock, users: cfg.Users}, nil
}

func serveNATS(ctx context.Context, cfg NATSConfig) (*server.Server, error) {
	port := cfg.Port
	if port == 0 {
		port = server.RANDOM_PORT
	}
	users, err := natsUsers(cfg.Users)
	if err != nil {
		return nil, err
	}
	srv, err := server.NewServer(&server.Options{
		Users:      users,
		ServerName: "driftless",
		Host:       cfg.Host,
		Port:       port,
		JetStream:  true,
		StoreDir:   cfg.DataDir,
		MaxPayload: cfg.MaxPayload,
		SyncAlways: !cfg.NoSync,
		// The process has its own handling of signals.
		NoSigs: true,
	})
	if err != nil {
		return nil, err
	}
	logger := &natsLogger{log: cfg.Logger.With("component", "nats")}
	srv.SetLoggerV2(logger, false, false, false)

	// Start returns once streams are recovered and the port is open, or has logged something fatal on the way.
	srv.Start()
	err = logger.Fatal()
	for err == nil && !srv.ReadyForConnections(time.Second) {
		err = errors.Join(logger.Fatal(), ctx.Err())
	}
	if err != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, err
	}
	return srv, nil
}

// natsUsers are the users as the server takes them: with hashes, since it warns of passwords that are none. The
// hashes are cheap, since the passwords are long and random, and each connection costs the server one.
func natsUsers(users []NATSUser) ([]*server.User, error) {
	var out []*server.User // not empty: that would be users of whom none may connect
	for _, u := range users {
		hash, err := bcrypt.GenerateFromPassword([]byte(u.Password), bcrypt.MinCost)
		if err != nil {
			return nil, fmt.Errorf("password of the NATS user %s: %w", u.Name, err)
		}
		user := &server.User{Username: u.Name, Password: string(hash)}
		if len(u.Publish)+len(u.Subscribe) > 0 {
			user.Permissions = &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: u.Publish},
				Subscribe: &server.SubjectPermission{Allow: u.Subscribe},
			}
		}
		out = append(out, user)
	}
	return out, nil
}

// URL is the address for clients, nats://host:port, without a user.
func (n *NATS) URL() string { return n.server.ClientURL() }

// URLFor is the address with the name and the password of a user; without if there is no such user.
func (n *NATS) URLFor(name string) string {
	for _, u := range n.users {
		if u.Name == name {
			at := url.URL{
				Scheme: "nats",
				User:   url.UserPassword(u.Name, u.Password),
				Host:   n.server.Addr().String(),
			}
			return at.String()
		}
	}
	return n.URL()
}

// InProcess lets nats.InProcessServer connect without the network.
func (n *NATS) InProcess() nats.InProcessConnProvider { return n.server }

// Connect connects to the server without the network.
func (n *NATS) Connect(opts ...nats.Option) (*nats.Conn, error) {
	return nats.Connect("", append(opts, nats.InProcessServer(n.server))...)
}

// Close stops the server, waits until its files are written, and gives the data directory free. Call it once, after the
// clients have drained.
func (n *NATS) Close() error {
	n.server.Shutdown()
	n.server.WaitForShutdown()
	return n.lock.release()
}
