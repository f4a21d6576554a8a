package reconciliation

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// commandWriteBack commands ingestion to write Stripe's values into the catalog. It returns why that is impossible.
func (r *reconciler) commandWriteBack(ctx context.Context, p *ledger.Product, o ledger.Commands,
	id string,
) (cannot string, err error) {
	writeBack := &meshv1.WriteBack{ProductId: p.ID, Version: p.Desired.GetVersion(), Import: o.Import}
	if o.Import {
		if r.inGrace(p) {
			return "", nil
		}
		if wait, cannot, err := r.prepareImport(ctx, p, id); wait || err != nil {
			return cannot, err
		}
		writeBack.Product = catalog.Import(p.Observed)
	} else {
		fields, cannot, err := r.withoutUnread(ctx, p, o.WriteBack, id)
		if len(fields) == 0 || err != nil {
			return cannot, err
		}
		if writeBack.Product, writeBack.Fields = catalog.ApplyWriteBackWithPrices(p.Desired, p.Observed,
			fields); len(writeBack.Fields) == 0 {
			return "the catalog cannot store Stripe's value", nil
		}
	}
	if violations := catalog.Validate(writeBack.Product); len(violations) > 0 {
		return fmt.Sprintf("with Stripe's values the product would be invalid in the catalog: %s", violations[0]), nil
	}
	command := &meshv1.Command{
		Id:       id,
		Account:  r.Account,
		Issuer:   topology.Reconciliation,
		Reason:   "drift",
		IssuedAt: timestamppb.New(r.Now()),
		Verb:     &meshv1.Command_WriteBack{WriteBack: writeBack},
	}
	return "", r.mesh.Publish(ctx, topology.CommandSubject(topology.Ingestion, r.Account, topology.VerbWriteBack, p.ID),
		command, mesh.WithID(id), mesh.WithVersion(writeBack.Version))
}

// commandSync commands push to sync a product, with a reread from Stripe first if that is asked for.
func (r *reconciler) commandSync(ctx context.Context, product string, reread bool, issuer, reason, id string) error {
	return r.publishSync(ctx, &meshv1.SyncProduct{ProductId: product, Look: reread}, issuer, reason, id)
}

// publishSync publishes a command to sync for push.
func (r *reconciler) publishSync(ctx context.Context, sync *meshv1.SyncProduct, issuer, reason, id string) error {
	command := &meshv1.Command{
		Id:       id,
		Account:  r.Account,
		Issuer:   issuer,
		Reason:   reason,
		IssuedAt: timestamppb.New(r.Now()),
		Verb:     &meshv1.Command_Sync{Sync: sync},
	}
	return r.mesh.Publish(ctx,
		topology.CommandSubject(topology.Push, r.Account, topology.VerbSync, sync.GetProductId()), command,
		mesh.WithID(id))
}

// commandScan commands pull to scan all of Stripe.
func (r *reconciler) commandScan(ctx context.Context, id, issuer, reason string) error {
	command := &meshv1.Command{
		Id:       id,
		Account:  r.Account,
		Issuer:   issuer,
		Reason:   reason,
		IssuedAt: timestamppb.New(r.Now()),
		Verb:     &meshv1.Command_Scan{Scan: &meshv1.Scan{}},
	}
	return r.mesh.Publish(ctx, topology.CommandSubject(topology.Pull, r.Account, topology.VerbScan, ""), command,
		mesh.WithID(id))
}

// commandBackfill commands ingestion to read products from the catalog again, all products if none are given.
func (r *reconciler) commandBackfill(ctx context.Context, products []string, issuer, reason, id string) error {
	command := &meshv1.Command{
		Id:       id,
		Account:  r.Account,
		Issuer:   issuer,
		Reason:   reason,
		IssuedAt: timestamppb.New(r.Now()),
		Verb:     &meshv1.Command_Backfill{Backfill: &meshv1.Backfill{ProductIds: products}},
	}
	return r.mesh.Publish(ctx, topology.CommandSubject(topology.Ingestion, r.Account, topology.VerbBackfill, ""),
		command, mesh.WithID(id))
}

// commandRead commands pull to read a product and its active prices.
func (r *reconciler) commandRead(ctx context.Context, p *ledger.Product, id string) error {
	command := &meshv1.Command{
		Id:       "read:" + id,
		Account:  r.Account,
		Issuer:   topology.Reconciliation,
		Reason:   "import",
		IssuedAt: timestamppb.New(r.Now()),
		Verb:     &meshv1.Command_Read{Read: &meshv1.ReadProduct{ProductId: catalog.StripeID(p.Observed)}},
	}
	subject := topology.CommandSubject(topology.Pull, r.Account, topology.VerbRead, p.ID)
	return r.mesh.Publish(ctx, subject, command, mesh.WithID(command.GetId()))
}
