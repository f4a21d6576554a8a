package pull

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

const (
	// maxLinkPages bounds the pages of 100 payment links that one command reads.
	maxLinkPages = 5
	// maxUsageCalls is how many prices are counted at once.
	maxUsageCalls = 8
	// maxUsageAttempts is how often a failed count is tried. A person waits for the answer, so the reason is then the
	// answer.
	maxUsageAttempts = 3
	// usageLifetime is how long a count is kept. It is asked for again after a minute.
	usageLifetime = 10 * time.Minute
	// maxUsages keeps the record far below NATS' limit of a message.
	maxUsages = 1000
	// maxUnknownRunes bounds the reason of an unknown count.
	maxUnknownRunes = 300

	reasonLowOnReads = "Stripe's read allowance is nearly used up"
)

// readUsage counts what uses prices, and stores it for the person who waits for it.
func (p *puller) readUsage(ctx context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
	command := msg.Body.GetReadUsage()
	now, err := p.mesh.Clock().Now(ctx)
	if err != nil {
		return mesh.Retry(err)
	}
	left := command.GetUntil().AsTime().Sub(now)
	if left <= 0 {
		return mesh.Ack()
	}
	known := &meshv1.Usage{}
	if _, err := p.stores.Usage(p.account).GetAt(ctx, known); err != nil {
		return mesh.Retry(err)
	}
	prices := slices.DeleteFunc(slices.Clone(command.GetPriceIds()), func(id string) bool {
		return isCounted(known.GetPrices()[id], command.GetSince().AsTime())
	})
	if len(prices) == 0 {
		return mesh.Ack()
	}
	counting, cancel := context.WithTimeout(budget.For(ctx, budget.Usages), left)
	defer cancel()
	u := &usageCount{
		puller:  p,
		command: msg.Body.GetId(),
		oneTime: map[string]bool{},
		last:    msg.Attempt >= maxUsageAttempts,
	}
	for _, id := range command.GetOneTimePriceIds() {
		u.oneTime[id] = true
	}
	// What was counted is stored even if the rest failed.
	err = u.countAll(counting, prices)
	if storeErr := p.storeUsage(ctx, u.counted); storeErr != nil {
		return mesh.RetryIn(time.Second, storeErr)
	}
	if err != nil {
		return mesh.RetryIn(mesh.RetryDelay(msg.Attempt), err)
	}
	return mesh.Ack()
}

// isCounted reports whether both numbers were counted since a time.
func isCounted(u *meshv1.PriceUsage, since time.Time) bool {
	return u.GetAsOf() != nil && !u.GetAsOf().AsTime().Before(since) && u.GetSubscriptions().Count != nil &&
		u.GetPaymentLinks().Count != nil
}

// usageCount counts what uses some prices.
type usageCount struct {
	*puller

	// command is the id of the command.
	command string
	oneTime map[string]bool
	// last makes a failure the answer. Otherwise it is returned.
	last bool

	mu      sync.Mutex
	counted []*meshv1.PriceUsage
	// noSubscriptions is why no further subscriptions are counted: the same holds for every price.
	noSubscriptions atomic.Pointer[string]
}

// countAll counts the uses of prices. It returns an error if some are to be counted again.
func (u *usageCount) countAll(ctx context.Context, prices []string) error {
	linksOf, err := u.countLinks(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxUsageCalls)
	for i, id := range prices {
		count := func() error {
			subscriptions, err := u.countSubscriptions(ctx, id)
			if err != nil {
				return err
			}
			at, err := u.mesh.Clock().Now(ctx)
			if err != nil {
				return err
			}
			u.mu.Lock()
			defer u.mu.Unlock()
			u.counted = append(u.counted, &meshv1.PriceUsage{
				PriceId: id, Subscriptions: subscriptions, PaymentLinks: linksOf(id), AsOf: timestamppb.New(at),
				CommandId: u.command,
			})
			return nil
		}
		// The first call shows whether the key may read subscriptions at all.
		if i == 0 {
			if err := count(); err != nil {
				return err
			}
			continue
		}
		g.Go(count)
	}
	return g.Wait()
}

// countLinks returns the count of payment links by price.
func (u *usageCount) countLinks(ctx context.Context) (func(price string) *meshv1.UsageCount, error) {
	low, err := u.lowOnReads(ctx)
	if err != nil {
		return nil, err
	}
	var links stripeapi.PaymentLinkCounts
	unknown := reasonLowOnReads
	if !low {
		links, err = u.stripe.CountPaymentLinks(ctx, maxLinkPages, func() (bool, error) {
			low, err := u.lowOnReads(ctx)
			return !low, err
		})
		if unknown, err = u.reason("payment links", err); err != nil {
			return nil, err
		}
	}
	return func(price string) *meshv1.UsageCount {
		if unknown != "" {
			return &meshv1.UsageCount{Unknown: unknown}
		}
		return usageMessage(links.ForPrice(price))
	}, nil
}

func (u *usageCount) countSubscriptions(ctx context.Context, price string) (*meshv1.UsageCount, error) {
	if u.oneTime[price] {
		return usageMessage(stripeapi.Count{}), nil
	}
	if reason := u.noSubscriptions.Load(); reason != nil {
		return &meshv1.UsageCount{Unknown: *reason}, nil
	}
	low, err := u.lowOnReads(ctx)
	if err != nil {
		return nil, err
	}
	if low {
		return &meshv1.UsageCount{Unknown: reasonLowOnReads}, nil
	}
	n, err := u.stripe.CountSubscriptions(ctx, price)
	halts := err != nil && stripeapi.Classify(err).Action == stripeapi.Halt
	unknown, err := u.reason("subscriptions", err)
	switch {
	case err != nil:
		return nil, err
	case unknown == "":
		return usageMessage(n), nil
	case halts:
		u.noSubscriptions.Store(&unknown)
	}
	return &meshv1.UsageCount{Unknown: unknown}, nil
}

func usageMessage(n stripeapi.Count) *meshv1.UsageCount {
	return &meshv1.UsageCount{Count: proto.Uint32(uint32(n.N)), More: n.More}
}

// permission is the name of a missing permission in Stripe's answer to a restricted key.
var permission = regexp.MustCompile(`\brak_[a-z0-9_]+`)

// reason returns why a count failed, for the person who waits. It returns the error if the count is to be tried again.
func (u *usageCount) reason(objects string, err error) (string, error) {
	if err == nil {
		return "", nil
	}
	f := &stripeapi.Failure{}
	if !errors.As(err, &f) {
		return "", err
	}
	passes := f.Action == stripeapi.RetrySameKey || f.Status >= 500
	switch {
	case stripeapi.IsForbidden(f) && f.Code != "account_invalid":
		reason := "the key may not read " + objects
		if name := permission.FindString(f.Message); name != "" {
			reason += " (" + name + ")"
		}
		return reason, nil
	case u.last || !passes:
		return shortened(f.Error()), nil
	default:
		return "", err
	}
}

func shortened(s string) string {
	if runes := []rune(s); len(runes) > maxUnknownRunes {
		return string(runes[:maxUnknownRunes]) + "..."
	}
	return s
}

// storeUsage adds counts to the record, and drops old ones.
func (p *puller) storeUsage(ctx context.Context, counted []*meshv1.PriceUsage) error {
	for len(counted) > 0 {
		usage := &meshv1.Usage{}
		revision, err := p.stores.Usage(p.account).GetAt(ctx, usage)
		if err != nil {
			return err
		}
		addUsage(usage, counted)
		_, err = p.stores.Usage(p.account).CompareAndPut(ctx, usage, revision)
		if err == nil || !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
	return nil
}

// addUsage adds counts, and drops those that are old or too many.
func addUsage(usage *meshv1.Usage, counted []*meshv1.PriceUsage) {
	if usage.Prices == nil {
		usage.Prices = map[string]*meshv1.PriceUsage{}
	}
	for _, c := range counted {
		usage.Prices[c.GetPriceId()] = c
	}
	latestFirst := slices.SortedFunc(maps.Values(usage.GetPrices()), func(a, b *meshv1.PriceUsage) int {
		return b.GetAsOf().AsTime().Compare(a.GetAsOf().AsTime())
	})
	oldest := latestFirst[0].GetAsOf().AsTime().Add(-usageLifetime)
	for i, c := range latestFirst {
		if i >= maxUsages || c.GetAsOf().AsTime().Before(oldest) {
			delete(usage.GetPrices(), c.GetPriceId())
		}
	}
}
