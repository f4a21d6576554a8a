// Package validation says whether Stripe would accept a product: the contract's annotations and the rules between
// fields, in one list and in words.
package validation

import (
	"errors"
	"fmt"
	"slices"

	"buf.build/go/protovalidate"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/catalog"
)

// Validator checks products. Safe for concurrent use.
type Validator struct{ annotations protovalidate.Validator }

// New compiles the contract's annotations.
func New() (*Validator, error) {
	v, err := protovalidate.New(protovalidate.WithMessages(&catalogv1.Product{}), protovalidate.WithDisableLazy())
	if err != nil {
		return nil, fmt.Errorf("compile the annotations of the contract: %w", err)
	}
	return &Validator{v}, nil
}

// Product returns every way in which a product breaks Stripe's rules, in the order of the fields' paths; none if
// Stripe would take it.
func (v *Validator) Product(p *catalogv1.Product) []catalog.Violation {
	out := append(v.annotated(p), catalog.Validate(p)...)
	slices.SortStableFunc(out, func(a, b catalog.Violation) int { return comparePaths(a.Field, b.Field) })
	return slices.Compact(out)
}

// annotated are the violations of the annotations.
func (v *Validator) annotated(p *catalogv1.Product) []catalog.Violation {
	err := v.annotations.Validate(p)
	if err == nil {
		return nil
	}
	refused, ok := errors.AsType[*protovalidate.ValidationError](err)
	if !ok {
		return []catalog.Violation{{Message: err.Error()}}
	}
	var out []catalog.Violation
	for i, violation := range refused.Violations {
		if i > 0 && emptied(refused.Violations[i-1], violation) {
			continue
		}
		if message := words(violation); message != "" {
			out = append(out, catalog.Violation{Field: path(p, violation.Proto.GetField()), Message: message})
		}
	}
	return out
}
