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

// NATSConfig configures the embedded NATS server.
type NATSConfig struct {
	// DataDir is the directory of the streams, created if absent. Required.
	DataDir string
	// Host to listen on. Defaults to 127.0.0.1.
	Host string
	// Port to listen on. Defaults to a free one.
	Port int
	// NoSync acknowledges a message before it is on the disk. That is much faster, but a power failure may lose up to
	// two minutes of acknowledged messages. For tests. A kill -9 loses nothing either way.
	NoSync bool
	// MaxPayload is the maximum size of a message in bytes. Defaults to 1 MiB, as in the server.
	MaxPayload int32
	// Users that may connect. If empty, everybody who reaches the port may do everything.
	Users []NATSUser
	// Logger gets the server's messages, notices at level debug. Defaults to slog.Default().
	Logger *slog.Logger
}

// NATSUser is a user of the embedded NATS server.
type NATSUser struct {
	Name, Password string
	// Publish and Subscribe are the subjects that the user may publish and subscribe to. If both are empty, the user
	// may use all. Only one of them must not be empty.
	Publish, Subscribe []string
}

// NATS is a running embedded server.
type NATS struct {
	server *server.Server
	lock   *dirLock
	users  []NATSUser
}

// StartNATS starts a NATS server with JetStream and returns when it accepts connections. ctx limits only the start;
// Close stops the server. It returns ErrInUse if another process uses DataDir, and ErrPortTaken if the port is taken.
func StartNATS(ctx context.Context, cfg NATSConfig) (*NATS, error) {
	if cfg.DataDir == "" {
		return nil, errors.New("start NATS: DataDir is empty")
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
		// The process handles signals itself.
		NoSigs: true,
	})
	if err != nil {
		return nil, err
	}
	logger := &natsLogger{log: cfg.Logger.With("component", "nats")}
	srv.SetLoggerV2(logger, false, false, false)

	// Start returns once streams are recovered and the port is open, or once it has logged a fatal error.
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

// natsUsers converts users for the server. It hashes the passwords, because the server warns about plain ones. The
// hashes are cheap, because each connection costs the server one, and the passwords are long and random.
func natsUsers(users []NATSUser) ([]*server.User, error) {
	var out []*server.User // nil if there are no users: with an empty list nobody may connect
	for _, u := range users {
		if (len(u.Publish) == 0) != (len(u.Subscribe) == 0) {
			// The server takes an empty list as all subjects.
			return nil, fmt.Errorf("the NATS user %s has subjects to publish or to subscribe to, but not both", u.Name)
		}
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

// URL returns the address for clients, nats://host:port, without a user.
func (n *NATS) URL() string { return n.server.ClientURL() }

// URLFor returns the address with the name and password of a user. It returns an error if there is no such user.
func (n *NATS) URLFor(name string) (string, error) {
	for _, u := range n.users {
		if u.Name == name {
			at, err := url.Parse(n.URL())
			if err != nil {
				return "", fmt.Errorf("address of the NATS user %s: %w", name, err)
			}
			at.User = url.UserPassword(u.Name, u.Password)
			return at.String(), nil
		}
	}
	return "", fmt.Errorf("NATS has no user %s", name)
}

// InProcess lets nats.InProcessServer connect without the network.
func (n *NATS) InProcess() nats.InProcessConnProvider { return n.server }

// Connect connects to the server without the network.
func (n *NATS) Connect(opts ...nats.Option) (*nats.Conn, error) {
	return nats.Connect("", append(opts, nats.InProcessServer(n.server))...)
}

// Close stops the server, waits until its files are written, and releases the data directory. Call it once, after the
// clients have drained.
func (n *NATS) Close() error {
	n.server.Shutdown()
	n.server.WaitForShutdown()
	return n.lock.release()
}
