package control

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/command"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

const (
	// maxUsageAge is how old a count may be.
	maxUsageAge = time.Minute
	// usageTimeout is how long a plan waits for pull to count.
	usageTimeout = 20 * time.Second
	// usagePollInterval is the time between two reads of the record.
	usagePollInterval = 100 * time.Millisecond
	// maxCountedPrices is how many prices one plan counts. Each costs a read of Stripe's allowance.
	maxCountedPrices = 200
)

// usages are the uses of prices that a plan shows, without their numbers until they are filled in.
type usages struct {
	prices  []*meshv1.PriceUsage
	oneTime []string
}

// add adds the prices that a product's plan takes off sale.
func (u *usages) add(planned *controlv1.ProductPlan, p *ledger.Product) {
	for _, change := range p.Outline() {
		i := slices.IndexFunc(planned.GetChanges(), func(c *controlv1.PlannedChange) bool {
			return c.GetVerb() == string(change.Verb) && c.GetPriceId() == change.Price
		})
		if i < 0 {
			continue
		}
		for _, price := range change.Retired {
			usage := &meshv1.PriceUsage{PriceId: price.StripeID}
			planned.Changes[i].Usage = append(planned.Changes[i].Usage, usage)
			u.prices = append(u.prices, usage)
			if !price.Recurring {
				u.oneTime = append(u.oneTime, price.StripeID)
			}
		}
	}
}

// ids returns the distinct ids of the prices that are counted.
func (u *usages) ids() []string {
	ids := make([]string, len(u.prices))
	for i, p := range u.prices {
		ids[i] = p.GetPriceId()
	}
	ids = distinct(ids)
	return ids[:min(len(ids), maxCountedPrices)]
}

// fill sets the numbers of all prices. A price without one gets the reason.
func (u *usages) fill(counted map[string]*meshv1.PriceUsage, otherwise string) {
	ids := u.ids()
	for _, p := range u.prices {
		if c := counted[p.GetPriceId()]; c != nil {
			p.Subscriptions, p.PaymentLinks, p.AsOf = c.GetSubscriptions(), c.GetPaymentLinks(), c.GetAsOf()
			continue
		}
		reason := otherwise
		if !slices.Contains(ids, p.GetPriceId()) {
			reason = fmt.Sprintf("a plan counts the uses of at most %d prices; name products to see theirs", len(ids))
		}
		p.Subscriptions = &meshv1.UsageCount{Unknown: reason}
		p.PaymentLinks = &meshv1.UsageCount{Unknown: reason}
	}
}

// countUsage fills in what uses the prices. It orders pull to count those that were not counted within the last minute,
// and waits for that.
func (c control) countUsage(ctx context.Context, u *usages, paused []*controlv1.PausedService) error {
	ids := u.ids()
	if len(ids) == 0 {
		return nil
	}
	now, err := c.Mesh.Clock().Now(ctx)
	if err != nil {
		return err
	}
	since := now.Add(-maxUsageAge)
	counted, missing, err := c.usage(ctx, ids,
		func(p *meshv1.PriceUsage) bool { return isKnown(p) && isSince(p, since) })
	if err != nil {
		return err
	}
	otherwise := ""
	switch {
	case len(missing) == 0:
	case slices.ContainsFunc(paused, func(p *controlv1.PausedService) bool { return p.GetService() == topology.Pull }):
		otherwise = "pull, which reads Stripe, is paused: `driftless resume pull` resumes it"
	default:
		otherwise = fmt.Sprintf("pull, which reads Stripe, did not answer within %s", usageTimeout)
		until, id := now.Add(usageTimeout), nuid.Next()
		about := command.About{ID: id, Issuer: auth.From(ctx).Name(), Reason: "requested"}
		if err := c.Commands.ReadUsage(ctx, about, &meshv1.ReadUsage{
			PriceIds:        missing,
			OneTimePriceIds: intersection(u.oneTime, missing),
			Since:           timestamppb.New(since),
			Until:           timestamppb.New(until),
		}); err != nil {
			return err
		}
		// A number that stays unknown is an answer to this command, or to a later one of somebody else. The clocks of
		// two processes differ by milliseconds, so the time alone does not tell.
		counted, err = c.awaitUsage(ctx, ids, func(p *meshv1.PriceUsage) bool {
			return isKnown(p) && isSince(p, since) || p.GetCommandId() == id || isSince(p, now)
		})
		if err != nil {
			return err
		}
	}
	u.fill(counted, otherwise)
	return nil
}

// awaitUsage waits until all prices have an answer, at most usageTimeout. It returns those that have one.
func (c control) awaitUsage(ctx context.Context, ids []string,
	isAnswer func(*meshv1.PriceUsage) bool,
) (map[string]*meshv1.PriceUsage, error) {
	timeout := time.NewTimer(usageTimeout)
	defer timeout.Stop()
	tick := time.NewTicker(usagePollInterval)
	defer tick.Stop()
	for {
		counted, missing, err := c.usage(ctx, ids, isAnswer)
		if err != nil || len(missing) == 0 {
			return counted, err
		}
		select {
		case <-tick.C:
		case <-timeout.C:
			return counted, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// usage reads the record of pull. It returns the prices whose entry is an answer, and the ids of the others.
func (c control) usage(ctx context.Context, ids []string,
	isAnswer func(*meshv1.PriceUsage) bool,
) (counted map[string]*meshv1.PriceUsage, missing []string, err error) {
	record := &meshv1.Usage{}
	if _, err := c.Stores.Usage(c.Account).Get(ctx, record); err != nil {
		return nil, nil, err
	}
	counted = map[string]*meshv1.PriceUsage{}
	for _, id := range ids {
		if p := record.GetPrices()[id]; p != nil && isAnswer(p) {
			counted[id] = p
		} else {
			missing = append(missing, id)
		}
	}
	return counted, missing, nil
}

// isKnown reports whether both numbers are known.
func isKnown(p *meshv1.PriceUsage) bool {
	return p.GetSubscriptions().Count != nil && p.GetPaymentLinks().Count != nil
}

// isSince reports whether a price was counted at a time or later.
func isSince(p *meshv1.PriceUsage, at time.Time) bool {
	return p.GetAsOf() != nil && !p.GetAsOf().AsTime().Before(at)
}

// intersection returns the ids of a that b has, without repetitions.
func intersection(a, b []string) []string {
	return slices.DeleteFunc(distinct(a), func(id string) bool { return !slices.Contains(b, id) })
}
