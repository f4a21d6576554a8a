package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	"github.com/driftless-sync/driftless/services/internal/adoption"
)

type adoptApplyCmd struct {
	address
	because
	File    string        `arg:"" help:"Reviewed file of driftless adopt plan."`
	NoWait  bool          `name:"no-wait" help:"Only send the commands; driftless history PRODUCT shows the result of each."`
	Timeout time.Duration `default:"10m" help:"How long to wait; the commands stay queued."`
}

// Help is shown by --help.
func (*adoptApplyCmd) Help() string {
	return `Adopts the products with "approve: true". It first compares each with the current catalog and Stripe, and does nothing
if the file is stale. Products that are already adopted are skipped, so you can run the command again.

Exits with 1 if an adoption was refused or its command was not sent, and with 2 if everything is adopted and something still differs.`
}

func (cmd *adoptApplyCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	header, err := adoptFile(cmd.File).Header()
	if err != nil {
		return err
	}
	status, err := client.GetStatus(ctx, connect.NewRequest(&controlv1.GetStatusRequest{}))
	if err != nil {
		return err
	}
	if account := status.Msg.GetAccount(); account != header.Account {
		return fmt.Errorf("%s is for account %s, and this is %s", cmd.File, header.Account, account)
	}
	a := &adoptApply{
		client:   client,
		header:   header,
		timeout:  cmd.Timeout,
		noWait:   cmd.NoWait,
		json:     c.Output == "json",
		because:  cmd.because,
		products: map[string]int{},
		stripes:  map[string]int{},
	}
	if err := a.eachPage(ctx, cmd.File, a.check); err != nil {
		return err
	}
	if len(a.stale) > 0 {
		return fmt.Errorf(
			"nothing was done, because %s is stale or wrong:\n  %s\nCorrect these entries, or make a new plan",
			cmd.File, strings.Join(a.stale, "\n  "))
	}
	a.approved = len(a.products)
	if a.json {
		a.list.list = "products"
		_ = a.list.begin()
	}
	err = a.eachPage(ctx, cmd.File, a.apply)
	if a.json {
		err = errors.Join(err, a.list.end(adoptedTotals{
			Approved:  a.approved,
			Adopted:   a.adopted,
			Already:   a.adoptedBefore,
			Ordered:   a.sent,
			Refused:   a.refused,
			Differing: a.differing,
			Unknown:   a.unknown,
		}))
	} else {
		a.progress.clear()
		sayf(stdout, "%d of %s adopted, %d %s adopted before", a.adopted,
			countOf(a.approved, "approved product", "approved products"), a.adoptedBefore,
			plural(a.adoptedBefore, "was", "were"))
		for _, more := range []struct {
			n    int
			what string
		}{
			{a.sent, "waiting for push"},
			{a.refused, "refused"},
			{a.differing, "not yet synced to their latest state"},
			{a.unknown, "not known to be equal"},
		} {
			if more.n > 0 {
				sayf(stdout, ", %d %s", more.n, more.what)
			}
		}
		say(stdout, ".")
	}
	switch {
	case err != nil:
		return err
	case a.refused > 0:
		return fmt.Errorf("%d of %d were refused", a.refused, a.approved)
	case a.differing > 0 || a.unknown > 0:
		return errDiffers
	default:
		return nil
	}
}

// adoptApply reads a file twice: first to check all entries, then to adopt them.
type adoptApply struct {
	because
	client   controlv1connect.ControlServiceClient
	header   adoption.Header
	timeout  time.Duration
	noWait   bool
	json     bool
	list     jsonStream
	progress progress

	// products and stripes are the lines at which an id was approved.
	products, stripes map[string]int
	stale             []string

	approved, adopted, adoptedBefore, sent, refused, differing, unknown int
}

// adoptFile returns the adoption file at a path.
func adoptFile(path string) adoption.File {
	return adoption.File{Name: path, Open: func() (io.ReadCloser, error) { return os.Open(path) }}
}

// maxStale is the maximum number of stale entries that are named.
const maxStale = 50

// eachPage calls do with pages of approved entries and the details of both sides. A page has at most maxAdoptPage
// entries.
func (a *adoptApply) eachPage(ctx context.Context, path string,
	do func(context.Context, []adoption.Entry, map[string]*controlv1.ProductDetail) error,
) error {
	var page []adoption.Entry
	flush := func() error {
		if len(page) == 0 {
			return nil
		}
		var ids []string
		for _, e := range page {
			ids = append(ids, e.Product)
			if e.Stripe != "" && e.Stripe != e.Product {
				ids = append(ids, e.Stripe)
			}
		}
		found, err := fetchDetails(ctx, a.client, ids)
		if err == nil {
			err = do(ctx, page, found)
		}
		page = page[:0]
		return err
	}
	for e, err := range adoptFile(path).Entries() {
		if err != nil {
			return err
		}
		if !e.Approve {
			continue
		}
		if page = append(page, e); len(page) == maxAdoptPage {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// check collects the entries that are stale or wrong.
func (a *adoptApply) check(_ context.Context, page []adoption.Entry, found map[string]*controlv1.ProductDetail) error {
	for _, e := range page {
		var why []string
		for _, twice := range []struct {
			lines map[string]int
			id    string
		}{{a.products, e.Product}, {a.stripes, e.Stripe}} {
			if line, ok := twice.lines[twice.id]; ok && twice.id != "" {
				why = append(why, fmt.Sprintf("%s is already approved in line %d", twice.id, line))
			}
			twice.lines[twice.id] = e.Line
		}
		if _, err := a.command(e, found); err != nil {
			why = append(why, err.Error())
		}
		switch {
		case len(why) == 0:
		case len(a.stale) == maxStale:
			a.stale = append(a.stale, "...")
			return errStale
		default:
			a.stale = append(a.stale,
				fmt.Sprintf("line %d, product %s: %s", e.Line, e.Product, strings.Join(why, "; ")))
		}
	}
	return nil
}

var errStale = errors.New("too many entries are stale")

// command compares an entry with the current state of both sides: see adoption.Check.
func (a *adoptApply) command(e adoption.Entry,
	found map[string]*controlv1.ProductDetail,
) (adoption.Checked, error) {
	product, stripe := found[e.Product], found[e.Stripe]
	return adoption.Check(e, a.header.MetadataKey, adoption.Pair{
		Change:   product.GetDesired(),
		Observed: product.GetObserved(),
		Held:     stripe.GetObserved(),
		IsTaken:  stripe.GetDesired() != nil,
	})
}

// apply sends the commands for a page of adoptions and waits for their results.
func (a *adoptApply) apply(ctx context.Context, page []adoption.Entry,
	found map[string]*controlv1.ProductDetail,
) error {
	request := &controlv1.AdoptProductsRequest{Actor: a.actor(), Reason: a.Reason}
	for _, e := range page {
		checked, err := a.command(e, found)
		switch {
		case err != nil:
			a.refused++
			a.report(e, "refused", err.Error())
		case checked.IsDone:
			a.adoptedBefore++
			a.report(e, "already adopted", "")
		default:
			request.Adoptions = append(request.Adoptions, checked.Order)
		}
	}
	if len(request.GetAdoptions()) == 0 {
		return nil
	}
	resp, err := a.client.AdoptProducts(ctx, connect.NewRequest(request))
	if err != nil {
		return err
	}
	entries := map[string]adoption.Entry{}
	for _, e := range page {
		entries[e.Product] = e
	}
	waiting := map[string]adoption.Entry{}
	for _, o := range resp.Msg.GetOrders() {
		waiting[o.GetId()] = entries[o.GetProductId()]
	}
	if a.noWait {
		for _, id := range slices.Sorted(maps.Keys(waiting)) {
			a.sent++
			a.report(waiting[id], "ordered", "")
		}
		return nil
	}
	return a.await(ctx, waiting)
}

// await shows the results of the commands. It then waits until push has synced the adopted products to their latest
// state.
func (a *adoptApply) await(ctx context.Context, waiting map[string]adoption.Entry) error {
	waitCtx, cancel := context.WithTimeoutCause(ctx, a.timeout,
		fmt.Errorf("push has not carried out the commands within %s; they stay queued until it runs",
			a.timeout))
	defer cancel()
	var adopted []string
	for len(waiting) > 0 {
		resp, err := a.client.ListAdoptions(waitCtx,
			connect.NewRequest(&controlv1.ListAdoptionsRequest{Ids: slices.Sorted(maps.Keys(waiting))}))
		if err != nil && waitCtx.Err() != nil {
			return context.Cause(waitCtx)
		}
		if err != nil {
			return err
		}
		for _, done := range resp.Msg.GetAdoptions() {
			e := waiting[done.GetId()]
			delete(waiting, done.GetId())
			if done.GetRefused() {
				a.refused++
				a.report(e, "refused", done.GetDetail())
				continue
			}
			a.adopted++
			adopted = append(adopted, e.Product)
			a.report(e, "adopted", "")
		}
		if len(waiting) == 0 {
			break
		}
		a.progress.showf("%d of %d adopted, %d refused", a.adopted+a.adoptedBefore, a.approved, a.refused)
		select {
		case <-waitCtx.Done():
			return context.Cause(waitCtx)
		case <-time.After(100 * time.Millisecond):
		}
	}
	left, err := awaitEqual(waitCtx, a.client, adopted, "", func(int) {})
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, p := range left.GetProducts() {
		a.differing++
		if !a.json {
			a.progress.clear()
			sayf(stdout, "%s is adopted and differs: %s\n", p.GetProductId(), reasonOf(p, left))
		}
	}
	if why := unknownBecause(left.GetEquality()); left != nil && why != "" {
		a.unknown += len(adopted) - len(left.GetProducts())
		if !a.json {
			a.progress.clear()
			say(stdout, "unknown:", why)
		}
	}
	return nil
}

func (a *adoptApply) report(e adoption.Entry, result, detail string) {
	if a.json {
		_ = a.list.item(adoptedProduct{e.Product, e.Stripe, strings.ReplaceAll(result, " ", "_"), detail})
		return
	}
	a.progress.clear()
	if detail != "" {
		result += ": " + detail
	}
	sayf(stdout, "%s  %s  %s\n", e.Product, e.Stripe, result)
}
