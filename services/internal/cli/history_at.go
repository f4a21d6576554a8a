package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// historyAtFlags ask for the past instead of the audit trail.
type historyAtFlags struct {
	At   string `name:"at" placeholder:"TIME" help:"Show what the catalog held at this time: RFC 3339, 2026-11-26 10:00, or a duration ago such as 2h or 3d."`
	Side string `name:"side" enum:"catalog,stripe," default:"" help:"With --at: catalog or stripe. Defaults to both for a product, and to the catalog for all products."`
}

// Help is shown by --help.
func (*historyCmd) Help() string {
	return `Shows the audit trail of a product, latest first. With --at TIME it shows what a side held at that time: one
product in full, or a list of all products.

Past states are known since the ledger first had the whole catalog, and as long as history_retention keeps them. An
earlier time is refused. Stripe's side is shown as Driftless knew it. Exits with 2 if it is unknown whether the answer
has everything up to that time.`
}

// apiSides are the sides as the API names them.
var apiSides = map[string]controlv1.Side{
	"catalog": controlv1.Side_SIDE_CATALOG,
	"stripe":  controlv1.Side_SIDE_STRIPE,
}

// sideNames are the sides in a sentence.
var sideNames = map[string]string{"catalog": "the catalog", "stripe": "Stripe"}

// maxListedPrices is how many prices a line of a list has.
const maxListedPrices = 5

func (cmd *historyCmd) showAt(ctx context.Context, c *cli) error {
	at, err := parseWhen(cmd.At, time.Now())
	if err != nil {
		return fmt.Errorf("--at: %w", err)
	}
	client, err := cmd.control(c)
	if err != nil {
		return reportUnknown(c, err)
	}
	if cmd.Product != "" {
		return cmd.showProductAt(ctx, c, client, at)
	}
	return cmd.listAt(ctx, c, client, at)
}

// showProductAt shows one product in full.
func (cmd *historyCmd) showProductAt(ctx context.Context, c *cli, client controlv1connect.ControlServiceClient,
	at time.Time,
) error {
	all := &controlv1.ListStatesResponse{}
	sides := []string{"catalog", "stripe"}
	if cmd.Side != "" {
		sides = []string{cmd.Side}
	}
	unknown := ""
	for _, side := range sides {
		resp, err := client.ListStates(ctx, connect.NewRequest(&controlv1.ListStatesRequest{
			At: timestamppb.New(at), Side: apiSides[side], ProductIds: []string{cmd.Product},
		}))
		if err != nil {
			return reportUnknown(c, err)
		}
		all.States = append(all.GetStates(), resp.Msg.GetStates()...)
		all.KnownFrom, all.Equality = resp.Msg.GetKnownFrom(), resp.Msg.GetEquality()
		all.Unknown = resp.Msg.GetUnknown()
		if err := unknownProductsError(all.GetUnknown()); err != nil {
			return err
		}
		if why := unknownAt(resp.Msg.GetEquality(), side, at); why != "" {
			unknown = why
		}
		if c.Output != "json" {
			printStateOf(cmd.Product, side, at, resp.Msg.GetStates())
		}
	}
	if c.Output == "json" {
		if err := printJSON(all); err != nil {
			return err
		}
	}
	return sayUnknown(c, unknown)
}

// unknownAt returns why it is unknown whether an answer has everything that a side held at a time, "" if it is known.
func unknownAt(e *controlv1.Equality, side string, at time.Time) string {
	asOf := e.GetAsOf()
	if side == "stripe" {
		asOf = e.GetStripeAsOf()
	}
	if asOf != nil && !at.After(asOf.AsTime()) {
		return ""
	}
	return unknownBecause(e)
}

// sayUnknown ends a command with exit code 2 if something is unknown.
func sayUnknown(c *cli, why string) error {
	if why == "" {
		return nil
	}
	if c.Output != "json" {
		sayf(stdout, "unknown whether that is all: %s.\n", why)
	}
	return errDiffers
}

// printStateOf prints one side of a product in full.
func printStateOf(id, side string, at time.Time, states []*controlv1.PastState) {
	if len(states) == 0 {
		sayf(stdout, "%s: not in %s at %s\n", id, sideNames[side], formatWhen(at, time.DateTime))
		return
	}
	s := states[0]
	sayf(stdout, "%s in %s at %s  (%s)\n", id, sideNames[side], formatWhen(at, time.DateTime), lasted(s))
	product, names := productOf(s)
	bare := &catalogv1.Product{}
	for _, p := range product.GetPrices() {
		bare.Prices = append(bare.Prices, &catalogv1.Price{Id: p.GetId(), Currency: p.GetCurrency()})
	}
	alone := proto.CloneOf(product)
	alone.Prices = nil
	for _, change := range catalog.Changes(nil, alone) {
		sayf(stdout, "    %s: %q\n", change.Field, change.New)
	}
	for i, p := range product.GetPrices() {
		sayf(stdout, "    price %s  %s\n", names[i], catalog.FormatPrice(p))
		one := &catalogv1.Product{Prices: []*catalogv1.Price{p}}
		for _, change := range catalog.Changes(&catalogv1.Product{Prices: bare.GetPrices()[i : i+1]}, one) {
			if field := strings.TrimPrefix(change.Field, "prices."+p.GetId()+"."); !strings.HasPrefix(field,
				"unit_amount") {
				sayf(stdout, "        %s: %q\n", field, change.New)
			}
		}
	}
}

// productOf returns the product of a state, and the names of its prices. Stripe's prices have Stripe's ids.
func productOf(s *controlv1.PastState) (product *catalogv1.Product, names []string) {
	if s.GetCatalog() != nil {
		for _, p := range s.GetCatalog().GetProduct().GetPrices() {
			names = append(names, p.GetId())
		}
		return s.GetCatalog().GetProduct(), names
	}
	product = proto.CloneOf(s.GetStripe().GetProduct())
	prices := slices.Clone(s.GetStripe().GetPrices())
	// Stripe's ids have no order. The price that is on sale comes first.
	slices.SortStableFunc(prices, func(a, b *catalogv1.ObservedPrice) int {
		return cmp.Or(strings.Compare(a.GetPrice().GetId(), b.GetPrice().GetId()),
			inactive(a.GetPrice())-inactive(b.GetPrice()))
	})
	for _, held := range prices {
		price := proto.CloneOf(held.GetPrice())
		if price == nil {
			continue
		}
		names = append(names, priceName(price.GetId(), held.GetStripeId()))
		price.Id = held.GetStripeId()
		product.Prices = append(product.Prices, price)
	}
	return product, names
}

func inactive(p *catalogv1.Price) int {
	if p.Active != nil && !p.GetActive() {
		return 1
	}
	return 0
}

// priceName names a price by the ids that it has: "mug-eur (price_1)".
func priceName(id, stripeID string) string {
	switch {
	case stripeID == "":
		return id
	case id == "":
		return stripeID
	default:
		return id + " (" + stripeID + ")"
	}
}

// lasted says for which versions and how long a state lasted.
func lasted(s *controlv1.PastState) string {
	var words []string
	if s.GetLastVersion() > 0 {
		words = append(words, fmt.Sprintf("version %d", s.GetLastVersion()))
	}
	if s.GetSince().AsTime().Unix() > 0 {
		words = append(words, "since "+formatWhen(s.GetSince().AsTime(), dateMillis))
	}
	if s.GetUntil() != nil {
		words = append(words, "until "+formatWhen(s.GetUntil().AsTime(), dateMillis))
	} else {
		words = append(words, "until now")
	}
	return strings.Join(words, ", ")
}

// listAt lists all products of a side, page by page.
func (cmd *historyCmd) listAt(ctx context.Context, c *cli, client controlv1connect.ControlServiceClient,
	at time.Time,
) error {
	side := cmd.Side
	if side == "" {
		side = "catalog"
	}
	request := &controlv1.ListStatesRequest{At: timestamppb.New(at), Side: apiSides[side]}
	stream := &jsonStream{list: "states"}
	n := uint64(0)
	for {
		resp, err := client.ListStates(ctx, connect.NewRequest(request))
		if err != nil && n == 0 {
			return reportUnknown(c, err)
		} else if err != nil {
			return err
		}
		for _, s := range resp.Msg.GetStates() {
			n++
			if c.Output != "json" {
				printListed(s)
			} else if err := stream.item(s); err != nil {
				return err
			}
		}
		// The order is that of the ledger's collation, so the ids themselves are not compared.
		if next := resp.Msg.GetNext(); isNextPage(next, request.GetAfter()) {
			request.After = next
			continue
		}
		if c.Output == "json" {
			err = stream.end(resp.Msg, "known_from", "equality")
		} else {
			sayf(stdout, "%s in %s at %s. States are known from %s on.\n", countOf(n, "product", "products"),
				sideNames[side], formatWhen(at, time.DateTime),
				formatWhen(resp.Msg.GetKnownFrom().AsTime(), time.DateTime))
		}
		if err != nil {
			return err
		}
		return sayUnknown(c, unknownAt(resp.Msg.GetEquality(), side, at))
	}
}

// printListed prints a product in one line: `mug  "Mug"  14.00 EUR, 16.00 USD`.
func printListed(s *controlv1.PastState) {
	product, _ := productOf(s)
	line := fmt.Sprintf("%s  %q", s.GetProductId(), product.GetName())
	if product.Active != nil && !product.GetActive() {
		line += "  archived"
	}
	var prices []string
	for _, p := range product.GetPrices() {
		if inactive(p) == 0 {
			prices = append(prices, catalog.FormatPrice(p))
		}
	}
	if more := len(prices) - maxListedPrices; more > 0 {
		prices = append(prices[:maxListedPrices], fmt.Sprintf("%d more", more))
	}
	if len(prices) > 0 {
		line += "  " + strings.Join(prices, ", ")
	}
	say(stdout, line)
}
