package cli

import (
	"context"
	"errors"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

type pauseCmd struct {
	address
	Services []string `arg:"" optional:"" enum:"push,pull,ingestion" help:"Services to pause: push, pull, ingestion."`
	All      bool     `help:"Pause push, pull and ingestion."`
	because
	For time.Duration `placeholder:"DURATION" help:"How long. Defaults to until driftless resume."`
}

func (cmd *pauseCmd) Run(ctx context.Context, c *cli) error {
	switch {
	case len(cmd.Services) == 0 && !cmd.All:
		return errors.New("say which service to pause: push, pull or ingestion, or --all for all three")
	case len(cmd.Services) > 0 && cmd.All:
		return errors.New("services and --all: give only one of them")
	}
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	req := &controlv1.PauseRequest{
		Services: cmd.Services,
		Actor:    cmd.actor(),
		Reason:   cmd.Reason,
	}
	if cmd.For != 0 {
		req.Duration = durationpb.New(cmd.For)
	}
	resp, err := client.Pause(ctx, connect.NewRequest(req))
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return printJSON(resp.Msg)
	}
	for _, p := range resp.Msg.GetPaused() {
		sayf(stdout, "%s is paused until %s\n", p.GetService(), pauseEnd(p))
	}
	return nil
}

// pauseEnd describes when a pause ends.
func pauseEnd(p *controlv1.PausedService) string {
	if p.GetUntil() == nil {
		return "`driftless resume " + p.GetService() + "`"
	}
	return formatWhen(p.GetUntil().AsTime(), time.DateTime)
}

// pausedBy says who paused a service and why: ", by ann@laptop: Black Friday". It is empty if nobody said.
func pausedBy(p *controlv1.PausedService) string {
	by := ""
	if p.GetActor() != "" {
		by = ", by " + p.GetActor()
	}
	if p.GetReason() != "" {
		by += ": " + p.GetReason()
	}
	return by
}

type resumeCmd struct {
	address
	Services []string `arg:"" optional:"" enum:"push,pull,ingestion" help:"Services to resume: push, pull, ingestion. Defaults to all three."`
	because
}

func (cmd *resumeCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	resp, err := client.Resume(ctx, connect.NewRequest(&controlv1.ResumeRequest{
		Services: cmd.Services,
		Actor:    cmd.actor(),
		Reason:   cmd.Reason,
	}))
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return printJSON(resp.Msg)
	}
	if len(resp.Msg.GetServices()) == 0 {
		say(stdout, "nothing was paused")
		return nil
	}
	say(stdout, "resumed:", strings.Join(resp.Msg.GetServices(), ", "))
	return nil
}
