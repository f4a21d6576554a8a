package catalogtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// RefusedError is Stripe's answer to a call that breaks one of its rules. The call changed nothing.
type RefusedError struct{ Message string }

func (e *RefusedError) Error() string { return "Stripe refuses: " + e.Message }

func refuse(format string, args ...any) error {
	return &RefusedError{fmt.Sprintf(format, args...)}
}

// Stripe is a model of the products and prices of one Stripe account. The zero value is an empty account.
type Stripe struct {
	// ZeroTiers makes a tier with one kind of amount return zero for the other kind. Without it, the other amount is
	// absent.
	ZeroTiers bool

	now      int64
	products map[string]*product
	prices   []*price
	// managed are the metadata keys that Driftless wrote, by the id of the object.
	managed map[string][]string
}

type product struct {
	*catalogv1.Product
	updated int64
}

type price struct {
	*catalogv1.Price
	id, product string
	created     int64
}

// epoch is the second of Stripe's clock before the first call.
const epoch = 1_700_000_000

// Clone returns an equal account that shares nothing with this one.
func (s *Stripe) Clone() *Stripe {
	c := &Stripe{ZeroTiers: s.ZeroTiers, now: s.now, products: map[string]*product{}, managed: map[string][]string{}}
	for id, p := range s.products {
		c.products[id] = &product{proto.CloneOf(p.Product), p.updated}
	}
	for _, p := range s.prices {
		c.prices = append(c.prices, &price{proto.CloneOf(p.Price), p.id, p.product, p.created})
	}
	for id, keys := range s.managed {
		c.managed[id] = slices.Clone(keys)
	}
	return c
}

// Pass applies steps in order, as push does, and resolves references to prices that earlier steps create. It returns
// how many succeeded, and Stripe's refusal of the next one, if any.
func (s *Stripe) Pass(steps []catalog.Step) (done int, err error) {
	created := map[string]string{}
	for i, step := range steps {
		id, err := s.apply(step, created)
		if err != nil {
			return i, fmt.Errorf("%s %v: %w", step, step.Params, err)
		}
		switch step.Kind {
		case catalog.CreatePrice:
			created[step.PriceID] = id
		case catalog.CreateProduct:
			created[step.PriceID] = s.products[id].GetDefaultPrice()
		case catalog.UpdateProduct, catalog.UpdatePrice:
		}
	}
	return len(steps), nil
}

func (s *Stripe) apply(step catalog.Step, created map[string]string) (id string, err error) {
	if !slices.IsSortedFunc(step.Params, func(a, b catalog.Param) int { return strings.Compare(a.Name, b.Name) }) {
		return "", errors.New("the parameters are not in the order of their names")
	}
	params := make([]catalog.Param, len(step.Params))
	for i, p := range step.Params {
		if p.PriceRef != "" {
			stripeID, ok := created[p.PriceRef]
			if !ok {
				return "", fmt.Errorf("%s refers to price %s, which no step before created", p.Name, p.PriceRef)
			}
			p = catalog.Param{Name: p.Name, Value: stripeID}
		}
		params[i] = p
	}
	object := step.ProductID
	if step.Kind == catalog.UpdatePrice {
		if object = step.StripePriceID; object == "" {
			object = created[step.PriceID]
		}
	}
	if id, err = s.Call(step.Kind, object, params...); err != nil {
		return "", err
	}
	if s.managed == nil {
		s.managed = map[string][]string{}
	}
	s.managed[id] = slices.Clone(step.ManagedMetadata)
	if step.Kind == catalog.CreateProduct && step.PriceID != "" {
		s.managed[s.products[id].GetDefaultPrice()] = slices.Clone(step.PriceMetadata)
	}
	return id, nil
}

// Call makes one call, as any client may, and returns the id of the object. object is the id of the product or Stripe's
// id of the price to update. It is ignored when one is created.
func (s *Stripe) Call(kind catalog.StepKind, object string, params ...catalog.Param) (id string, err error) {
	form := &form{values: map[string]string{}}
	for _, p := range params {
		if _, twice := form.values[p.Name]; twice {
			return "", refuse("%s is given twice", p.Name)
		}
		form.values[p.Name] = p.Value
	}
	s.now++
	if err := form.checkForms(); err != nil {
		return "", err
	}
	switch kind {
	case catalog.CreateProduct:
		id, err = s.createProduct(form)
	case catalog.UpdateProduct:
		id, err = s.updateProduct(object, form)
	case catalog.CreatePrice:
		id, err = s.createPrice(form)
	case catalog.UpdatePrice:
		id, err = s.updatePrice(object, form)
	default:
		err = refuse("there is no such operation: %s", kind)
	}
	return id, err
}

// Operations that only people make, in the dashboard.

// Whole reads a product and all its prices, latest first.
func (s *Stripe) Whole(id string) (catalog.ProductSighting, []catalog.PriceSighting) {
	var prices []catalog.PriceSighting
	for _, stripeID := range slices.Backward(s.PriceIDs(id)) {
		prices = append(prices, s.Price(stripeID))
	}
	return s.Product(id), prices
}

// Observed returns the state that push would have recorded of a product if it had missed nothing.
func (s *Stripe) Observed(id string) *catalogv1.Observed {
	p, prices := s.Whole(id)
	o := &catalogv1.Observed{ProductId: id, Product: p.Product, ProductUpdated: p.Updated, ProductSeen: p.Seen}
	if p.Product == nil {
		return o
	}
	o.ManagedMetadata = slices.Clone(s.managed[id])
	for _, sighting := range prices {
		o.Prices = append(o.Prices, &catalogv1.ObservedPrice{
			StripeId: sighting.StripeID, Price: sighting.Price, Created: sighting.Created, Seen: sighting.Seen,
			ManagedMetadata: slices.Clone(s.managed[sighting.StripeID]),
		})
	}
	return o
}
