package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
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
	wanted, existing, err := unlinkedProducts(ctx, client, cmd.MetadataKey)
	if err != nil {
		return err
	}
	file, err := cmd.createFile()
	if err != nil {
		return err
	}
	defer file.Close()
	out, err := adoption.NewWriter(file, adoption.Header{
		Account:     status.GetAccount(),
		MetadataKey: cmd.MetadataKey,
		PlannedAt:   time.Now().UTC().Truncate(time.Second),
		Scan:        scan.GetId(),
	})
	if err != nil {
		return fmt.Errorf("write the matches: %w", err)
	}
	r := &adoptReport{json: c.Output == "json", file: cmd.File, products: len(wanted), stripe: len(existing)}
	r.begin()
	for page := range slices.Chunk(adoption.Matches(wanted, existing), maxAdoptPage) {
		if err := propose(ctx, client, page, func(p adoption.Proposal, name, stripeName string) error {
			r.add(p, name, stripeName)
			return out.Add(adoption.EntryOf(p), adoption.AboutProposal(p, name, stripeName))
		}); err != nil {
			return err
		}
	}
	if err := errors.Join(out.Flush(), file.Close()); err != nil {
		return fmt.Errorf("write the matches: %w", err)
	}
	if err := r.end(); err != nil {
		return err
	}
	if r.doubtful > 0 {
		return errDiffers
	}
	return nil
}

// createFile creates the adoption file. It overwrites an existing file only with --force.
func (cmd *adoptPlanCmd) createFile() (*os.File, error) {
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if cmd.Force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	file, err := os.OpenFile(cmd.File, flags, 0o644) //nolint:gosec // to be read and edited by people
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf(
			"%s exists and may have been reviewed: set another file with -f, or overwrite it with --force", cmd.File)
	}
	if err != nil {
		return nil, fmt.Errorf("write the matches: %w", err)
	}
	return file, nil
}

// readyToAdopt waits until reconciliation has read everything that the latest scan found. It returns the status and
// that scan. It returns an error at once if no scan has finished, and after defaultCallTimeout if messages are left.
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
		case scan.GetError() != "":
			return nil, nil, errors.New("the scan of Stripe " + scanState(scan) +
				": start another with `driftless scan`")
		case scan.GetFinishedAt() == nil:
			return nil, nil, errors.New("the scan of Stripe " + scanState(scan) + ": wait until it ends")
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
				fmt.Errorf("reconciliation must read %s before the matches can be trusted: try again later",
					countOf(behind, "more message", "more messages"))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// unlinkedProducts reads the products of the catalog, and those in Stripe, that have no link to the other side.
func unlinkedProducts(ctx context.Context, client controlv1connect.ControlServiceClient,
	metadataKey string,
) (wanted []adoption.Wanted, existing []adoption.Existing, err error) {
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
				existing = append(existing, adoption.ExistingOf(p.GetObserved(), metadataKey))
			}
		}
		if request.After = resp.Msg.GetNext(); request.GetAfter() == "" {
			return wanted, existing, nil
		}
	}
}

// fetchDetails reads products, and returns them by id.
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

// propose reads the products of matches and yields a proposal for each, with the product's names in the catalog and in
// Stripe. It skips a match if one of its products has disappeared.
func propose(ctx context.Context, client controlv1connect.ControlServiceClient, matches []adoption.Match,
	yield func(p adoption.Proposal, name, stripeName string) error,
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
		p := adoption.Propose(m, want, held)
		if err := yield(p, want.GetProduct().GetName(), held.GetProduct().GetName()); err != nil {
			return err
		}
	}
	return nil
}

// adoptReport counts the matches and prints them.
type adoptReport struct {
	json bool
	file string
	list jsonStream
	// products and stripe count the products in the catalog, and in Stripe, that have no link to the other side.
	products, stripe int
	// certain and doubtful count the matches.
	certain, doubtful int
	// matches and doubts are the rows of the two tables.
	matches, doubts [][]string
}

func (r *adoptReport) begin() {
	if r.json {
		r.list.list = "products"
		_ = r.list.begin()
	}
}

// add counts a proposal. It prints it as JSON, or adds it to a table.
func (r *adoptReport) add(p adoption.Proposal, name, stripeName string) {
	if p.IsCertain() {
		r.certain++
	} else {
		r.doubtful++
	}
	if r.json {
		r.addJSON(p, name, stripeName)
	} else {
		r.addRow(p, stripeName)
	}
}

func (r *adoptReport) addJSON(p adoption.Proposal, name, stripeName string) {
	reasons := make([]string, len(p.Reservations))
	for i, reservation := range p.Reservations {
		reasons[i] = reservation.Detail
	}
	_ = r.list.item(adoptMatch{
		Entry:      adoption.EntryOf(p),
		Name:       name,
		StripeName: stripeName,
		Create:     p.Create,
		Reasons:    reasons,
		Candidates: p.Candidates,
	})
}

func (r *adoptReport) addRow(p adoption.Proposal, stripeName string) {
	prices := strconv.Itoa(len(p.Prices))
	if len(p.Create) > 0 {
		prices += fmt.Sprintf(", %d new", len(p.Create))
	}
	row := []string{p.Product, p.StripeID, string(p.Why), prices}
	switch {
	case p.IsCertain() && len(r.matches) < maxShownMatches:
		r.matches = append(r.matches, append(row, shorten(stripeName, 40)))
	case !p.IsCertain() && len(r.doubts) < maxShownMatches:
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

func (r *adoptReport) end() error {
	if r.json {
		return r.list.end(adoptTotals{
			File:            r.file,
			CatalogProducts: r.products,
			StripeProducts:  r.stripe,
			Certain:         r.certain,
			Doubtful:        r.doubtful,
		})
	}
	if len(r.matches) > 0 {
		printTable(stdout, append([][]string{{"PRODUCT", "STRIPE", "BY", "PRICES", "NAME IN STRIPE"}}, r.matches...)...)
		if more := r.certain - len(r.matches); more > 0 {
			sayf(stdout, "... and %d more\n", more)
		}
		say(stdout)
	}
	if len(r.doubts) > 0 {
		printTable(stdout, append([][]string{{"DOUBTFUL", "STRIPE", "BY", "PRICES", "WHY DOUBTFUL"}}, r.doubts...)...)
		say(stdout)
	}
	rest := r.products - r.certain - r.doubtful
	sayf(stdout, "%d of %s of the catalog %s one of %d in Stripe beyond doubt, %d %s doubtful, "+
		"%d %s none and will be created.\n", r.certain, countOf(r.products, "product", "products"),
		plural(r.products, "matches", "match"), r.stripe, r.doubtful, plural(r.doubtful, "is", "are"),
		rest, plural(rest, "matches", "match"))
	sayf(stdout, "Review %s, then: driftless adopt apply %s\n", r.file, r.file)
	return nil
}

// shorten returns a text of at most n characters.
func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-3]) + "..."
	}
	return s
}

// splitLines splits a text into lines of at most n characters. A longer word has a line of its own.
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
