package cli

import (
	"context"
	"io"
	"slices"
	"strconv"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

type retriesCmd struct {
	address
	watching
	Product []string `arg:"" optional:"" help:"Only these products."`
}

// Help is shown by --help.
func (*retriesCmd) Help() string {
	return `Push tries a product that failed again after 1 s, 2 s, 4 s and so on, up to 15 minutes. The first attempts
follow within seconds. A product is listed once its next attempt is more than 10 s away.

An attempt that is due and that push has not made, because it is paused, halted or does not run, is only counted.

Exits with 0 if nothing waits, and with 2 if anything does.`
}

func (cmd *retriesCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return reportUnknown(c, err)
	}
	return cmd.repeat(ctx, c, func(w io.Writer) error {
		list, err := fetchRetries(ctx, client)
		if err != nil {
			return reportUnknownTo(w, c, err)
		}
		if len(cmd.Product) > 0 {
			list.Retries = slices.DeleteFunc(list.GetRetries(), func(r *meshv1.Retry) bool {
				return !slices.Contains(cmd.Product, r.GetProductId())
			})
			list.Total = uint64(len(list.GetRetries()))
		}
		if c.Output == "json" {
			err = printJSON(list)
		} else {
			printRetries(w, list)
		}
		if err == nil && len(list.GetRetries())+int(list.GetDue()) > 0 {
			return errDiffers
		}
		return err
	})
}

// fetchRetries reads all pages. A product that was scheduled again meanwhile is in several, and the last one counts.
func fetchRetries(ctx context.Context,
	client controlv1connect.ControlServiceClient,
) (*controlv1.ListRetriesResponse, error) {
	all, latest := &controlv1.ListRetriesResponse{}, map[string]*meshv1.Retry{}
	for request := (&controlv1.ListRetriesRequest{Limit: 1000}); ; {
		resp, err := client.ListRetries(ctx, connect.NewRequest(request))
		if err != nil {
			return nil, err
		}
		for _, r := range resp.Msg.GetRetries() {
			latest[r.GetProductId()] = r
		}
		all.At, all.Due = resp.Msg.GetAt(), resp.Msg.GetDue()
		// The positions grow. An answer that leads back would never end.
		next := resp.Msg.GetNext()
		if next <= request.GetAfter() {
			break
		}
		request.After = next
	}
	for _, r := range latest {
		all.Retries = append(all.Retries, r)
	}
	slices.SortFunc(all.GetRetries(), func(a, b *meshv1.Retry) int {
		return a.GetDueAt().AsTime().Compare(b.GetDueAt().AsTime())
	})
	all.Total = uint64(len(all.GetRetries()))
	return all, nil
}

func printRetries(w io.Writer, list *controlv1.ListRetriesResponse) {
	if n := list.GetDue(); n > 0 {
		sayf(w, "%s for push.\n", countOf(n, "attempt is due and waits", "attempts are due and wait"))
	}
	if len(list.GetRetries()) == 0 {
		if list.GetDue() == 0 {
			say(w, "No product waits for another attempt.")
		}
		return
	}
	now := time.Now()
	if list.GetAt() != nil {
		now = list.GetAt().AsTime()
	}
	rows := [][]string{{"PRODUCT", "FAILED", "NEXT", "LANE", "WHY"}}
	for _, r := range list.GetRetries() {
		failed := strconv.FormatUint(r.GetAttempts(), 10)
		if r.GetAttempts() == 0 {
			// It waits for something else, such as the end of the hold of creations.
			failed = "-"
		}
		rows = append(rows, []string{
			r.GetProductId(), failed, "in " + formatSpan(r.GetDueAt().AsTime().Sub(now)), r.GetLane(), r.GetError(),
		})
	}
	printTable(w, rows...)
	sayf(w, "\n%s. `driftless sync PRODUCT` tries one now.\n",
		countOf(list.GetTotal(), "product waits for its next attempt", "products wait for their next attempt"))
}
