// Package httpserver is the HTTP server of every service. It serves the service's own handlers, /healthz, /readyz and
// /metrics. It speaks HTTP/1 and unencrypted HTTP/2 (for gRPC), and stops gracefully.
package httpserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Config configures a server.
type Config struct {
	// Addr is the address to listen on. It is ignored if Listener is set.
	Addr     string
	Listener net.Listener
	// AllowedHosts are accepted names in a Host header, besides those of this machine. A server on a loopback address
	// refuses all others. Any other server checks names only if some are set.
	AllowedHosts []string
	// SignedPaths accept requests with any Host and Origin, because a signature proves their origin.
	SignedPaths []string
	// Handler serves everything but the health and metrics paths. Nil answers 404.
	Handler http.Handler
	// Metrics serves /metrics. Nil answers 404.
	Metrics http.Handler
	// Ready returns why the service cannot do its work now. Nil means that it always can.
	Ready func(context.Context) error
	// Notice returns what a ready service cannot do now although it serves, "" for nothing. Nil means that there never
	// is anything.
	Notice func(context.Context) string
	// Role returns the role of a ready service among its replicas. Nil, or "", means that all have the same.
	Role   func() string
	Logger *slog.Logger
}

// drainTimeout is how long running requests may take after the server begins to stop.
const drainTimeout = 5 * time.Second

// Bounds of what a connection may cost before a handler gets a request.
const (
	// maxHeaderBytes is the maximum size of a header in bytes. A token, a signature and a trace need a few hundred.
	maxHeaderBytes = 64 << 10
	// maxStreams is the maximum number of concurrent requests on a connection of HTTP/2.
	maxStreams = 100
)

// Run serves until ctx ends. It returns nil after a graceful stop.
func Run(ctx context.Context, cfg Config) error {
	listener := cfg.Listener
	if listener == nil {
		var err error
		if listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Addr); err != nil {
			return fmt.Errorf("cannot listen on %s: %w; another process may have the port: choose another address",
				cfg.Addr, err)
		}
	}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:           withBodyDeadline(bodyTimeout, newBrowserGuard(cfg, listener.Addr()).handler(mux(cfg))),
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		// Usual load balancers keep an idle connection for a minute. With a longer time here, they are the ones to
		// close it.
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: maxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: 256 << 10,
			MaxReceiveBufferPerStream:     64 << 10,
		},
		ConnState: newConnections(maxConnections).track,
	}
	if cfg.Logger != nil {
		server.ErrorLog = slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn)
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		err := server.Shutdown(ctx)
		if err != nil {
			err = server.Close()
		}
		stopped <- err
	})
	err := server.Serve(listener)
	if !stop() {
		// Serve returns as soon as the shutdown begins. Running requests end with the shutdown.
		return <-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve on %s: %w", listener.Addr(), err)
}

func mux(cfg Config) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /healthz",
		func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, health{Status: "ok"}) })
	m.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if cfg.Ready != nil {
			if err := cfg.Ready(r.Context()); err != nil {
				answer(w, http.StatusServiceUnavailable, health{Status: "not ready", Reason: err.Error()})
				return
			}
		}
		ready := health{Status: "ready"}
		if cfg.Role != nil {
			ready.Role = cfg.Role()
		}
		if cfg.Notice != nil {
			ready.Notice = cfg.Notice(r.Context())
		}
		answer(w, http.StatusOK, ready)
	})
	if cfg.Metrics != nil {
		m.Handle("GET /metrics", cfg.Metrics)
	}
	if cfg.Handler != nil {
		m.Handle("/", cfg.Handler)
	}
	return m
}

type health struct {
	Status string `json:"status"`
	Role   string `json:"role,omitempty"`
	Reason string `json:"reason,omitempty"`
	Notice string `json:"notice,omitempty"`
}

func answer(w http.ResponseWriter, status int, h health) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(h)
}
