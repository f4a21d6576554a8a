// Command reconciliation finds and repairs drift between the catalog and Stripe, and serves the control API.
package main

import (
	"context"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/doctor/selfcheck"
	"github.com/driftless-sync/driftless/services/internal/service"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation"
)

func main() {
	var s config.ReconciliationService
	service.Main(topology.Reconciliation,
		"Finds and repairs drift between the catalog and Stripe, and serves the control API.", &s,
		func(ctx context.Context, r service.Runtime) error {
			policy, err := service.Policy(s.Policy, s.Config, r.Mapping)
			if err != nil {
				return err
			}
			ledger := s.LedgerDatabase(config.DatabaseSetting{URL: s.DatabaseURL, File: s.DatabaseURLFile})
			return reconciliation.Run(ctx, reconciliation.Config{
				Account:          s.Account,
				NATS:             r.NATS(topology.Reconciliation, s.Mesh, s.Signing),
				LedgerURL:        ledger.URL.Reveal(),
				LedgerURLFile:    ledger.File,
				HTTP:             r.HTTP(s.ReconciliationAddr),
				Auth:             s.Auth(),
				GracePeriod:      s.GracePeriod,
				ScanInterval:     s.ScanInterval,
				Policy:           policy,
				Extras:           reconciliation.Extras(s.Extras),
				Approvers:        s.GuardApprovers,
				CanWriteBack:     r.Mapping.CheckWriteBack,
				Mapped:           !r.Mapping.IsBuiltIn(),
				CanInsert:        r.Mapping.CheckInsert,
				Guard:            service.Guard(s.Guard),
				HistoryRetention: s.HistoryRetention,
				NoEvents:         !s.PublishEvents,
				Notify:           s.Notify,
				SelfCheck:        selfcheck.Interval,
				Logger:           r.Logger,
				CheckMigrations:  s.IsCheckOnly(),
			})
		})
}
