package plan_test

import (
	"errors"
	"net/http"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

const productID = "prod"

// shop is a Stripe account with Stripe's memory of idempotency keys, and the state that OBSERVED has of its product.
type shop struct {
	stripe   *catalogtest.Stripe
	answers  map[string]answer
	observed *catalogv1.Observed
	now      time.Time
	// refuses reports whether Stripe refuses a call for good. Nil refuses none.
	refuses func(catalog.Step) bool
}

type answer struct {
	*stripeapi.Applied
	step catalog.Step
	at   time.Time
}

func newShop() *shop {
	return &shop{
		stripe:   &catalogtest.Stripe{},
		answers:  map[string]answer{},
		observed: &catalogv1.Observed{Account: "default", ProductId: productID},
		now:      time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
	}
}

// fate is what happens to a call.
type fate string

const (
	succeeds fate = "succeeds"
	// refusedBefore: Stripe refuses it for the rate of calls. It has no effect.
	refusedBefore fate = "refused before"
	// answerLost: Stripe executes it, and the answer is lost.
	answerLost fate = "answer lost"
	// pushDies: Stripe executes it, and nothing is recorded.
	pushDies fate = "push dies"
)

// execute makes a call. A key that was used before is answered from memory, for 24 hours.
func (s *shop) execute(t require.TestingT, step catalog.Step, key string) *stripeapi.Applied {
	if before, ok := s.answers[key]; ok && s.now.Sub(before.at) < 24*time.Hour {
		require.Equal(t, []any{before.step.Kind, before.step.StripePriceID, before.step.Params},
			[]any{step.Kind, step.StripePriceID, step.Params}, "Stripe refuses a key that was used for another call")
		replayed := *before.Applied
		replayed.Replayed = true
		return &replayed
	}
	object := step.StripeProduct()
	if step.Kind == catalog.UpdatePrice {
		object = step.StripePriceID
	}
	id, err := s.stripe.Call(step.Kind, object, step.Params...)
	require.NoError(t, err, "%s %v", step, step.Params)
	a := &stripeapi.Applied{ObjectID: id}
	switch step.Kind {
	case catalog.CreateProduct, catalog.UpdateProduct:
		a.Product = new(s.stripe.Product(id))
		if step.PriceID != "" {
			a.Price = new(s.stripe.Price(a.Product.Product.GetDefaultPrice()))
		}
	case catalog.CreatePrice, catalog.UpdatePrice:
		a.Price = new(s.stripe.Price(id))
	}
	s.answers[key] = answer{a, step, s.now}
	return a
}

// call makes the calls of a plan. fateOf is asked for each. It returns false if push has died.
func (s *shop) call(t require.TestingT, pl *plan.Plan, fateOf func() fate) (r plan.Results, alive bool) {
	created := plan.CreatedPrices{}
	for i, c := range pl.Calls {
		step := created.Resolve(c.Step)
		failed := &plan.Failed{
			Step: step, Index: i,
			Failure: &stripeapi.Failure{Action: stripeapi.RetrySameKey, Err: errors.New("no answer")},
		}
		if s.refuses != nil && s.refuses(step) {
			failed.Failure = &stripeapi.Failure{
				Action: stripeapi.Refuse, OutcomeKnown: true, Status: http.StatusBadRequest,
				Err: errors.New("refused"),
			}
			r.Failed = failed
			return r, true
		}
		switch fateOf() {
		case succeeds:
			done := s.execute(t, step, c.Key)
			created.Add(step, done)
			r.Done = append(r.Done, plan.Done{Step: step, Key: c.Key, Applied: done})
		case refusedBefore:
			failed.Status, failed.NotExecuted = http.StatusTooManyRequests, true
			r.Failed = failed
			return r, true
		case answerLost:
			s.execute(t, step, c.Key)
			r.Failed = failed
			return r, true
		case pushDies:
			s.execute(t, step, c.Key)
			return r, false
		}
	}
	return r, true
}

// decide decides as push does, with a reread if it is wanted.
func (s *shop) decide(p *plan.Planner, req plan.Request) plan.Decision {
	d := p.Decide(req, plan.Seen{Observed: s.observed, At: s.now})
	if d.Action == plan.Reread {
		read := plan.Read{All: true}
		read.Product, read.Prices = s.stripe.Whole(productID)
		d = p.Decide(req, plan.Seen{Observed: plan.RecordReread(s.observed, read, s.now), At: s.now, Reread: true})
	}
	return d
}

// round makes a round as push does: claim, call, record. It returns the decision.
func (s *shop) round(t require.TestingT, p *plan.Planner, req plan.Request, fateOf func() fate) plan.Decision {
	d := s.decide(p, req)
	if d.Plan == nil {
		return d
	}
	s.observed = proto.CloneOf(d.Plan.State)
	if d.Action == plan.Call {
		if r, alive := s.call(t, d.Plan, fateOf); alive {
			require.Equal(t, plan.Released, p.Record(s.observed, req, d.Plan, r))
		}
	}
	return d
}

func always() fate { return succeeds }

// anyFate draws what happens to a call.
func anyFate(t *rapid.T) func() fate {
	return func() fate {
		return rapid.SampledFrom([]fate{succeeds, succeeds, succeeds, refusedBefore, answerLost, pushDies}).Draw(t,
			"fate")
	}
}

// planner returns the planner of one of several processes.
func planner(holder string) *plan.Planner { return &plan.Planner{Account: "default", Holder: holder} }

// want returns a request for a version of a state.
func want(change *catalogv1.ProductChange, version uint64) plan.Request {
	c := proto.CloneOf(change)
	c.Account, c.Version = "default", version
	return plan.Request{Change: c, Force: true, Traceparent: "trace"}
}

// withHistory returns a shop whose product has a history of edits in the catalog and in the dashboard, and a request
// for one more edit.
func withHistory(t *rapid.T) (*shop, plan.Request) {
	s, change := newShop(), catalogtest.Change(productID).Draw(t, "first")
	version := uint64(1)
	for range rapid.IntRange(0, 3).Draw(t, "past") {
		s.round(t, planner("past"), want(change, version), always)
		if rapid.IntRange(0, 3).Draw(t, "dashboard") == 0 {
			catalogtest.Dashboard(t, s.stripe, productID)
			s.observed.Stale = true
		}
		change, version = catalogtest.Edit(t, change), version+1
	}
	return s, want(change, version)
}
