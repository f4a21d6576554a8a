package stripeapi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/stripe/stripe-go/v76/form"
)

// Count is a number of objects. With More there may be others: not all were read.
type Count struct {
	N    int
	More bool
}

// billedStatuses are the statuses of subscriptions that count. Stripe bills them, or may do so again after a payment or
// a resume. An incomplete one has never been paid, and expires within a day
// (https://docs.stripe.com/billing/subscriptions/overview#subscription-statuses).
var billedStatuses = []string{"active", "trialing", "past_due", "unpaid", "paused"}

// CountSubscriptions counts the subscriptions that have an item with the price and that Stripe bills or may bill again.
// It reads one page, so it counts at most 100.
func (c *Client) CountSubscriptions(ctx context.Context, price string) (Count, error) {
	body := &form.Values{}
	body.Add("price", price)
	body.Add("limit", strconv.Itoa(pageSize))
	// Without a status, Stripe lists all subscriptions that are not canceled.
	a, err := c.read(ctx, "GET /v1/subscriptions", "", body)
	if err != nil {
		return Count{}, fmt.Errorf("list the subscriptions of price %s: %w", price, Classify(err))
	}
	var page struct {
		Data []struct {
			Status string `json:"status"`
		} `json:"data"`
		HasMore bool `json:"has_more"`
	}
	if err := json.Unmarshal(a.body(), &page); err != nil {
		return Count{}, fmt.Errorf("decode Stripe's list of subscriptions: %w", err)
	}
	out := Count{More: page.HasMore}
	for _, s := range page.Data {
		if slices.Contains(billedStatuses, s.Status) {
			out.N++
		}
	}
	return out, nil
}

// PaymentLinkCounts is how many active payment links sell each price, by Stripe's id of the price.
type PaymentLinkCounts struct {
	byPrice map[string]int
	more    bool
}

// ForPrice returns how many links sell a price.
func (l *PaymentLinkCounts) ForPrice(price string) Count { return Count{l.byPrice[price], l.more} }

// paymentLinkJSON is the part of a payment link that is read.
type paymentLinkJSON struct {
	ID        string `json:"id"`
	LineItems struct {
		Data []struct {
			Price *struct {
				ID string `json:"id"`
			} `json:"price"`
		} `json:"data"`
		HasMore bool `json:"has_more"`
	} `json:"line_items"`
}

// CountPaymentLinks counts the active payment links of the account by price. Stripe's list has no filter by price. It
// reads at most maxPages pages of 100 links. Before each further page it calls proceed, and stops if the result is
// false.
func (c *Client) CountPaymentLinks(ctx context.Context, maxPages int,
	proceed func() (bool, error),
) (PaymentLinkCounts, error) {
	out := PaymentLinkCounts{byPrice: map[string]int{}}
	cursor := ""
	for pages := 1; ; pages++ {
		links, more, err := c.listPaymentLinks(ctx, cursor)
		if err != nil {
			return out, err
		}
		for _, link := range links {
			out.add(link)
			cursor = link.ID
		}
		if !more || len(links) == 0 {
			return out, nil
		}
		further := pages < maxPages
		if further {
			if further, err = proceed(); err != nil {
				return out, err
			}
		}
		if !further {
			out.more = true
			return out, nil
		}
	}
}

func (c *Client) listPaymentLinks(ctx context.Context, after string) (links []paymentLinkJSON, more bool, err error) {
	body := &form.Values{}
	body.Add("active", "true")
	body.Add("expand[0]", "data.line_items")
	body.Add("limit", strconv.Itoa(pageSize))
	if after != "" {
		body.Add("starting_after", after)
	}
	a, err := c.read(ctx, "GET /v1/payment_links", "", body)
	if err != nil {
		return nil, false, fmt.Errorf("list payment links: %w", Classify(err))
	}
	var page struct {
		Data    []paymentLinkJSON `json:"data"`
		HasMore bool              `json:"has_more"`
	}
	if err := json.Unmarshal(a.body(), &page); err != nil {
		return nil, false, fmt.Errorf("decode Stripe's list of payment links: %w", err)
	}
	return page.Data, page.HasMore, nil
}

// add counts a link once for each of its prices.
func (l *PaymentLinkCounts) add(link paymentLinkJSON) {
	// The expansion has only the first items.
	l.more = l.more || link.LineItems.HasMore
	seen := map[string]bool{}
	for _, item := range link.LineItems.Data {
		if item.Price != nil && !seen[item.Price.ID] {
			seen[item.Price.ID] = true
			l.byPrice[item.Price.ID]++
		}
	}
}
