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
	Plan  adoptPlanCmd  `cmd:"" help:"Match the catalog's products with those that Stripe holds already, and write the matches to a file to be reviewed; exit 2 if some are doubtful."`
	Apply adoptApplyCmd `cmd:"" help:"Adopt what a reviewed file approves; exit 2 if something still differs then."`
}

type adoptPlanCmd struct {
	address
	File        string `name:"file" short:"f" default:"adopt.yaml" placeholder:"FILE" help:"File to write the matches to."`
	Force       bool   `help:"Write over a file that exists."`
	MetadataKey string `name:"metadata-key" default:"driftless_product" help:"Key of Stripe's metadata that holds the catalog's id of a product, or the value that it has in the catalog under the same key."`
}

// Help is shown by --help.
func (*adoptPlanCmd) Help() string {
	return `Needs a finished scan ("driftless scan"). Nothing is written to Stripe. While products are adopted, push must not create what
Stripe does not seem to hold: set push_create to false before push is started with an account that has products already.

Products are matched by id, metadata, lookup keys of prices, and name, the strongest first. What only the name speaks for,
what is ambiguous, archived, or would lead to a new price, is doubtful, and is not approved in the file.`
}

// adoptPage is how many products are looked at in detail at once: one request names both sides of each.
const adoptPage = 400

// shownMatches is how many matches, and how many doubts, are printed; the file has them all.
const shownMatches = 100

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
			"driftless: push creates what Stripe does not hold (push_create is on): what is not adopted in time is made a second time")
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
			"%s exists, and may have been reviewed: name another file with -f, or write over it with --force", cmd.File)
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
		page := matches[:min(len(matches), adoptPage)]
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

// readyToAdopt returns once reconciliation knows all that the newest scan has found.
func readyToAdopt(ctx context.Context,
	client controlv1connect.ControlServiceClient,
) (*controlv1.GetStatusResponse, *meshv1.ScanReport, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	for {
		resp, err := client.GetStatus(ctx, connect.NewRequest(&controlv1.GetStatusRequest{}))
		if err != nil {
			return nil, nil, err
		}
		scan := resp.Msg.GetLastScan()
		switch {
		case scan == nil:
			return nil, nil, errors.New("it is not known what Stripe holds: read it first, with `driftless scan`")
		case scan.GetFinishedAt() == nil:
			return nil, nil,
				errors.New("the scan of Stripe " + scanState(scan) +
					": wait for its end, or start another with `driftless scan`")
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
				fmt.Errorf("reconciliation has %d messages to take in before the matches can be trusted: try again later", behind)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// candidates reads both sides' products that stand for none of the other's.
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

// details reads products by id.
func details(ctx context.Context, client controlv1connect.ControlServiceClient,
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

// propose works matches out in detail. What has changed since they were found is left out.
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
	found, err := details(ctx, client, ids)
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

// adoptReport prints the matches, and counts them.
type adoptReport struct {
	json bool
	file string
	list jsonList

	File string `json:"file"`
	// Products of the catalog, and products of Stripe's, that stand for none of the other's.
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
	certain := p.Certain()
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
	case certain && len(r.matches) < shownMatches:
		r.matches = append(r.matches, append(row, shortened(held, 40)))
	case !certain && len(r.doubts) < shownMatches:
		for i, reservation := range p.Reservations {
			if i > 0 {
				row = []string{"", "", "", ""}
			}
			for j, line := range inLines(reservation.Detail, 56) {
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

// jsonList writes one JSON object that begins with a list as long as it gets.
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

// shortened cuts a text to at most n characters.
func shortened(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-3]) + "..."
	}
	return s
}

// inLines breaks a text into lines of about n characters.
func inLines(s string, n int) []string {
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
