package pull

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/budget"
	"github.com/driftless-sync/driftless/services/catalog"
	"github.com/driftless-sync/driftless/services/mesh"
	"github.com/driftless-sync/driftless/services/stripeapi"
)

// reportEvery is how often a running scan says how far it is.
const reportEvery = time.Second

// command handles an order; the only one for pull is to scan.
func (p *puller) command(ctx context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
	if msg.Body.GetScan() == nil {
		return mesh.Dead(&meshv1.DeadLetter{
			Account: msg.Body.GetAccount(), ProductId: "unknown", Reason: mesh.ReasonUndecodable,
			Message: fmt.Sprintf("pull does not know the command on %s", msg.Subject),
		})
	}
	s := &scan{puller: p, report: &meshv1.ScanReport{Id: msg.Body.GetId(), StartedAt: timestamppb.Now()}, products: map[string]bool{}, prices: map[string]bool{}}
	err := s.run(budget.InLane(ctx, budget.Bulk))
	if err != nil {
		s.report.Error = err.Error()
		if errors.Is(err, errAllowance) {
			// Not again and again: the next scan is for when there are reads left.
			p.logger.ErrorContext(ctx, "scan given up", "scan", msg.Body.GetId(), "error", err)
			if err := s.save(ctx); err != nil {
				return mesh.Retry(err)
			}
			return mesh.Ack()
		}
		if stripeapi.Classify(err).Action == stripeapi.Halt {
			p.logger.ErrorContext(ctx, "Stripe does not let pull scan; check STRIPE_API_KEY and its permissions", "error", err)
		}
		_ = s.save(ctx)
		return mesh.Retry(err)
	}
	return mesh.Ack()
}

// errAllowance: the reads that Stripe allows are needed for what cannot wait.
var errAllowance = errors.New("scans stop at nine tenths of Stripe's read allowance")

// allowed says whether the scan may go on reading.
func (s *scan) allowed(ctx context.Context) error {
	made, allowed, err := s.budget.Reads(ctx)
	if err != nil {
		return err
	}
	if allowed > 0 && made >= allowed/10*9 {
		return fmt.Errorf("%d of %d reads of 30 days are used up: %w; if Stripe allows the account more (500 for each of its transactions), set STRIPE_READ_ALLOWANCE",
			made, allowed, errAllowance)
	}
	return nil
}

// scan reads everything Stripe holds and corrects what is known.
type scan struct {
	*puller
	report *meshv1.ScanReport
	saved  time.Time
	// products and prices are the ids that Stripe listed.
	products, prices map[string]bool
}

func (s *scan) run(ctx context.Context) error {
	s.logger.InfoContext(ctx, "scan started", "scan", s.report.GetId())
	if err := errors.Join(s.save(ctx), s.allowed(ctx)); err != nil {
		return err
	}
	// Archived objects are listed apart: the unfiltered list may leave them out.
	for _, active := range []bool{true, false} {
		for sighting, err := range s.stripe.ListProducts(ctx, active) {
			if err != nil {
				return err
			}
			if err := s.product(ctx, sighting); err != nil {
				return err
			}
		}
	}
	for _, active := range []bool{true, false} {
		for listed, err := range s.stripe.ListPrices(ctx, active, "") {
			if err != nil {
				return err
			}
			if err := s.price(ctx, listed); err != nil {
				return err
			}
		}
	}
	if err := s.unlisted(ctx); err != nil {
		return err
	}
	s.report.FinishedAt = timestamppb.Now()
	s.logger.InfoContext(ctx, "scan finished", "scan", s.report.GetId(), "products", s.report.GetProducts(), "prices", s.report.GetPrices(),
		"corrected", s.report.GetCorrected(), "missing", s.report.GetMissing(), "took", s.report.GetFinishedAt().AsTime().Sub(s.report.GetStartedAt().AsTime()))
	return s.save(ctx)
}

func (s *scan) product(ctx context.Context, sighting catalog.ProductSighting) error {
	id := sighting.Product.GetId()
	s.products[id] = true
	s.report.Products++
	// A list is a moment in the past by the time it is read, like an event.
	sighting.Fetched = false
	return s.correct(ctx, id, id, func(o *catalogv1.Observed) catalog.Order { return catalog.ObserveProduct(o, sighting) })
}

func (s *scan) price(ctx context.Context, listed stripeapi.ListedPrice) error {
	s.prices[listed.StripeID] = true
	s.report.Prices++
	sighting := listed.PriceSighting
	sighting.Fetched = false
	return s.correct(ctx, listed.ProductID, sighting.StripeID, func(o *catalogv1.Observed) catalog.Order { return catalog.ObservePrice(o, sighting) })
}

// correct takes a sighting into what is known of a product, or fetches the object if their order cannot be told.
func (s *scan) correct(ctx context.Context, product, object string, apply func(*catalogv1.Observed) catalog.Order) error {
	var order catalog.Order
	_, err := s.mesh.Observed().Update(ctx, s.account, product, func(o *catalogv1.Observed) error {
		switch order = apply(o); order {
		case catalog.Unchanged:
			return mesh.ErrNoChange
		case catalog.Unordered:
			return errUnordered
		default:
			return nil
		}
	})
	if errors.Is(err, errUnordered) {
		err = s.refresh(ctx, product, object, func(*catalogv1.Observed) {})
	}
	if errors.Is(err, mesh.ErrTooLarge) {
		// One product must not end the scan of all.
		return s.mesh.DeadLetter(ctx, &meshv1.DeadLetter{
			Service: mesh.Pull, Account: s.account, ProductId: product, Reason: mesh.ReasonExhausted, Message: err.Error(), Attempts: 1,
		})
	}
	if err != nil {
		return err
	}
	if order != catalog.Unchanged {
		s.report.Corrected++
	}
	return s.progress(ctx)
}

// unlisted asks for every object that is known and was not listed: it may be gone, or have been made or moved
// between the lists while they were read.
func (s *scan) unlisted(ctx context.Context) error {
	for o, err := range s.mesh.Observed().All(ctx, s.account) {
		if err != nil {
			return err
		}
		if o.GetProduct() == nil {
			continue
		}
		id := o.GetProductId()
		if !s.products[id] {
			if err := s.refresh(ctx, id, id, func(after *catalogv1.Observed) {
				if after.GetProduct() == nil {
					s.report.Missing++
				}
			}); err != nil {
				return err
			}
			continue
		}
		for _, price := range o.GetPrices() {
			if s.prices[price.GetStripeId()] {
				continue
			}
			if err := s.refresh(ctx, id, price.GetStripeId(), func(*catalogv1.Observed) {}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *scan) progress(ctx context.Context) error {
	if time.Since(s.saved) < reportEvery {
		return nil
	}
	return errors.Join(s.save(ctx), s.allowed(ctx))
}

func (s *scan) save(ctx context.Context) error {
	s.saved = time.Now()
	return s.mesh.Cursor("scan."+s.account).Put(ctx, s.report)
}
