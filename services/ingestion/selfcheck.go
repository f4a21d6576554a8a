package ingestion

import (
	"log/slog"
	"time"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/doctor/probe/databaseprobe"
	"github.com/driftless-sync/driftless/services/internal/doctor/selfcheck"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// slotPatience is how long the slot may be without a reader: a standby takes over, or a turn begins.
const slotPatience = 3 * time.Second

// selfChecker returns what makes the checks of this process.
func (in *ingester) selfChecker() *selfcheck.Checker {
	quiet := in.Config
	quiet.Logger = slog.New(slog.DiscardHandler)
	database := databaseprobe.Database{Database: quiet.database(), Unset: "DATABASE_URL"}
	probes := databaseprobe.Catalog(database, in.Slot, slotPatience)
	probes = append(probes, selfcheck.Token("the ingestion API", in.HTTP.Addr, in.Auth.IsOpen()))
	examination := Probe(quiet)
	// It is a part of its own, which connects by itself.
	examination.Needs = nil
	return selfcheck.New(selfcheck.Config{
		Service:     topology.Ingestion,
		Mesh:        in.mesh,
		NATS:        in.NATS,
		Ready:       in.ready,
		Interval:    in.SelfCheck,
		Probes:      probes,
		Clocks:      []doctor.Clock{database.Clock()},
		Heavy:       []doctor.Probe{examination},
		LeavesHeavy: in.leavesExamination,
	})
}

// leavesExamination reports whether another replica examines the catalog database. A replica that is neither the active
// one nor a standby cannot do its work, and should say why.
func (in *ingester) leavesExamination() bool { return in.turns.role() == roleStandby }
