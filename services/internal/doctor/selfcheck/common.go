package selfcheck

import (
	"context"
	"errors"
	"time"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/doctor/probe/natsprobe"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// often are the probes that cost little: those of the service, and those that every process makes.
func (c *Checker) often() []doctor.Probe {
	clocks := append([]doctor.Clock{{
		ID: doctor.ClocksNATS, Name: "the NATS server",
		Read: func(ctx context.Context) (time.Duration, error) {
			return natsprobe.ReadClock(ctx, c.cfg.Mesh, time.Now)
		},
	}}, c.cfg.Clocks...)
	return append([]doctor.Probe{settings(), c.nats(), doctor.ProbeClocks(clocks...)}, c.cfg.Probes...)
}

// settings is the probe of the settings. A process with a setting, policy or mapping that is not valid does not start.
func settings() doctor.Probe {
	return doctor.Probe{
		Name: "the settings", Covers: []string{doctor.ConfigSettings},
		Run: func(_ context.Context, r *doctor.Recorder) error {
			r.Sawf(doctor.ConfigSettings, "the process has started with them")
			return nil
		},
	}
}

// nats is the probe of the server that the process is connected to.
func (c *Checker) nats() doctor.Probe {
	return doctor.Probe{
		Name: "NATS",
		Covers: []string{
			doctor.NATSReachable, doctor.NATSJetStream, doctor.NATSVersion, doctor.NATSReplicas,
		},
		Run: func(ctx context.Context, r *doctor.Recorder) error {
			conn := c.cfg.Mesh.Conn()
			if !conn.IsConnected() {
				r.Foundf(doctor.NATSReachable, "", "the process has lost NATS: %s", conn.Status())
				return errors.New("NATS cannot be reached")
			}
			if _, err := c.cfg.Mesh.JetStream().AccountInfo(ctx); err != nil {
				r.Foundf(doctor.NATSJetStream, "", "JetStream does not answer: %v", err)
			}
			doctor.JudgeNATSVersion(r, conn.ConnectedServerVersion())
			doctor.JudgeReplicas(r, conn.ConnectedClusterName() != "", c.cfg.NATS.Replicas)
			return nil
		},
	}
}

// rights is the probe of the rights of the process's user on NATS.
func (c *Checker) rights() doctor.Probe {
	cfg := c.cfg.NATS
	cfg.Name, cfg.Account = c.cfg.Service, c.cfg.Mesh.Account()
	return natsprobe.OwnPermissions(natsprobe.Config{
		Client:   cfg,
		Topology: topology.Options{Accounts: []string{c.cfg.Mesh.Account()}, NoEvents: c.cfg.NoEvents},
	})
}

// Token is the probe of an API that looks whether the API asks for a token. isOpen reports whether it asks for none.
func Token(api, address string, isOpen bool) doctor.Probe {
	return doctor.Probe{
		Name: "the token", Covers: []string{doctor.ConfigToken},
		Run: func(_ context.Context, r *doctor.Recorder) error {
			if isOpen {
				doctor.JudgeToken(r, api, address)
			}
			return nil
		},
	}
}
