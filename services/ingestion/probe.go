package ingestion

import (
	"context"

	"github.com/driftless-sync/driftless/services/internal/doctor"
)

// Probe is the probe of doctor that examines the catalog database and the mapping as ingestion does at its start.
func Probe(cfg Config) doctor.Probe {
	cfg.CheckMigrations = true
	var covers []string
	for _, id := range FindingIDs() {
		covers = append(covers, string(id))
	}
	return doctor.Probe{
		Name: "the mapping", Covers: covers, Needs: []string{doctor.DatabaseReachable, doctor.DatabaseEncoding},
		Run: func(ctx context.Context, r *doctor.Recorder) error {
			x, err := Examine(ctx, cfg)
			for _, id := range x.NotLooked {
				r.NotLooked("other faults of the database or the mapping come first", string(id))
			}
			for _, f := range x.Findings {
				if f.IsUnproven() {
					r.NotLooked(f.Message, string(f.ID))
				} else {
					r.Foundf(string(f.ID), f.Fix, "%s", f.Message)
				}
			}
			return err
		},
	}
}
