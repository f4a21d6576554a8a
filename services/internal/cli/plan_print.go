package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// verbSigns are the sign and colour of each verb.
var verbSigns = map[string]struct {
	sign   string
	colour colour
}{
	"create":    {"+", good},
	"update":    {"~", careful},
	"unarchive": {"^", careful},
	"replace":   {"±", swapped},
	"archive":   {"-", bad},
}

// planPrinter writes a plan for people.
type planPrinter struct {
	io.Writer

	colours bool
	// Numbers of products by what is done to them.
	create, change, archive, held, refused, leftAlone int
}

func printPlan(w io.Writer, plan *controlv1.PlanResponse, colours bool) {
	p := &planPrinter{Writer: w, colours: colours}
	for _, product := range plan.GetProducts() {
		p.printProduct(product)
	}
	for _, id := range leftExtras(plan) {
		p.leftAlone++
		p.printLine("", "", id+"  ("+onlyInStripeReason+")")
	}
	if len(plan.GetProducts())+p.leftAlone > 0 {
		say(p)
	}
	e := plan.GetEquality()
	unknown := unknownBecause(e)
	products := countOf(plan.GetCompared(), "product", "products") + " compared"
	switch {
	case len(plan.GetProducts())+p.leftAlone == 0 && unknown != "":
		sayf(p, "%s: %s. As far as is known, nothing differs%s: %s", careful.in("unknown", p.colours), unknown, asOf(e),
			products)
	case len(plan.GetProducts())+p.leftAlone == 0:
		sayf(p, "%s: %s, equal%s", good.in("No differences", p.colours), products, asOf(e))
	default:
		p.summary(products + asOf(e))
	}
	if n := plan.GetInFlight(); n > 0 {
		sayf(p, ", %s in flight: this may change", countOf(n, "message", "messages"))
	}
	sayf(p, ". %s\n", comparedLine(e))
	if p.held > 0 {
		sayf(p, "%s\n", heldAdvice)
	}
	if len(plan.GetProducts())+p.leftAlone > 0 && unknown != "" {
		sayf(p, "%s whether more differs: %s.\n", careful.in("unknown", p.colours), unknown)
	}
	for _, pause := range plan.GetPaused() {
		effect := "this may be out of date"
		if pause.GetService() == "push" {
			effect = "nothing is written to Stripe"
		}
		sayf(p, "%s is paused since %s, until %s: %s.\n", pause.GetService(), ago(pause.GetSince()), pauseEnd(pause),
			effect)
	}
	p.printOverlaps(plan.GetOverlaps())
	if plan.GetHalted() != "" {
		say(p, "Push is halted:", plan.GetHalted())
	}
}

// leftExtras returns the named products that only Stripe has, and that the account leaves alone.
func leftExtras(plan *controlv1.PlanResponse) []string {
	return slices.DeleteFunc(slices.Clone(plan.GetOnlyInStripe()), func(id string) bool {
		return slices.ContainsFunc(plan.GetProducts(), func(p *controlv1.ProductPlan) bool {
			return p.GetProductId() == id
		})
	})
}

// summary writes the number of products of each kind.
func (p *planPrinter) summary(end string) {
	sayf(p, "Plan: %d to create, %d to change, %d to archive", p.create, p.change, p.archive)
	if p.held > 0 {
		sayf(p, ", %d held", p.held)
	}
	if p.refused > 0 {
		sayf(p, ", %d refused", p.refused)
	}
	if p.leftAlone > 0 {
		sayf(p, ", %d left as %s", p.leftAlone, plural(p.leftAlone, "it is", "they are"))
	}
	sayf(p, "; %s", end)
}

// printProduct writes the plan of one product.
func (p *planPrinter) printProduct(plan *controlv1.ProductPlan) {
	about := stateName(plan.GetState())
	if plan.GetDiffersSince() != nil {
		about += ", differs since " + ago(plan.GetDiffersSince())
	}
	verb, name := "update", ""
	if changes := plan.GetChanges(); len(changes) > 0 && changes[0].GetPriceId() == "" {
		verb = changes[0].GetVerb()
		if name = changes[0].GetAfter(); name != "" {
			name = fmt.Sprintf("  %q", name)
		}
	}
	switch {
	case plan.GetState() == controlv1.ProductState_PRODUCT_STATE_DEAD && len(plan.GetChanges()) == 0:
		p.refused++
		verb = ""
	case len(plan.GetChanges()) == 0 && len(plan.GetWriteBacks()) == 0 && len(plan.GetDrift()) > 0:
		p.leftAlone++
		verb = ""
	case plan.GetHeld():
		p.held++
	case verb == "create":
		p.create++
	case verb == "archive":
		p.archive++
	default:
		p.change++
	}
	p.printLine("", verb, plan.GetProductId()+name+"  ("+about+")")
	if plan.GetState() == controlv1.ProductState_PRODUCT_STATE_DEAD {
		sayf(p, "    its latest state was refused: %s`driftless dead show %s` shows the details\n",
			withSeparator(plan.GetRefused()), visible.Argument(plan.GetProductId()))
	}
	switch {
	case plan.GetHeld():
		p.printHold(plan.GetProductId(), plan.GetHold())
	case plan.GetWaiting() != "":
		sayf(p, "    %s\n", retryLine(plan))
	}
	for _, change := range plan.GetChanges() {
		p.printChange(change)
	}
	for _, d := range plan.GetWriteBacks() {
		sayf(p, "    write back to the catalog: %s\n", differenceLine(d))
	}
	for _, d := range plan.GetDrift() {
		sayf(p, "    %s\n", leftAloneLine(d))
	}
}

// retryLine says why push will retry a product, and when: "failed 4 times, next try in 49s: Stripe: ...".
func retryLine(p *controlv1.ProductPlan) string {
	words := "waits"
	if n := p.GetAttempts(); n > 0 {
		words = "failed " + countOf(n, "time", "times")
	}
	if at := p.GetNextAttemptAt(); at != nil {
		// The retry may be due already.
		words += ", next try in " + max(time.Until(at.AsTime()).Round(time.Second), 0).String()
	}
	return words + ": " + p.GetWaiting()
}

// leftAloneLine describes drift that is left as it is, and why.
func leftAloneLine(d *controlv1.Drift) string {
	line := differenceLine(d.GetDifference())
	if d.GetState() == "waiting" {
		line += ": needs a decision"
		if d.GetDetail() != "" {
			line += ", because it was " + d.GetDetail()
		}
		return line + " (driftless drift resolve " + visible.Argument(d.GetProductId()) + " --keep catalog|stripe)"
	}
	return line + ": only reported, by policy"
}

// withSeparator returns a text with a separator for the next sentence, or "" for no text.
func withSeparator(s string) string {
	if s == "" {
		return ""
	}
	return strings.TrimSuffix(s, ".") + "; "
}

func (p *planPrinter) printChange(c *controlv1.PlannedChange) {
	indent := "    "
	if c.GetPriceId() != "" {
		price := "price " + c.GetPriceId()
		switch c.GetVerb() {
		case "create":
			p.printLine(indent, "create", price+"  "+c.GetAfter())
		case "archive":
			p.printLine(indent, "archive", "archive "+price+"  "+c.GetBefore())
		case "replace":
			p.printLine(indent, "replace",
				price+"  "+c.GetBefore()+" -> "+c.GetAfter()+"  (a new price takes its place"+staysUntil(c)+")")
		case "unarchive":
			p.printLine(indent, "unarchive", "unarchive "+price+"  "+c.GetAfter())
		default:
			p.printLine(indent, "update", price+"  "+c.GetAfter())
		}
		indent += "    "
	}
	for _, d := range c.GetDifferences() {
		p.printDifference(indent, c, d)
	}
	p.printUsage(indent, c.GetUsage(), c.GetPriceId() == "")
}

// printDifference writes one field: `~ name: "Mug" -> "Mug XL"`.
func (p *planPrinter) printDifference(indent string, c *controlv1.PlannedChange, d *meshv1.Difference) {
	field := strings.TrimPrefix(d.GetField(), "prices."+c.GetPriceId()+".")
	before, after := fmt.Sprintf("%q", d.GetStripe()), fmt.Sprintf("%q", d.GetCatalog())
	switch {
	case c.GetVerb() == "replace" && strings.HasPrefix(field, "unit_amount"):
		// The price's own line has the amount, with the decimal places of its currency.
	case d.GetStripe() == "":
		p.printLine(indent, "create", field+": "+after)
	case d.GetCatalog() == "":
		p.printLine(indent, "archive", field+": "+before)
	default:
		p.printLine(indent, "update", field+": "+before+" -> "+after)
	}
}

func (p *planPrinter) printLine(indent, verb, text string) {
	sign := verbSigns[verb]
	if sign.sign == "" {
		sign.sign = "!"
	}
	sayf(p, "%s%s %s\n", indent, sign.colour.in(sign.sign, p.colours), text)
}
