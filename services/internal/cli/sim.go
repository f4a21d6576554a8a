package cli

import (
	"context"
	"log/slog"
	"os"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/stripesim"
)

type simCmd struct {
	config.Hosts

	Addr          string         `default:"127.0.0.1:12111" env:"DRIFTLESS_SIM_ADDR" help:"Address to listen on."`
	File          string         `placeholder:"FILE" help:"File that keeps its state. Defaults to memory only."`
	Webhook       string         `placeholder:"URL" help:"Address to send events to."`
	WebhookSecret config.Secrets `name:"webhook-secret" env:"DRIFTLESS_SIM_WEBHOOK_SECRET" secret:"" default:"whsec_driftless_simulator" help:"Secret to sign events with. Several, separated by commas, give an event several signatures."`
	Unlimited     bool           `help:"Do not enforce Stripe's rate limits."`
}

func (cmd *simCmd) Run(ctx context.Context, c *cli) error {
	logger, err := telemetry.NewLogger(os.Stderr, c.LogLevel, c.LogFormat)
	if err != nil {
		return err
	}
	slog.SetDefault(logger)
	cfg := stripesim.Config{
		Addr:         cmd.Addr,
		AllowedHosts: cmd.AllowedHosts,
		DataFile:     cmd.File,
		Limits:       stripesim.Limits{Off: cmd.Unlimited},
		Logger:       logger,
	}
	if cmd.Webhook != "" {
		cfg.Webhooks = []stripesim.Webhook{{URL: cmd.Webhook, Secrets: cmd.WebhookSecret.Reveal()}}
	}
	sayf(os.Stderr, "Stripe simulator on http://%s; use any key like sk_test_... with STRIPE_API_BASE=http://%s\n",
		cmd.Addr, cmd.Addr)
	return stripesim.Run(ctx, cfg)
}
