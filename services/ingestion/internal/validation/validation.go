// Package validation checks whether Stripe would accept a product. It combines the contract's annotations with the
// rules between fields, and returns one list of readable violations.
package validation

import (
	"errors"
	"fmt"
	"slices"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Validator checks products. Safe for concurrent use.
type Validator struct{ annotations protovalidate.Validator }

// New compiles the contract's annotations.
func New() (*Validator, error) {
	v, err := protovalidate.New(protovalidate.WithMessages(&catalogv1.Product{}, &catalogv1.Price{}),
		protovalidate.WithDisableLazy())
	if err != nil {
		return nil, fmt.Errorf("compile the annotations of the contract: %w", err)
	}
	return &Validator{v}, nil
}

// Product returns the violations of Stripe's rules, sorted by the fields' paths. There are none if Stripe would accept
// the product. It stops after more than catalog.MaxViolations, and then returns one more.
func (v *Validator) Product(p *catalogv1.Product) []catalog.Violation {
	out := catalog.Oversized(p)
	if len(out) == 0 {
		out = append(v.annotationViolations(p), catalog.Validate(p)...)
	}
	slices.SortStableFunc(out, func(a, b catalog.Violation) int { return comparePaths(a.Field, b.Field) })
	out = slices.Compact(out)
	return out[:min(len(out), catalog.MaxViolations+1)]
}

// annotationViolations returns the violations of the annotations. It checks prices one by one, because the library
// collects all violations of a message, and a product may have any number of prices.
func (v *Validator) annotationViolations(p *catalogv1.Product) []catalog.Violation {
	out := v.messageViolations(withoutPrices(p), "")
	for i, price := range p.GetPrices() {
		if len(out) > catalog.MaxViolations {
			break
		}
		out = append(out, v.messageViolations(price, catalog.PricePath(p, i))...)
	}
	return out
}

// withoutPrices returns the product with the same values in its other fields.
func withoutPrices(p *catalogv1.Product) *catalogv1.Product {
	out := &catalogv1.Product{}
	m := out.ProtoReflect()
	p.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if f.Name() != "prices" {
			m.Set(f, value)
		}
		return true
	})
	return out
}

// messageViolations returns the violations of a message at a path, which is "" for a product.
func (v *Validator) messageViolations(m proto.Message, at string) []catalog.Violation {
	err := v.annotations.Validate(m)
	if err == nil {
		return nil
	}
	refused, ok := errors.AsType[*protovalidate.ValidationError](err)
	if !ok {
		return []catalog.Violation{{Field: at, Message: err.Error()}}
	}
	var out []catalog.Violation
	for i, violation := range refused.Violations {
		if i > 0 && isRepeated(refused.Violations[i-1], violation) {
			continue
		}
		if message := describe(violation); message != "" {
			out = append(out, catalog.Violation{Field: fieldPath(at, violation.Proto.GetField()), Message: message})
		}
	}
	return out
}
