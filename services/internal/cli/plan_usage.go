package cli

import (
	"fmt"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// printUsage writes what uses the prices that a change takes off sale. It names each price if there are several.
func (p *planPrinter) printUsage(indent string, prices []*meshv1.PriceUsage, named bool) {
	for _, u := range prices {
		line := usageLine(u)
		if named {
			line = u.GetPriceId() + ": " + line
		}
		sayf(p, "%s%s\n", indent, line)
	}
}

// usageLine says what uses a price: "used by 100+ subscriptions, 2 payment links". It never shows 0 for an unknown
// number.
func usageLine(u *meshv1.PriceUsage) string {
	subscriptions, links := u.GetSubscriptions(), u.GetPaymentLinks()
	switch {
	case subscriptions.Count == nil && links.Count == nil && subscriptions.GetUnknown() == links.GetUnknown():
		return "uses unknown: " + subscriptions.GetUnknown()
	case subscriptions.Count == nil && links.Count == nil:
		return unknownUses("subscriptions", subscriptions) + "; " + unknownUses("payment links", links)
	case subscriptions.Count == nil:
		return "used by " + linksText(links) + "; " + unknownUses("subscriptions", subscriptions)
	case links.Count == nil:
		return "used by " + subscriptionsText(subscriptions) + "; " + unknownUses("payment links", links)
	default:
		return "used by " + subscriptionsText(subscriptions) + ", " + linksText(links)
	}
}

func unknownUses(objects string, c *meshv1.UsageCount) string {
	return objects + " unknown: " + c.GetUnknown()
}

func subscriptionsText(c *meshv1.UsageCount) string {
	if c.GetMore() {
		return fmt.Sprintf("%d+ subscriptions", c.GetCount())
	}
	return countOf(c.GetCount(), "subscription", "subscriptions")
}

// linksText says "at least", because a payment link that was not read may not sell the price.
func linksText(c *meshv1.UsageCount) string {
	text := countOf(c.GetCount(), "payment link", "payment links")
	if c.GetMore() {
		return "at least " + text
	}
	return text
}
