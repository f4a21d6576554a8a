package reconciliation

import (
	"log/slog"

	"github.com/driftless-sync/driftless/services/internal/doctor/probe/databaseprobe"
	"github.com/driftless-sync/driftless/services/internal/doctor/selfcheck"
	"github.com/driftless-sync/driftless/services/internal/postgres"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// selfChecker returns what makes the checks of this process, except those of the services: the control API makes them
// when it is asked.
func (r *reconciler) selfChecker() *selfcheck.Checker {
	database := databaseprobe.Database{
		Database: postgres.Database{
			URL:     r.LedgerURL,
			File:    r.LedgerURLFile,
			Setting: "LEDGER_DATABASE_URL",
			Logger:  slog.New(slog.DiscardHandler),
		},
		Unset: "LEDGER_DATABASE_URL",
	}
	return selfcheck.New(selfcheck.Config{
		Service:  topology.Reconciliation,
		Mesh:     r.mesh,
		NATS:     r.NATS,
		NoEvents: r.NoEvents,
		Ready:    r.HTTP.Ready,
		Interval: r.SelfCheck,
		Probes: append(databaseprobe.Ledger(database, CheckLedger),
			selfcheck.Token("the control API", r.HTTP.Addr, r.Auth.IsOpen())),
	})
}
