package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/adoption"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

type adoptCmd struct {
	Plan  adoptPlanCmd  `cmd:"" help:"Match products of the catalog with products that Stripe already has, and write the matches to a file for review. Exits with 2 if some are doubtful."`
	Apply adoptApplyCmd `cmd:"" help:"Adopt the matches that a reviewed file approves. Exits with 2 if anything still differs then."`
}

type adoptPlanCmd struct {
	address
	File        string `name:"file" short:"f" default:"adopt.yaml" placeholder:"FILE" help:"File to write the matches to."`
	Force       bool   `help:"Overwrite an existing file."`
	MetadataKey string `name:"metadata-key" default:"driftless_product" help:"Key of metadata in Stripe that has the catalog's id of a product, or the value that the catalog has under the same key."`
}

// Help is shown by --help.
func (*adoptPlanCmd) Help() string {
	return `Needs a finished scan ("driftless scan"). Nothing is written to Stripe. Until products are adopted, push must not create those that
seem to be missing in Stripe: set push_create to false before you start push with an account that already has products.

Products are matched by id, metadata, lookup keys of prices, and name, the strongest first. A match is doubtful if only the name
matches, or if it is ambiguous, archived, or would need a new price. Doubtful matches are not approved in the file.`
}

// maxAdoptPage is the maximum number of products in one request for details. A request names both sides of each.
const maxAdoptPage = 400

// maxShownMatches is the maximum number of matches, and of doubtful ones, that are printed. The file has them all.
const maxShownMatches = 100

func (cmd *adoptPlanCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	status, scan, err := readyToAdopt(ctx, client)
	if err != nil {
		return err
	}
	if !status.GetCreationsHeld() {
		say(os.Stderr,
			"driftless: push creates products that are not in Stripe (push_create is on): products that are not adopted in time are created a second time")
	}
	wanted, held, err := candidates(ctx, client, cmd.MetadataKey)
	if err != nil {
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if cmd.Force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	file, err := os.OpenFile(cmd.File, flags, 0o644) //nolint:gosec // to be read and edited by people
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf(
			"%s exists and may have been reviewed: set another file with -f, or overwrite it with --force", cmd.File)
	}
	if err != nil {
		return fmt.Errorf("write the matches: %w", err)
	}
	defer file.Close()
	out, err := newAdoptWriter(file, adoptHeader{
		Account:     status.GetAccount(),
		MetadataKey: cmd.MetadataKey,
		PlannedAt:   time.Now().UTC().Truncate(time.Second),
		Scan:        scan.GetId(),
	})
	if err != nil {
		return fmt.Errorf("write the matches: %w", err)
	}
	r := &adoptReport{json: c.Output == "json", file: cmd.File, Products: len(wanted), Stripe: len(held)}
	r.begin()
	matches := adoption.Matches(wanted, held)
	for len(matches) > 0 {
		page := matches[:min(len(matches), maxAdoptPage)]
		matches = matches[len(page):]
		if err := propose(ctx, client, page, func(p adoption.Proposal, want, held string) error {
			r.add(p, want, held)
			return out.write(p, want, held)
		}); err != nil {
			return err
		}
	}
	if err := errors.Join(out.Flush(), file.Close()); err != nil {
		return fmt.Errorf("write the matches: %w", err)
	}
	r.end()
	if r.Doubtful > 0 {
		return errDiffers
	}
	return nil
}

// readyToAdopt waits until reconciliation has read everything that the latest scan found.
func readyToAdopt(ctx context.Context,
	client controlv1connect.ControlServiceClient,
) (*controlv1.GetStatusResponse, *meshv1.ScanReport, error) {
	ctx, cancel := context.WithTimeout(ctx, defaultCallTimeout)
	defer cancel()
	for {
		resp, err := client.GetStatus(ctx, connect.NewRequest(&controlv1.GetStatusRequest{}))
		if err != nil {
			return nil, nil, err
		}
		scan := resp.Msg.GetLastScan()
		switch {
		case scan == nil:
			return nil, nil, errors.New("it is unknown what Stripe has: run `driftless scan` first")
		case scan.GetFinishedAt() == nil:
			return nil, nil,
				errors.New("the scan of Stripe " + scanState(scan) +
					": wait until it ends, or start another with `driftless scan`")
		}
		behind := uint64(0)
		for _, consumer := range resp.Msg.GetConsumers() {
			if consumer.GetConsumer() == topology.Reconciliation {
				behind += consumer.GetPending() + consumer.GetInFlight()
			}
		}
		if behind == 0 {
			return resp.Msg, scan, nil
		}
		select {
		case <-ctx.Done():
			return nil, nil,
				fmt.Errorf("reconciliation must read %d more messages before the matches can be trusted: try again later", behind)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// candidates reads the products of both sides that have no link to the other.
func candidates(ctx context.Context, client controlv1connect.ControlServiceClient,
	metadataKey string,
) (wanted []adoption.Wanted, held []adoption.Existing, err error) {
	request := &controlv1.ListProductsRequest{Adoptable: true}
	for {
		resp, err := client.ListProducts(ctx, connect.NewRequest(request))
		if err != nil {
			return nil, nil, err
		}
		for _, p := range resp.Msg.GetProducts() {
			if p.GetDesired() != nil {
				wanted = append(wanted, adoption.WantedOf(p.GetDesired(), metadataKey))
			}
			if p.GetObserved().GetProduct() != nil {
				held = append(held, adoption.ExistingOf(p.GetObserved(), metadataKey))
			}
		}
		if request.After = resp.Msg.GetNext(); request.GetAfter() == "" {
			return wanted, held, nil
		}
	}
}

// fetchDetails reads products by id.
func fetchDetails(ctx context.Context, client controlv1connect.ControlServiceClient,
	ids []string,
) (map[string]*controlv1.ProductDetail, error) {
	resp, err := client.ListProducts(ctx, connect.NewRequest(&controlv1.ListProductsRequest{ProductIds: ids}))
	if err != nil {
		return nil, err
	}
	out := make(map[string]*controlv1.ProductDetail, len(ids))
	for _, p := range resp.Msg.GetProducts() {
		out[p.GetProductId()] = p
	}
	return out, nil
}

// propose works out the details of matches. It skips products that have changed since they were matched.
func propose(ctx context.Context, client controlv1connect.ControlServiceClient, matches []adoption.Match,
	yield func(p adoption.Proposal, want, held string) error,
) error {
	var ids []string
	for _, m := range matches {
		ids = append(ids, m.Product)
		if m.StripeID != "" && m.StripeID != m.Product {
			ids = append(ids, m.StripeID)
		}
	}
	found, err := fetchDetails(ctx, client, ids)
	if err != nil {
		return err
	}
	for _, m := range matches {
		want, held := found[m.Product].GetDesired(), found[m.StripeID].GetObserved()
		if want.GetProduct() == nil || m.StripeID != "" && held.GetProduct() == nil {
			continue
		}
		if err := yield(adoption.Propose(m, want, held), want.GetProduct().GetName(),
			held.GetProduct().GetName()); err != nil {
			return err
		}
	}
	return nil
}

// adoptReport counts the matches and prints them.
type adoptReport struct {
	json bool
	file string
	list jsonList

	File string `json:"file"`
	// Products and Stripe are the numbers of products in the catalog, and in Stripe, that have no link to the other
	// side.
	Products int `json:"catalog_products"`
	Stripe   int `json:"stripe_products"`
	Certain  int `json:"certain"`
	Doubtful int `json:"doubtful"`

	matches, doubts [][]string
}

func (r *adoptReport) begin() {
	if r.json {
		r.list.begin("products")
	}
}

func (r *adoptReport) add(p adoption.Proposal, want, held string) {
	certain := p.IsCertain()
	if certain {
		r.Certain++
	} else {
		r.Doubtful++
	}
	if r.json {
		reasons := make([]string, len(p.Reservations))
		for i, reservation := range p.Reservations {
			reasons[i] = reservation.Detail
		}
		r.list.add(struct {
			adoptEntry

			Name       string   `json:"name"`
			StripeName string   `json:"stripe_name,omitempty"`
			Create     []string `json:"create,omitempty"`
			Reasons    []string `json:"reasons,omitempty"`
			Candidates []string `json:"candidates,omitempty"`
		}{entryOf(p), want, held, p.Create, reasons, p.Candidates})
		return
	}
	prices := strconv.Itoa(len(p.Prices))
	if len(p.Create) > 0 {
		prices += fmt.Sprintf(", %d new", len(p.Create))
	}
	row := []string{p.Product, p.StripeID, string(p.Why), prices}
	switch {
	case certain && len(r.matches) < maxShownMatches:
		r.matches = append(r.matches, append(row, shorten(held, 40)))
	case !certain && len(r.doubts) < maxShownMatches:
		for i, reservation := range p.Reservations {
			if i > 0 {
				row = []string{"", "", "", ""}
			}
			for j, line := range splitLines(reservation.Detail, 56) {
				if j > 0 {
					row = []string{"", "", "", ""}
				}
				r.doubts = append(r.doubts, append(row, line))
			}
		}
	}
}

func (r *adoptReport) end() {
	r.File = r.file
	if r.json {
		r.list.end(map[string]any{
			"file":             r.File,
			"catalog_products": r.Products,
			"stripe_products":  r.Stripe,
			"certain":          r.Certain,
			"doubtful":         r.Doubtful,
		})
		return
	}
	if len(r.matches) > 0 {
		printTable(stdout, append([][]string{{"PRODUCT", "STRIPE", "BY", "PRICES", "NAME IN STRIPE"}}, r.matches...)...)
		if more := r.Certain - len(r.matches); more > 0 {
			sayf(stdout, "... and %d more\n", more)
		}
		say(stdout)
	}
	if len(r.doubts) > 0 {
		printTable(stdout, append([][]string{{"DOUBTFUL", "STRIPE", "BY", "PRICES", "WHY DOUBTFUL"}}, r.doubts...)...)
		say(stdout)
	}
	rest := r.Products - r.Certain - r.Doubtful
	sayf(stdout,
		"%d of %d products of the catalog match one of %d in Stripe beyond doubt, %d are doubtful, %d match none and will be created.\n",
		r.Certain, r.Products, r.Stripe, r.Doubtful, rest)
	sayf(stdout, "Review %s, then: driftless adopt apply %s\n", r.file, r.file)
}

// jsonList writes one JSON object that begins with a list of any length.
type jsonList struct{ n int }

func (l *jsonList) begin(name string) { fmt.Fprintf(jsonOut, "{\n  %q: [", name) }

func (l *jsonList) add(item any) {
	if l.n++; l.n > 1 {
		fmt.Fprint(jsonOut, ",")
	}
	fmt.Fprint(jsonOut, "\n    ")
	data, _ := json.Marshal(item)
	_, _ = jsonOut.Write(data)
}

// end closes the list and adds the other members.
func (l *jsonList) end(members map[string]any) {
	data, _ := json.MarshalIndent(members, "", "  ")
	fmt.Fprintf(jsonOut, "\n  ],\n%s\n", strings.TrimPrefix(string(data), "{\n"))
}

// shorten returns a text of at most n characters.
func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-3]) + "..."
	}
	return s
}

// splitLines splits a text into lines of about n characters.
func splitLines(s string, n int) []string {
	var lines []string
	for word := range strings.FieldsSeq(s) {
		if last := len(lines) - 1; last >= 0 && len([]rune(lines[last]))+1+len([]rune(word)) <= n {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}
