package control

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/adoption"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// maxAdoptable is how many products without a link a plan of adoptions may have, of both sides together, and
// maxAdoptablePrices how many prices. BenchmarkPlanAdoption measures the memory that the largest plan needs.
const (
	maxAdoptable       = 100_000
	maxAdoptablePrices = 1_000_000
)

// PlanAdoption returns the matches of products of the catalog with products that Stripe already has.
func (c control) PlanAdoption(ctx context.Context,
	req *connect.Request[controlv1.PlanAdoptionRequest],
) (*connect.Response[controlv1.PlanAdoptionResponse], error) {
	for _, doubt := range req.Msg.GetDoubts() {
		if !slices.Contains(adoption.Doubts, adoption.Doubt(doubt)) {
			return nil, invalid("doubts: %q is none of the doubts", doubt)
		}
	}
	key := cmp.Or(req.Msg.GetMetadataKey(), adoption.DefaultMetadataKey)
	out := &controlv1.PlanAdoptionResponse{Account: c.Account, MetadataKey: key}
	creations, err := c.Stores.CreationsHeld(c.Account).GetString(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	out.CreationsHeld = creations != ""
	if out.Scan, err = c.View.LastScan(ctx); err != nil {
		return nil, unavailable(err)
	}
	if out.Unknown, err = c.adoptionUnknown(ctx, out.GetScan()); err != nil {
		return nil, unavailable(err)
	}
	if out.GetUnknown() != "" {
		return connect.NewResponse(out), nil
	}
	plan, err := c.adoptions.get(ctx, key, c.planAdoption)
	if err != nil {
		return nil, err
	}
	if out.Unknown = plan.unknown; out.GetUnknown() == "" {
		plan.addTo(out, req.Msg)
	}
	return connect.NewResponse(out), nil
}

// adoptionUnknown returns why the ledger does not have the whole catalog and everything that a scan has found, or "".
// Once it had, what comes later is of single products, and is seen when they are adopted.
func (c control) adoptionUnknown(ctx context.Context, scan *meshv1.ScanReport) (string, error) {
	switch {
	case scan == nil:
		return "it is unknown what Stripe has: Stripe was never scanned", nil
	case scan.GetError() != "":
		return "it is unknown what Stripe has: the latest scan failed: " + scan.GetError(), nil
	case scan.GetFinishedAt() == nil:
		return "a scan of Stripe runs, and what Stripe has is known when it ends", nil
	}
	if unknown, err := c.View.LedgerUnknown(ctx); err != nil || unknown != "" {
		return unknown, err
	}
	if c.adoptions.isRead(scan.GetId()) {
		return "", nil
	}
	var capture meshv1.CaptureReport
	if _, err := c.Stores.Capture(c.Account).Get(ctx, &capture); err != nil {
		return "", err
	}
	if capture.GetCapturedUpTo() == nil {
		return "it is unknown what the catalog has: ingestion has not read all of it yet", nil
	}
	consumers, err := c.Mesh.Consumers(ctx)
	if err != nil {
		return "", err
	}
	behind := uint64(0)
	for _, consumer := range consumers {
		if consumer.Name == topology.Reconciliation {
			behind += consumer.Pending + consumer.InFlight
		}
	}
	switch behind {
	case 0:
		c.adoptions.setRead(scan.GetId())
		return "", nil
	case 1:
		return "reconciliation must read 1 more message before the matches can be trusted", nil
	}
	return fmt.Sprintf("reconciliation must read %d more messages before the matches can be trusted", behind), nil
}

// adoptionPlan is all matches.
type adoptionPlan struct {
	// unknown is why the ledger that they were made from lacked something, empty if it did not.
	unknown string
	at      *timestamppb.Timestamp
	matches []*controlv1.AdoptionMatch
	// products and stripe count the products without a link.
	products, stripe uint64
}

// planAdoption matches all products without a link.
func (c control) planAdoption(ctx context.Context, key string) (*adoptionPlan, error) {
	plan := &adoptionPlan{at: timestamppb.New(c.Now())}
	wanted, existing, err := c.unlinked(ctx, key)
	if err != nil {
		return nil, err
	}
	plan.products, plan.stripe = uint64(len(wanted)), uint64(len(existing))
	for page := range slices.Chunk(adoption.Matches(wanted, existing), listPage/2) {
		var ids []string
		for _, m := range page {
			ids = append(ids, m.Product)
			if m.StripeID != "" {
				ids = append(ids, m.StripeID)
			}
		}
		found, err := c.readProducts(ctx, distinct(ids))
		if err != nil {
			return nil, err
		}
		for _, m := range page {
			pair := pairOf(adoption.Entry{Product: m.Product, Stripe: m.StripeID}, found)
			if pair.Change.GetProduct() == nil || m.StripeID != "" && pair.Held.GetProduct() == nil {
				// It has disappeared meanwhile.
				continue
			}
			plan.matches = append(plan.matches, matchOf(adoption.Propose(m, pair.Change, pair.Held),
				pair.Change.GetProduct().GetName(), pair.Held.GetProduct().GetName()))
		}
	}
	// The ledger may have been replaced meanwhile.
	if plan.unknown, err = c.View.LedgerUnknown(ctx); err != nil {
		return nil, unavailable(err)
	}
	return plan, nil
}

// errManyAdoptable is the error of a plan that would need too much memory.
var errManyAdoptable = fmt.Errorf("more than %d products of the catalog and Stripe, or more than %d of their "+
	"prices, have no link to the other side: use `driftless adopt plan`, which has no limit", maxAdoptable,
	maxAdoptablePrices)

// isPlannable reports whether a plan of so many products and prices fits into memory.
func isPlannable(products, prices int) bool {
	return products <= maxAdoptable && prices <= maxAdoptablePrices
}

// unlinked reads the products of the catalog, and those in Stripe, that have no link to the other side.
func (c control) unlinked(ctx context.Context, key string) (wanted []adoption.Wanted, existing []adoption.Existing,
	err error,
) {
	prices := 0
	for filter := (ledger.ListFilter{}); ; {
		next, err := c.Ledger.List(ctx, filter, listPage, func(p *ledger.Product) {
			if !adoptable(p) {
				return
			}
			if p.Desired != nil {
				wanted = append(wanted, adoption.WantedOf(p.Desired, key))
				prices += len(p.Desired.GetProduct().GetPrices())
			}
			if p.Observed.GetProduct() != nil {
				existing = append(existing, adoption.ExistingOf(p.Observed, key))
				prices += len(p.Observed.GetPrices())
			}
		})
		if err != nil {
			return nil, nil, unavailable(err)
		}
		if !isPlannable(len(wanted)+len(existing), prices) {
			return nil, nil, connect.NewError(connect.CodeFailedPrecondition, errManyAdoptable)
		}
		if filter.After = next; next == "" {
			return wanted, existing, nil
		}
	}
}

// addTo adds the counts and the requested matches to an answer.
func (p *adoptionPlan) addTo(out *controlv1.PlanAdoptionResponse, req *controlv1.PlanAdoptionRequest) {
	out.PlannedAt, out.CatalogProducts, out.StripeProducts = p.at, p.products, p.stripe
	limit := int(cmp.Or(req.GetLimit(), defaultLimit))
	counts := map[string]uint64{}
	for _, m := range p.matches {
		kinds := doubtsOf(m)
		for _, kind := range kinds {
			counts[kind]++
		}
		if len(kinds) == 0 {
			out.Certain++
		} else {
			out.Doubtful++
		}
		if !selects(req, m, kinds) {
			continue
		}
		out.Selected++
		switch {
		case m.GetProductId() <= req.GetAfter():
		case len(out.GetMatches()) < limit:
			out.Matches = append(out.Matches, m)
		case out.GetNext() == "":
			out.Next = out.GetMatches()[limit-1].GetProductId()
		}
	}
	for _, doubt := range adoption.Doubts {
		if n := counts[string(doubt)]; n > 0 {
			out.Doubts = append(out.Doubts, &controlv1.DoubtCount{Doubt: string(doubt), Count: n})
		}
	}
}

// doubtsOf returns the kinds of the doubts about a match, each once.
func doubtsOf(m *controlv1.AdoptionMatch) []string {
	var out []string
	for _, d := range m.GetDoubts() {
		if !slices.Contains(out, d.GetDoubt()) {
			out = append(out, d.GetDoubt())
		}
	}
	return out
}

// selects reports whether a request asks for a match with these doubts.
func selects(req *controlv1.PlanAdoptionRequest, m *controlv1.AdoptionMatch, doubts []string) bool {
	if req.GetCertain() && len(doubts) > 0 {
		return false
	}
	if len(req.GetDoubts()) > 0 &&
		!slices.ContainsFunc(doubts, func(d string) bool { return slices.Contains(req.GetDoubts(), d) }) {
		return false
	}
	if req.GetSearch() == "" {
		return true
	}
	text := strings.ToLower(req.GetSearch())
	return slices.ContainsFunc(
		slices.Concat([]string{m.GetProductId(), m.GetName(), m.GetStripeId(), m.GetStripeName()}, m.GetCandidates()),
		func(s string) bool { return strings.Contains(strings.ToLower(s), text) })
}
