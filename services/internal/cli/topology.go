package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/service"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

type topologyCmd struct {
	Plan        topologyPlanCmd        `cmd:"" help:"Show what differs. Exits with 2 if anything does."`
	Apply       topologyApplyCmd       `cmd:"" help:"Create what is missing and update what differs."`
	Permissions topologyPermissionsCmd `cmd:"" help:"Print the permissions of each service's user on NATS, as configuration of nats-server or as JSON."`
}

type topologyAccounts struct {
	config.Events
	Accounts []string `name:"account" env:"DRIFTLESS_ACCOUNT" default:"default" help:"Names of the Stripe accounts that get consumers, separated by commas."`
}

type topologySettings struct {
	config.NATS
	topologyAccounts
	config.Placement
	Wait time.Duration `default:"1m" help:"How long to wait for the leader of a cluster that has just started."`
}

func (s topologySettings) options() topology.Options {
	return topology.Options{
		Replicas:  s.NATSReplicas,
		Accounts:  s.Accounts,
		NoEvents:  !s.PublishEvents,
		Placement: topology.Placement{Cluster: s.PlacementCluster, Tags: s.PlacementTags},
	}
}

func (s topologySettings) connect(ctx context.Context, c *cli) (*mesh.Mesh, error) {
	client := service.NATS(topology.AdminUser, s.NATS)
	client.Patience = s.Wait
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
	diffs, err := topology.Plan(ctx, m.JetStream(), cmd.options())
	if err != nil {
		return err
	}
	if c.Output == "json" {
		err = printJSON(diffs)
	} else {
		for _, d := range diffs {
			say(stdout, d)
		}
		say(stdout, countOf(len(diffs), "difference", "differences"))
	}
	if err == nil && len(diffs) > 0 {
		return errDiffers
	}
	return err
}

type topologyApplyCmd struct {
	topologySettings
	AllowLowering bool `name:"allow-lowering" help:"Also make changes that lower replicas or limits or remove something, as shown by plan. Without it they are skipped."`
	AllowDataLoss bool `name:"allow-data-loss" help:"Also make changes that lose messages, as shown by plan. Includes --allow-lowering."`
}

func (cmd *topologyApplyCmd) Run(ctx context.Context, c *cli) error {
	m, err := cmd.connect(ctx, c)
	if err != nil {
		return err
	}
	defer m.Close()
	options := cmd.options()
	options.AllowLowering, options.AllowDataLoss = cmd.AllowLowering, cmd.AllowDataLoss
	var answer topologyAnswer
	options.OnKept = func(d topology.Difference) {
		answer.LeftAlone = append(answer.LeftAlone, topologyLeft{d.Kind, d.Name, d.Lowers})
		sayf(os.Stderr, "%s %s is left as it is: %s; add --allow-lowering to lower it\n", d.Kind, d.Name, d.Lowers)
	}
	err = m.ApplyTopology(ctx, options, cmd.Wait)
	if errors.Is(err, topology.ErrDataLoss) {
		return fmt.Errorf("%w; to do it anyway, add --allow-data-loss", err)
	}
	if err == nil && c.Output == "json" {
		return printJSON(answer)
	}
	return err
}

type topologyPermissionsCmd struct {
	topologyAccounts
	Isolated bool     `help:"Print a NATS account for each user instead, with imports and exports; see docs/security.md."`
	Readers  []string `name:"reader" placeholder:"NAME" help:"Names of programs that read events, separated by commas. Each gets a user that can do nothing else; see docs/events.md."`
}

func (cmd *topologyPermissionsCmd) Run(c *cli) error {
	for _, reader := range cmd.Readers {
		if err := topology.CheckReader(reader); err != nil {
			return err
		}
	}
	if len(cmd.Readers) > 0 && !cmd.PublishEvents {
		return fmt.Errorf("%s would have nothing to read, because events are off: set publish_events (%s)",
			strings.Join(cmd.Readers, ", "), "DRIFTLESS_PUBLISH_EVENTS")
	}
	options := topology.Options{Accounts: cmd.Accounts, NoEvents: !cmd.PublishEvents}
	text := topology.PermissionsFile(options, cmd.Readers...)
	switch {
	case c.Output == "json":
		users := topology.UserPermissions(options)
		for _, reader := range cmd.Readers {
			users = append(users, topology.ReaderPermissions(reader, cmd.Accounts))
		}
		return printJSON(users)
	case cmd.Isolated:
		text = topology.AccountsFile(options, cmd.Readers...)
	}
	_, err := fmt.Fprint(stdout, text)
	return err
}
