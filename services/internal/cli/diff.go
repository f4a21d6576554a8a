package cli

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

type diffCmd struct {
	address
	Products []string `arg:"" optional:"" help:"Ids of products. Defaults to all."`
	From     string   `name:"from" required:"" placeholder:"TIME" help:"The earlier time: RFC 3339, 2026-11-26 10:00, or a duration ago such as 2h or 3d."`
	To       string   `name:"to" placeholder:"TIME" help:"The later time. Defaults to now."`
	Side     string   `name:"side" enum:"catalog,stripe" default:"catalog" help:"catalog or stripe."`
}

// Help is shown by --help.
func (*diffCmd) Help() string {
	return `Shows the products that one side had otherwise at two times, field by field. A change that was undone in
between is no difference; driftless history PRODUCT shows it.

Exits with 0 if nothing differs, and with 2 if anything does, or if it is unknown whether that is all.`
}

// stateDiffer writes what differs between two times.
type stateDiffer struct {
	planPrinter

	stream                  *jsonStream
	added, changed, removed uint64
	compared                uint64
}

func (cmd *diffCmd) Run(ctx context.Context, c *cli) error {
	now := time.Now()
	request := &controlv1.DiffStatesRequest{Side: apiSides[cmd.Side], ProductIds: cmd.Products}
	from, err := parseWhen(cmd.From, now)
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	request.From = timestamppb.New(from)
	to := now
	if cmd.To != "" {
		if to, err = parseWhen(cmd.To, now); err != nil {
			return fmt.Errorf("--to: %w", err)
		}
		request.To = timestamppb.New(to)
	}
	client, err := cmd.control(c)
	if err != nil {
		return reportUnknown(c, err)
	}
	d := &stateDiffer{planPrinter: planPrinter{Writer: stdout, colours: colours()}}
	if c.Output == "json" {
		d.stream = &jsonStream{list: "products"}
	}
	line := &progress{}
	defer line.clear()
	for {
		resp, err := client.DiffStates(ctx, connect.NewRequest(request))
		if err != nil && d.compared == 0 {
			return reportUnknown(c, err)
		} else if err != nil {
			return err
		}
		line.clear()
		if err := d.page(resp.Msg); err != nil {
			return err
		}
		if request.GetTo() == nil {
			// All pages are about the same time.
			request.To, to = resp.Msg.GetEquality().GetAt(), resp.Msg.GetEquality().GetAt().AsTime()
		}
		// The order is that of the ledger's collation, so the ids themselves are not compared.
		if !isNextPage(resp.Msg.GetNext(), request.GetAfter()) {
			return cmd.end(c, d, resp.Msg, from, to)
		}
		request.After = resp.Msg.GetNext()
		line.showf("%s compared", countOf(d.compared, "product", "products"))
	}
}

func (d *stateDiffer) page(page *controlv1.DiffStatesResponse) error {
	d.compared += page.GetCompared()
	for _, p := range page.GetProducts() {
		switch p.GetVerb() {
		case "added":
			d.added++
		case "removed":
			d.removed++
		default:
			d.changed++
		}
		if d.stream == nil {
			d.printDiff(p)
		} else if err := d.stream.item(p); err != nil {
			return err
		}
	}
	return nil
}

// end writes the summary.
func (cmd *diffCmd) end(c *cli, d *stateDiffer, last *controlv1.DiffStatesResponse, from, to time.Time) error {
	differ := d.added+d.changed+d.removed > 0
	unknown := unknownProductsError(last.GetUnknown())
	if unknown != nil && d.stream == nil && !differ {
		return unknown
	}
	if d.stream != nil {
		if err := d.stream.end(last, "known_from", "equality", "unknown"); err != nil {
			return err
		}
	} else {
		between := fmt.Sprintf("in %s between %s and %s; %s compared", sideNames[cmd.Side],
			formatWhen(from, time.DateTime),
			formatWhen(to, time.DateTime), countOf(d.compared, "product", "products"))
		if differ {
			sayf(d, "\n%d changed, %d added, %d removed %s.\n", d.changed, d.added, d.removed, between)
		} else {
			sayf(d, "No differences %s.\n", between)
		}
	}
	if err := sayUnknown(c, unknownAt(last.GetEquality(), cmd.Side, to)); err != nil {
		return err
	}
	if unknown != nil {
		return unknown
	}
	if differ {
		return errDiffers
	}
	return nil
}

// stateVerbs are the verbs of planPrinter by those of a change of a state.
var stateVerbs = map[string]string{"added": "create", "changed": "update", "removed": "archive"}

// printDiff writes what differs in a product.
func (p *planPrinter) printDiff(d *controlv1.ProductDiff) {
	name := ""
	if changes := d.GetChanges(); len(changes) > 0 && changes[0].GetPriceId() == "" &&
		changes[0].GetStripePriceId() == "" {
		if name = changes[0].GetAfter(); name == "" {
			name = changes[0].GetBefore()
		}
		name = fmt.Sprintf("  %q", name)
	}
	p.printLine("", stateVerbs[d.GetVerb()], d.GetProductId()+name)
	if d.GetVerb() != "removed" {
		p.printStateChanges(d.GetChanges())
	}
}

// printStateChanges writes the changes of a product and its prices, in the form of a plan.
func (p *planPrinter) printStateChanges(changes []*controlv1.StateChange) {
	for _, change := range changes {
		indent := "    "
		price := priceName(change.GetPriceId(), change.GetStripePriceId())
		if price != "" {
			p.printPriceChange(indent, "price "+price, change)
			indent += "    "
		}
		for _, f := range change.GetFields() {
			// The price's own line has its amount.
			if price == "" || f.GetField() != "unit_amount" {
				p.printFieldChange(indent, f)
			}
		}
	}
}

func (p *planPrinter) printPriceChange(indent, price string, change *controlv1.StateChange) {
	switch {
	case change.GetVerb() == "added":
		p.printLine(indent, "create", price+"  "+change.GetAfter())
	case change.GetVerb() == "removed":
		p.printLine(indent, "archive", price+"  "+change.GetBefore())
	case change.GetBefore() != change.GetAfter():
		p.printLine(indent, "replace", price+"  "+change.GetBefore()+" -> "+change.GetAfter())
	default:
		p.printLine(indent, "update", price+"  "+change.GetAfter())
	}
}

// printFieldChange writes one field: `~ name: "Mug" -> "Mug XL"`.
func (p *planPrinter) printFieldChange(indent string, f *controlv1.FieldChange) {
	before, after := fmt.Sprintf("%q", f.GetOld()), fmt.Sprintf("%q", f.GetNew())
	switch {
	case f.GetOld() == "":
		p.printLine(indent, "create", f.GetField()+": "+after)
	case f.GetNew() == "":
		p.printLine(indent, "archive", f.GetField()+": "+before)
	default:
		p.printLine(indent, "update", f.GetField()+": "+before+" -> "+after)
	}
}
