// Package validation says whether Stripe would accept a product: the contract's annotations and the rules between
// fields, in one list.
package validation

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"

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
	out := v.annotated(p)
	out = append(out, catalog.Validate(p)...)
	slices.SortStableFunc(out, func(a, b catalog.Violation) int { return strings.Compare(a.Field, b.Field) })
	// A currency, say, can be wrong by its form and unknown too; one word on a field is enough.
	return slices.CompactFunc(out, func(a, b catalog.Violation) bool { return a.Field == b.Field })
}

func (v *Validator) annotated(m proto.Message) []catalog.Violation {
	err := v.annotations.Validate(m)
	if err == nil {
		return nil
	}
	refused, ok := errors.AsType[*protovalidate.ValidationError](err)
	if !ok {
		return []catalog.Violation{{Message: err.Error()}}
	}
	out := make([]catalog.Violation, 0, len(refused.Violations))
	for _, violation := range refused.Violations {
		out = append(out, catalog.Violation{
			Field:   protovalidate.FieldPathString(violation.Proto.GetField()),
			Message: strings.TrimPrefix(violation.Proto.GetMessage(), "value "),
		})
	}
	return out
}
