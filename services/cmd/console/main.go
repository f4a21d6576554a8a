// Command console serves the pages for people.
package main

import (
	"context"
	"os"

	"github.com/driftless-sync/driftless/services/console"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/service"
)

func main() {
	var s config.ConsoleService
	service.Main("console", "Serves the pages on which people see what Driftless does, and act on it.", &s,
		func(ctx context.Context, r service.Runtime) error {
			return console.Run(ctx, console.Config{
				ControlURL: s.ControlURL,
				IngestURL:  s.IngestURL,
				URL:        s.ConsoleURL,
				SessionKey: s.ConsoleSessionKey.Reveal(),
				LinkKey:    os.Getenv(service.LinkKeyVariable),
				LinkToken:  os.Getenv(service.LinkTokenVariable),
				JaegerURL:  s.ConsoleJaegerURL,
				StripeURL:  s.ConsoleStripeURL,
				HTTP:       r.HTTP(s.ConsoleAddr),
				Logger:     r.Logger,
			})
		})
}
