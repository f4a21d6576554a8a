// Command ingestion captures changes of the catalog from Postgres, and serves the API of the built-in tables.
package main

import (
	"context"

	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/doctor/selfcheck"
	"github.com/driftless-sync/driftless/services/internal/service"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func main() {
	var s config.IngestionService
	service.Main(topology.Ingestion,
		"Captures changes of the catalog from Postgres, and serves the API of the built-in tables.", &s,
		func(ctx context.Context, r service.Runtime) error {
			return ingestion.Run(ctx, ingestion.Config{
				Account:            s.Account,
				NATS:               r.NATS(topology.Ingestion, s.Mesh, s.Signing),
				DatabaseURL:        s.DatabaseURL.Reveal(),
				DatabaseURLFile:    s.DatabaseURLFile,
				Mapping:            r.Mapping,
				Slot:               s.Slot,
				Publication:        s.Publication,
				PricesArchiveAfter: s.PricesArchiveAfter,
				AcceptDatabase:     s.AcceptDatabase,
				StripeIDs:          s.StripeIDs,
				HTTP:               r.HTTP(s.IngestionAddr),
				Auth:               s.Auth(),
				SelfCheck:          selfcheck.Interval,
				Logger:             r.Logger,
				CheckMigrations:    s.IsCheckOnly(),
			})
		})
}
