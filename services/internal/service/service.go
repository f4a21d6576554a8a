// Package service is the common part of the services' main functions: settings, logs, telemetry, signals, exit code.
package service

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"reflect"
	"syscall"
	"time"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// Runtime is what a service gets beside its settings.
type Runtime struct {
	Logger  *slog.Logger
	Metrics http.Handler
	// Mapping is the mapping of the configuration file, nil if there is none.
	Mapping *config.Mapping
	// Settings are those of the process, with their origins and without secrets.
	Settings     []*meshv1.Setting
	allowedHosts []string
	// listener is inherited from the process that supervises this one; nil if there is none.
	listener net.Listener
}

// HTTP returns the configuration of the service's server.
func (r Runtime) HTTP(addr string) httpserver.Config {
	return httpserver.Config{
		Addr:         addr,
		Listener:     r.listener,
		AllowedHosts: r.allowedHosts,
		Metrics:      r.Metrics,
		Logger:       r.Logger,
	}
}

// NATS returns the configuration of the service's connection to the mesh.
func (r Runtime) NATS(service string, m config.Mesh, s config.Signing) mesh.Config {
	cfg := NATS(service, m.NATS)
	cfg.Signing = mesh.Signing{
		Key:         s.SigningKey.Reveal(),
		KeyFile:     s.SigningKeyFile,
		Trusted:     s.TrustedKeys,
		TrustedFile: s.TrustedKeysFile,
	}
	cfg.Version, cfg.Settings, cfg.Logger = Version(), r.Settings, r.Logger
	return cfg
}

// NATS returns the configuration of a client's connection to the mesh.
func NATS(name string, n config.NATS) mesh.Config {
	return mesh.Config{
		URL:      cmp.Or(n.NATSURL, "nats://127.0.0.1:4222"),
		Name:     name,
		Replicas: n.NATSReplicas,
		URLFile:  n.NATSURLFile,
		Creds:    n.NATSCreds,
		NKey:     n.NATSNKey,
		CA:       n.NATSCA,
		Cert:     n.NATSCert,
		Key:      n.NATSKey,
	}
}

// Main runs a service as a process and ends the process. settings is a pointer to a struct of config's groups, among
// them config.Log and config.Hosts, and config.Mesh unless the service is outside the mesh. The exit code is 0 after
// SIGINT or SIGTERM. It is 1, with one sentence on standard error, if the service cannot do its work.
func Main(name, description string, settings any, run func(context.Context, Runtime) error) {
	if err := runService(name, description, settings, run); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n", name, visible.Lines(err.Error()))
		os.Exit(1)
	}
}

func runService(name, description string, settings any, run func(context.Context, Runtime) error) error {
	mapping, effective, err := config.ParseEffective(settings, name, description, ReadBuild().String(), os.Args[1:])
	if err != nil {
		return err
	}
	groups := reflect.ValueOf(settings).Elem()
	log := groups.FieldByName("Log").Interface().(config.Log) //nolint:forcetypeassert // a mistake of the caller's
	mesh, _ := fieldOf(groups, "Mesh").(config.Mesh)
	hosts := groups.FieldByName("Hosts").Interface().(config.Hosts) //nolint:forcetypeassert // as above
	logger, err := telemetry.NewLogger(os.Stderr, log.LogLevel, log.LogFormat)
	if err != nil {
		return err
	}
	slog.SetDefault(logger)
	listener, err := inheritedListener()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	t, err := telemetry.Setup(ctx, telemetry.Options{
		Service:   "driftless-" + name,
		Version:   Version(),
		Component: name,
		Account:   mesh.Account,
		Logger:    logger,
	})
	if err != nil {
		return err
	}
	err = run(ctx, Runtime{
		Logger:       logger.With("service", name),
		Metrics:      t.Handler(),
		Mapping:      mapping,
		Settings:     announced(effective),
		allowedHosts: hosts.AllowedHosts,
		listener:     listener,
	})
	if err != nil && ctx.Err() != nil {
		// A stop during a start or a migration is not a failure.
		logger.Warn("stopped before it was done", "error", err)
		err = nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := t.Shutdown(ctx); err != nil {
		logger.Warn("could not export the last spans", "error", err)
	}
	return err
}

// fieldOf returns a field of a struct, or nil if there is none.
func fieldOf(v reflect.Value, name string) any {
	if f := v.FieldByName(name); f.IsValid() {
		return f.Interface()
	}
	return nil
}
