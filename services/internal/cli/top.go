package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

type topCmd struct {
	address
	Once     bool          `help:"Show it once. This is the default where the output is no terminal."`
	Interval time.Duration `default:"2s" help:"How often it is shown again."`
}

// Help is shown by --help.
func (*topCmd) Help() string {
	return `Shows the work that waits and how fast it is done, the products that push works on, those that have taken
longest first, and the products that keep failing. A process says what it works on every two seconds, so
short work may not be seen.

With -o json it prints the answers of driftless status and driftless retries once, as status and retries.

The exit code is that of driftless status: 2 if anything differs, is unknown or needs attention.`
}

func (cmd *topCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return reportUnknown(c, err)
	}
	live := watching{Watch: !cmd.Once && c.Output != "json" && isTerminal(stdout), Interval: cmd.Interval}
	return live.repeat(ctx, c, func(w io.Writer) error {
		status, err := client.GetStatus(ctx, connect.NewRequest(live.statusRequest()))
		if err != nil {
			return reportUnknownTo(w, c, err)
		}
		retries, err := client.ListRetries(ctx, connect.NewRequest(&controlv1.ListRetriesRequest{Limit: maxTopRetries}))
		if err != nil {
			return reportUnknownTo(w, c, err)
		}
		if c.Output != "json" {
			printTop(w, status.Msg, retries.Msg)
		} else if err := printJSON(topAnswer{Status: message{status.Msg}, Retries: message{retries.Msg}}); err != nil {
			return err
		}
		if degraded(status.Msg) {
			return errDiffers
		}
		return nil
	})
}

const (
	// maxTopRetries is how many failing products are read, and maxTopRows how many rows of each kind are shown.
	maxTopRetries = 200
	maxTopRows    = 10
)

func printTop(w io.Writer, s *controlv1.GetStatusResponse, retries *controlv1.ListRetriesResponse) {
	sayf(w, "%s  %s\n\n", formatWhen(statusTime(s), time.TimeOnly),
		verdictColour(s).paint(verdictLine(s)))
	printFlow(w, s)
	printProcesses(w, s)
	printWork(w, s)
	failing := slices.DeleteFunc(slices.Clone(retries.GetRetries()),
		func(r *meshv1.Retry) bool { return r.GetAttempts() == 0 })
	slices.SortFunc(failing, func(a, b *meshv1.Retry) int {
		return cmp.Or(cmp.Compare(b.GetAttempts(), a.GetAttempts()), cmp.Compare(a.GetProductId(), b.GetProductId()))
	})
	if len(failing) == 0 {
		return
	}
	rows := [][]string{{"FAILING", "FAILED", "NEXT", "WHY"}}
	for _, r := range failing[:min(len(failing), maxTopRows)] {
		rows = append(rows, []string{
			r.GetProductId(), strconv.FormatUint(r.GetAttempts(), 10),
			"in " + formatSpan(r.GetDueAt().AsTime().Sub(retries.GetAt().AsTime())), r.GetError(),
		})
	}
	say(w)
	printTable(w, rows...)
}

// printProcesses writes a row for each process: what it does, and its rates.
func printProcesses(w io.Writer, s *controlv1.GetStatusResponse) {
	rows := [][]string{{"PROCESS", "HOST", "VERSION", "UP", "PRODUCTS", "CALLS", "DOING"}}
	for _, service := range s.GetServices() {
		if service.GetRunning() == 0 {
			rows = append(rows, []string{service.GetService(), "-", "-", "-", "-", "-", "!! " + service.GetProblem()})
		}
		for _, p := range service.GetProcesses() {
			if p.GetState() == "running" {
				rows = append(rows, processRow(p.GetProcess()))
			}
		}
	}
	printTable(w, rows...)
	say(w)
}

func processRow(p *meshv1.Process) []string {
	doing := p.GetDoing()
	if p.GetNotReady() != "" {
		doing = "!! not ready: " + p.GetNotReady()
	}
	return []string{
		p.GetService(), cmp.Or(p.GetHost(), "-"), p.GetVersion(),
		formatSpan(p.GetAt().AsTime().Sub(p.GetStartedAt().AsTime())), processRate(p, "products"),
		processRate(p, "calls"), doing,
	}
}

// processRate formats a rate of a process, a dash if it has none of that name.
func processRate(p *meshv1.Process, name string) string {
	rate, has := p.GetRates()[name]
	if !has {
		return "-"
	}
	return fmt.Sprintf("%.1f/s", rate)
}

// printWork writes the products that are worked on.
func printWork(w io.Writer, s *controlv1.GetStatusResponse) {
	type row struct {
		*meshv1.ProductWork
		process *meshv1.Process
	}
	var all []row
	working := uint64(0)
	for _, service := range s.GetServices() {
		for _, p := range service.GetProcesses() {
			if p.GetState() != "running" {
				continue
			}
			working += p.GetProcess().GetWorking()
			for _, work := range p.GetProcess().GetWork() {
				all = append(all, row{work, p.GetProcess()})
			}
		}
	}
	if working == 0 {
		say(w, "No product is worked on now.")
		return
	}
	slices.SortFunc(all, func(a, b row) int {
		return cmp.Or(cmp.Compare(b.GetTook().AsDuration(), a.GetTook().AsDuration()),
			cmp.Compare(a.GetProductId(), b.GetProductId()))
	})
	rows := [][]string{{"WORKS ON", "LANE", "FOR", "HOST"}}
	for _, x := range all[:min(len(all), maxTopRows)] {
		rows = append(rows, []string{
			x.GetProductId(), x.GetLane(), fmt.Sprintf("%.1fs", x.GetTook().AsDuration().Seconds()),
			cmp.Or(x.process.GetHost(), "-"),
		})
	}
	printTable(w, rows...)
	if more := working - uint64(len(rows)-1); more > 0 {
		sayf(w, "and %s\n", countOf(more, "other", "others"))
	}
}
