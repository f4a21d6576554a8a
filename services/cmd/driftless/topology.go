package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/driftless-sync/driftless/services/cmd/internal/service"
	"github.com/driftless-sync/driftless/services/config"
	"github.com/driftless-sync/driftless/services/mesh"
)

type topologyCmd struct {
	Plan        topologyPlanCmd        `cmd:"" help:"Show what differs; exit 2 if anything does."`
	Apply       topologyApplyCmd       `cmd:"" help:"Create what is missing and update what differs."`
	Permissions topologyPermissionsCmd `cmd:"" help:"Print what each service's user needs on NATS, as configuration of nats-server or as JSON."`
}

type topologyAccounts struct {
	Accounts []string `name:"account" env:"DRIFTLESS_ACCOUNT" default:"default" help:"Names of the Stripe accounts that get consumers, separated by commas."`
}

type topologySettings struct {
	config.NATS
	topologyAccounts
	Replicas         int      `name:"replicas" env:"NATS_REPLICAS" default:"1" help:"Replicas of every stream: 1, 3 or 5; 3 in a cluster."`
	PlacementCluster string   `name:"placement-cluster" env:"NATS_PLACEMENT_CLUSTER" placeholder:"NAME" help:"Cluster of a super-cluster in which the streams live."`
	PlacementTags    []string `name:"placement-tags" env:"NATS_PLACEMENT_TAGS" placeholder:"TAG" help:"Tags of the servers on which the streams live, separated by commas."`
}

func (s topologySettings) options() mesh.TopologyOptions {
	return mesh.TopologyOptions{
		Replicas: s.Replicas, Accounts: s.Accounts, Placement: mesh.Placement{Cluster: s.PlacementCluster, Tags: s.PlacementTags},
	}
}

func (s topologySettings) connect(ctx context.Context, c *cli) (*mesh.Mesh, error) {
	client := service.NATS(mesh.TopologyUser, s.NATS)
	if s.NATSURL == "" {
		e, err := findMesh(c.DataDir)
		if err != nil {
			return nil, err
		}
		client.URL = e.NATS
	}
	return mesh.Connect(ctx, client)
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

type topologyApplyCmd struct {
	topologySettings
	AllowDataLoss bool `name:"allow-data-loss" help:"Carry out what plan says loses messages."`
}

func (cmd *topologyApplyCmd) Run(ctx context.Context, c *cli) error {
	m, err := cmd.connect(ctx, c)
	if err != nil {
		return err
	}
	defer m.Close()
	options := cmd.options()
	options.AllowDataLoss = cmd.AllowDataLoss
	err = mesh.ApplyTopology(ctx, m.JetStream(), options)
	if errors.Is(err, mesh.ErrLoses) {
		return fmt.Errorf("%w; if that is meant, add --allow-data-loss", err)
	}
	return err
}

type topologyPermissionsCmd struct{ topologyAccounts }

func (cmd *topologyPermissionsCmd) Run(c *cli) error {
	if c.Output == "json" {
		return json.NewEncoder(stdout).Encode(mesh.UserPermissions(cmd.Accounts))
	}
	_, err := fmt.Fprint(stdout, mesh.PermissionsFile(cmd.Accounts))
	return err
}
