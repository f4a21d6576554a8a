// Package forecast says what push would do about a product: in the contract's words, for the control API's plan and for
// a preview. It is pure.
package forecast

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Steps returns calls as the control API has them.
func Steps(steps []catalog.Step) (out []*controlv1.PlannedStep) {
	for _, s := range steps {
		step := &controlv1.PlannedStep{Kind: string(s.Kind), Step: s.String()}
		for _, param := range s.Params {
			value := param.Value
			if param.PriceRef != "" {
				value = "(Stripe's id of price " + param.PriceRef + ")"
			}
			step.Parameters = append(step.Parameters, &controlv1.Parameter{Name: param.Name, Value: value})
		}
		out = append(out, step)
	}
	return out
}

// Changes returns the effect of calls as the control API has it.
func Changes(planned []catalog.Planned) (out []*controlv1.PlannedChange) {
	for _, change := range planned {
		c := &controlv1.PlannedChange{
			Verb:    string(change.Verb),
			PriceId: change.Price,
			Before:  change.Before,
			After:   change.After,
		}
		if !change.KeptUntil.IsZero() {
			c.KeepUntil = timestamppb.New(change.KeptUntil)
		}
		for _, d := range change.Differences {
			c.Differences = append(c.Differences, Difference(d, ""))
		}
		out = append(out, c)
	}
	return out
}

// Difference returns a difference as the contract has it, with what is done about it.
func Difference(d catalog.Difference, action catalog.Action) *meshv1.Difference {
	return &meshv1.Difference{
		Kind:    string(d.Kind),
		Field:   d.Field,
		Catalog: d.Catalog,
		Stripe:  d.Stripe,
		Action:  string(action),
	}
}
