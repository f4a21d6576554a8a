package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/driftless-sync/driftless/services/mesh"
)

type topologyCmd struct {
	Plan  topologyPlanCmd  `cmd:"" help:"Show what differs; exit 2 if anything does."`
	Apply topologyApplyCmd `cmd:"" help:"Create what is missing and update what differs."`
}

type topologySettings struct {
	NATSURL   string   `name:"nats-url" env:"NATS_URL" placeholder:"URL" help:"NATS servers; those of the mesh on the data directory if not given."`
	NATSCreds string   `name:"nats-creds" env:"NATS_CREDS" placeholder:"FILE" help:"Credentials of a user that may create streams."`
	Replicas  int      `name:"replicas" env:"DRIFTLESS_REPLICAS" default:"1" help:"Replicas of every stream; 3 in a cluster."`
	Accounts  []string `name:"account" env:"DRIFTLESS_ACCOUNT" default:"default" help:"Names of the Stripe accounts that get consumers, separated by commas."`
}

func (s topologySettings) options() mesh.TopologyOptions {
	return mesh.TopologyOptions{Replicas: s.Replicas, Accounts: s.Accounts}
}

func (s topologySettings) connect(ctx context.Context, c *cli) (*mesh.Mesh, error) {
	url := s.NATSURL
	if url == "" {
		e, err := findMesh(c.DataDir)
		if err != nil {
			return nil, err
		}
		url = e.NATS
	}
	return mesh.Connect(ctx, mesh.Config{URL: url, Creds: s.NATSCreds, Name: "topology"})
}

type topologyPlanCmd struct{ topologySettings }

func (cmd *topologyPlanCmd) Run(ctx context.Context, c *cli) error {
	m, err := cmd.connect(ctx, c)
	if err != nil {
		return err
	}
	defer m.Close()
	diffs, err := mesh.PlanTopology(ctx, m.JetStream(), cmd.options())
	if err != nil {
		return err
	}
	if c.Output == "json" {
		if diffs == nil {
			diffs = []mesh.Difference{}
		}
		err = json.NewEncoder(stdout).Encode(diffs)
	} else {
		for _, d := range diffs {
			fmt.Println(d)
		}
		fmt.Printf("%d differences\n", len(diffs))
	}
	if err == nil && len(diffs) > 0 {
		return errDiffers
	}
	return err
}

type topologyApplyCmd struct{ topologySettings }

func (cmd *topologyApplyCmd) Run(ctx context.Context, c *cli) error {
	m, err := cmd.connect(ctx, c)
	if err != nil {
		return err
	}
	defer m.Close()
	return mesh.ApplyTopology(ctx, m.JetStream(), cmd.options())
}
