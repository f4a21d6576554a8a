// Package httpserver is the one HTTP server of every service: it serves the service's own handlers beside /healthz,
// /readyz and /metrics, speaks HTTP/1 and unencrypted HTTP/2 (for gRPC), and stops gracefully.
package httpserver

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
)

// Config of a server.
type Config struct {
	// Addr to listen on; ignored if Listener is set.
	Addr     string
	Listener net.Listener
	// AllowedHosts are the names in a Host header that are taken beside those of this machine. On a loopback address
	// all others are refused; elsewhere names are checked only if there are some here.
	AllowedHosts []string
	// SignedPaths take requests with any Host and Origin: what is sent there proves itself by a signature.
	SignedPaths []string
	// Handler serves everything but the health and metrics paths; nil answers 404.
	Handler http.Handler
	// Metrics serves /metrics; nil answers 404.
	Metrics http.Handler
	// Ready says why the service cannot do its work now; nil means that it always can.
	Ready func(context.Context) error
	// Role says which part a ready service plays among its replicas; nil, or "", if all play the same.
	Role   func() string
	Logger *slog.Logger
}

// drain is how long requests at work may take once the server is told to stop.
const drain = 5 * time.Second

// Bounds of what a connection may cost before a handler sees a request.
const (
	// maxHeader in bytes: a token, a signature and a trace need a few hundred.
	maxHeader = 64 << 10
	// maxStreams are the requests at once on a connection of HTTP/2.
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
		Handler:           withBodyDeadline(bodyTime, newBrowsers(cfg, listener.Addr()).handler(mux(cfg))),
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		// Longer than the minute for which the usual load balancers keep a connection, so that they are the ones to
		// close it.
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: 256 << 10,
			MaxReceiveBufferPerStream:     64 << 10,
		},
		ConnState: newConnections(maxConnections).state,
	}
	if cfg.Logger != nil {
		server.ErrorLog = slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn)
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		err := server.Shutdown(ctx)
		if err != nil {
			err = server.Close()
		}
		stopped <- err
	})
	err := server.Serve(listener)
	if !stop() {
		// Serve returns as soon as the stop begins; the requests at work end with it.
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
		role := ""
		if cfg.Role != nil {
			role = cfg.Role()
		}
		answer(w, http.StatusOK, health{Status: "ready", Role: role})
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
}

func answer(w http.ResponseWriter, status int, h health) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(h)
}

// BearerToken lets only requests with "Authorization: Bearer <token>" through; with an empty token, all. The name of
// the scheme may be in any case (RFC 9110, section 11.1). The refusal has the form of Connect's errors.
func BearerToken(token string, next http.Handler) http.Handler {
	if token == "" {
		return next
	}
	want := []byte(token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if strings.EqualFold(scheme, "Bearer") &&
			subtle.ConstantTimeCompare([]byte(strings.TrimLeft(shown, " ")), want) == 1 {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(map[string]string{
			"code": "unauthenticated", "message": "this needs the header Authorization: Bearer <DRIFTLESS_TOKEN>",
		})
	})
}
