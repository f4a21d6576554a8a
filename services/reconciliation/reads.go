package reconciliation

import (
	"context"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
)

// readPurposes returns how many reads of Stripe's read allowance each purpose has used.
func (c control) readsFor(ctx context.Context) (out []*controlv1.ReadPurpose, err error) {
	purposes, err := budget.ReadsFor(ctx, c.mesh.Budget(c.Account))
	for _, p := range purposes {
		out = append(out, &controlv1.ReadPurpose{Purpose: string(p.Purpose), Reads: p.Reads})
	}
	return out, err
}
