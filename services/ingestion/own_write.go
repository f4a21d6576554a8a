package ingestion

import (
	"context"
	"slices"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
)

// dropUnchanged drops the messages of products that only ingestion's own transactions touched, if CATALOG has their
// state already. Without it, each id that is written to a watched table would make a version that changes nothing. It
// runs when everything before is stored.
func (in *ingester) dropUnchanged(ctx context.Context, b *batch) error {
	var ids []string
	for _, o := range b.out {
		if change, ok := o.Body.(*catalogv1.ProductChange); ok && b.own[change.GetProductId()] {
			ids = append(ids, change.GetProductId())
		}
	}
	if len(ids) == 0 {
		return nil
	}
	latest, err := in.stores.Desired().LatestMany(ctx, in.account, ids)
	if err != nil {
		return err
	}
	known := make(map[string]*catalogv1.ProductChange, len(ids))
	for i, id := range ids {
		known[id] = latest[i]
	}
	b.out = slices.DeleteFunc(b.out, func(o mesh.Outgoing) bool {
		change, ok := o.Body.(*catalogv1.ProductChange)
		return ok && b.own[change.GetProductId()] && equalChanges(known[change.GetProductId()], change)
	})
	return nil
}
