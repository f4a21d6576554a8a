package plan

import (
	"context"
	"math/big"
	"regexp"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// emptyText says why the page has no product. It says equal only if the whole catalog was compared, all of that is
// known, and nothing is on its way or stopped.
func emptyText(q query, p *controlv1.PlanResponse) (title, text string) {
	switch {
	case q.after != "" && q.held:
		return "No more held changes", "The list begins on the first page."
	case q.after != "":
		return "No more differences", "This is the end of the list. It begins on the first page."
	case q.held && !view.IsKnown(p.GetEquality()):
		return "No held change is known", "It is not known whether one waits for an approval now: see above."
	case q.held:
		return "Nothing waits for an approval", "The guard holds no change now."
	case !view.IsKnown(p.GetEquality()):
		return "No differences are known", "It is not known whether there are any now: see above."
	case p.GetHalted() != "" || len(p.GetPaused()) > 0:
		return "No differences are known", "A part of the mesh is stopped, so the answer may be out of date."
	case p.GetInFlight() > 0 || p.GetOrders() > 0:
		return "No differences", "Changes are on their way, so this may change in a moment."
	}
	return "No differences", "Catalog and Stripe are equal: " +
		view.Many(p.GetCompared(), "product was", "products were") + " compared."
}

// rules are the titles of the guard's rules.
var rules = map[string]string{
	"amount_change":     "Large change of an amount",
	"zero_amount":       "A price becomes free",
	"no_active_price":   "No active price left",
	"no_default_price":  "No default price left",
	"replaced_prices":   "Many prices at once",
	"lost_currency":     "A currency is lost",
	"archived_products": "Many products archived",
}

// ruleTitle returns the title of a rule. Checks of the operator, and rules of later versions, are named after
// themselves.
func ruleTitle(rule string) string {
	if title, ok := rules[rule]; ok {
		return title
	}
	if name, ok := strings.CutPrefix(rule, "check:"); ok {
		return "Check " + name
	}
	return visible.Words(rule)
}

// stateOf returns the tone and the word for the state of a planned product.
func stateOf(p *controlv1.ProductPlan) (tone, word string) {
	switch {
	case p.GetHold().GetApproved():
		return "busy", "approved"
	case p.GetHeld():
		return "held", "held"
	case p.GetRefused() != "":
		return "bad", "refused"
	case p.GetWaiting() != "":
		return "bad", "retrying"
	case len(p.GetSteps()) == 0 && len(p.GetWriteBacks()) == 0 && len(p.GetDrift()) > 0:
		return "bad", "drifted"
	case len(p.GetWriteBacks()) > 0 && len(p.GetSteps()) == 0:
		return "busy", "write back"
	}
	return "busy", "pending"
}

// change returns a planned change in words: `replace mug-monthly`.
func change(c *controlv1.PlannedChange) string {
	what := "product"
	if c.GetPriceId() != "" {
		what = "price " + c.GetPriceId()
	}
	return c.GetVerb() + " " + what
}

// amountPattern finds number, currency and interval in a formatted price: "1,400.00 EUR / month".
var amountPattern = regexp.MustCompile(`^([0-9][0-9,]*(?:\.[0-9]+)?) ([A-Z]{3})(.*)$`)

// percent returns by how much an amount changes: "+50%". It is empty unless both are one amount of the same currency
// and interval, and the old one is not 0.
func percent(before, after string) string {
	b, a := amountPattern.FindStringSubmatch(before), amountPattern.FindStringSubmatch(after)
	if b == nil || a == nil || b[2] != a[2] || b[3] != a[3] {
		return ""
	}
	was, ok1 := new(big.Rat).SetString(strings.ReplaceAll(b[1], ",", ""))
	is, ok2 := new(big.Rat).SetString(strings.ReplaceAll(a[1], ",", ""))
	if !ok1 || !ok2 || was.Sign() == 0 {
		return ""
	}
	share := new(big.Rat).Quo(new(big.Rat).Sub(is, was), was)
	share.Mul(share, big.NewRat(100, 1))
	digits := 0
	if new(big.Rat).Abs(share).Cmp(big.NewRat(10, 1)) < 0 {
		// Small shares have a digit more, so that 0.5% does not look like none.
		digits = 1
	}
	text := share.FloatString(digits)
	if share.Sign() > 0 {
		text = "+" + text
	}
	return strings.Replace(text, "-", "−", 1) + "%"
}

// usage returns how many subscriptions and payment links use a price: "12 subscriptions, 1 payment link". A count that
// is not known is "unknown".
func usage(u *meshv1.PriceUsage) string {
	return usageCount(u.GetSubscriptions(), "subscription", "subscriptions") + ", " +
		usageCount(u.GetPaymentLinks(), "payment link", "payment links")
}

func usageCount(c *meshv1.UsageCount, one, many string) string {
	if c == nil || c.Count == nil {
		return many + " unknown"
	}
	text := view.Many(uint64(c.GetCount()), one, many)
	if c.GetMore() {
		return "at least " + text
	}
	return text
}

// decidableRules returns the rules whose changes the visitor may decide, none for others.
func decidableRules(ctx context.Context, products []*controlv1.ProductPlan) []string {
	if !view.Can(ctx, auth.Approve) {
		return nil
	}
	return heldRules(products)
}

// heldRules returns the rules that hold products of the page, in the order in which the page shows them.
func heldRules(products []*controlv1.ProductPlan) []string {
	var out []string
	seen := map[string]bool{}
	for _, p := range products {
		for _, f := range p.GetHold().GetFindings() {
			if p.GetHeld() && !seen[f.GetRule()] {
				seen[f.GetRule()] = true
				out = append(out, f.GetRule())
			}
		}
	}
	return out
}

// hasUndecided reports whether the page has a held change that is not approved.
func hasUndecided(products []*controlv1.ProductPlan) bool {
	for _, p := range products {
		if p.GetHeld() && !p.GetHold().GetApproved() {
			return true
		}
	}
	return false
}

// finding returns why a rule holds a change. It names the price, unless the rule's message does.
func finding(f *catalogv1.Finding) string {
	text := f.GetMessage()
	if f.GetPriceId() != "" && !strings.Contains(text, f.GetPriceId()) {
		text = "price " + f.GetPriceId() + ": " + text
	}
	return text
}
