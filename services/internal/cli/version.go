package cli

import (
	"cmp"
	"context"
	"errors"
	"io"
	"runtime"
	"strconv"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/service"
)

type versionCmd struct {
	address
	Client bool `help:"Do not ask the mesh."`
}

// Help is shown by --help.
func (*versionCmd) Help() string {
	return `Prints the version of this program, then those of the processes of the mesh, as each has announced it.

Exits with 0 if there is no mesh to ask, and with 2 if there is one that does not answer.`
}

// versionAnswer is the answer of driftless version.
type versionAnswer struct {
	Client clientVersion `json:"client"`
	// Mesh is null if it was not asked, if there is none, or if it is unknown.
	Mesh *message `json:"mesh"`
	// Unknown is why the versions of the mesh are not known.
	Unknown string `json:"unknown"`
}

type clientVersion struct {
	Version string `json:"version"`
	// Commit is empty if it is not known.
	Commit   string `json:"commit"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (cmd *versionCmd) Run(ctx context.Context, c *cli) error {
	answer := versionAnswer{Client: clientVersion{
		Version:  service.Version(),
		Commit:   service.ReadBuild().Commit,
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}}
	var failed error
	var mesh *controlv1.ListProcessesResponse
	if !cmd.Client {
		if mesh, failed = cmd.ask(ctx, c); failed == nil {
			answer.Mesh = &message{mesh}
		} else {
			answer.Unknown = failed.Error()
			if why, is := unreachable(failed); is {
				answer.Unknown = why
			}
		}
	}
	if c.Output == "json" {
		if err := printJSON(answer); err != nil {
			return err
		}
	} else {
		printVersions(stdout, answer, mesh)
	}
	if failed != nil && !errors.Is(failed, errNoMesh) {
		return errDiffers
	}
	return nil
}

func (cmd *versionCmd) ask(ctx context.Context, c *cli) (*controlv1.ListProcessesResponse, error) {
	client, err := cmd.control(c)
	if err != nil {
		return nil, err
	}
	resp, err := client.ListProcesses(ctx, connect.NewRequest(&controlv1.ListProcessesRequest{}))
	switch {
	case connect.CodeOf(err) == connect.CodeUnimplemented:
		return nil, errors.New(noServices)
	case err != nil:
		return nil, err
	}
	return resp.Msg, nil
}

func printVersions(w io.Writer, answer versionAnswer, mesh *controlv1.ListProcessesResponse) {
	is := answer.Client
	sayf(w, "driftless %s (commit %s, %s, %s)\n", is.Version, cmp.Or(is.Commit, "unknown"), is.Go, is.Platform)
	switch {
	case answer.Unknown != "":
		sayf(w, "The versions of the mesh are unknown: %s.\n", answer.Unknown)
		return
	case mesh == nil:
		return
	}
	others := 0
	rows := [][]string{{"SERVICE", "VERSION", "HOST", "PID", "STATE"}}
	for _, s := range mesh.GetServices() {
		if len(s.GetProcesses()) == 0 {
			rows = append(rows, []string{s.GetService(), "-", "-", "-", cmp.Or(s.GetProblem(), "unknown")})
		}
		for _, p := range s.GetProcesses() {
			is := p.GetProcess()
			rows = append(rows, []string{
				s.GetService(), is.GetVersion(), is.GetHost(), strconv.Itoa(int(is.GetPid())), p.GetState(),
			})
			if p.GetState() == "running" && is.GetVersion() != answer.Client.Version {
				others++
			}
		}
	}
	say(w)
	printTable(w, rows...)
	if others > 0 {
		sayf(w, "\nNOTE: %s another version than this program.\n", countOf(others, "process has", "processes have"))
	}
}
