package mesh

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/driftless-sync/driftless/services/internal/redact"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// dialTimeout bounds one attempt of Dial.
const dialTimeout = 2 * time.Second

// Dial returns a plain connection of the user that cfg describes, under another name. It is for those who ask the
// server about the user. It does not reconnect, logs nothing, and counts in no metric. The caller closes it.
func Dial(cfg Config, name string) (*nats.Conn, error) {
	servers, current := cfg.currentUser(slog.New(slog.DiscardHandler))
	identity, err := cfg.identity()
	if err != nil {
		return nil, err
	}
	opts := []nats.Option{
		nats.Name(name),
		nats.NoReconnect(),
		nats.Timeout(dialTimeout),
		// The user may subscribe to the inboxes of its service only.
		nats.CustomInboxPrefix(topology.InboxPrefix(cfg.Name)),
		// The client would write them to standard error.
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}
	opts = append(append(opts, current...), identity...)
	if cfg.InProcess != nil {
		opts = append(opts, nats.InProcessServer(cfg.InProcess))
	}
	nc, err := nats.Connect(servers, opts...)
	if err != nil {
		return nil, fmt.Errorf("cannot reach NATS at %s: %w", redact.URL(cfg.URL), err)
	}
	return nc, nil
}
