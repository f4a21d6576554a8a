// Package command builds and publishes the commands that reconciliation sends to the other services.
package command

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// About identifies a command.
type About struct {
	// ID is unique. JetStream drops a command that is published twice.
	ID string
	// Issuer is a service, or who asked for it through the control API: the name of a token or of a person.
	Issuer string
	Reason string
}

// Issuer issues the commands of an account. It is safe for concurrent use.
type Issuer struct {
	Mesh    *mesh.Mesh
	Account string
	Now     func() time.Time
}

func (i Issuer) command(about About) *meshv1.Command {
	return &meshv1.Command{
		Id:       about.ID,
		Account:  i.Account,
		Issuer:   about.Issuer,
		Reason:   about.Reason,
		IssuedAt: timestamppb.New(i.Now()),
	}
}

// Sync returns a command to push to sync a product.
func (i Issuer) Sync(about About, sync *meshv1.SyncProduct) *meshv1.Command {
	c := i.command(about)
	c.Verb = &meshv1.Command_Sync{Sync: sync}
	return c
}

// Adopt returns a command to push to adopt a product.
func (i Issuer) Adopt(about About, adoption *meshv1.Adopt) *meshv1.Command {
	c := i.command(about)
	c.Verb = &meshv1.Command_Adopt{Adopt: adoption}
	return c
}

// Approve returns a command to push to make a change that the guard holds. Its issuer is who approves.
func (i Issuer) Approve(about About, approval *meshv1.ApproveChange) *meshv1.Command {
	c := i.command(about)
	c.Verb = &meshv1.Command_Approve{Approve: approval}
	return c
}

// WriteBack returns a command to ingestion to write Stripe's values into the catalog.
func (i Issuer) WriteBack(about About, writeBack *meshv1.WriteBack) *meshv1.Command {
	c := i.command(about)
	c.Verb = &meshv1.Command_WriteBack{WriteBack: writeBack}
	return c
}

// Read returns a command to pull to read a product and its active prices, by Stripe's id of the product.
func (i Issuer) Read(about About, stripeID string) *meshv1.Command {
	c := i.command(about)
	c.Verb = &meshv1.Command_Read{Read: &meshv1.ReadProduct{ProductId: stripeID}}
	return c
}

// ReadUsage commands pull to count what uses prices in Stripe.
func (i Issuer) ReadUsage(ctx context.Context, about About, read *meshv1.ReadUsage) error {
	c := i.command(about)
	c.Verb = &meshv1.Command_ReadUsage{ReadUsage: read}
	return i.Publish(ctx, c, "")
}

// Scan commands pull to scan all of Stripe.
func (i Issuer) Scan(ctx context.Context, about About) error {
	c := i.command(about)
	c.Verb = &meshv1.Command_Scan{Scan: &meshv1.Scan{}}
	return i.Publish(ctx, c, "")
}

// Backfill commands ingestion to read products from the catalog again, all products if none are given.
func (i Issuer) Backfill(ctx context.Context, about About, products []string) error {
	c := i.command(about)
	c.Verb = &meshv1.Command_Backfill{Backfill: &meshv1.Backfill{ProductIds: products}}
	return i.Publish(ctx, c, "")
}

// Publish publishes a command about a product, or about the whole account if the product is empty.
func (i Issuer) Publish(ctx context.Context, c *meshv1.Command, product string) error {
	service, verb, err := receiver(c)
	if err != nil {
		return err
	}
	return i.Mesh.Publish(ctx, topology.CommandSubject(service, i.Account, verb, product), c,
		mesh.WithID(c.GetId()), mesh.WithVersion(c.GetWriteBack().GetVersion()))
}

// receiver returns the service that carries a command out, and its verb in subjects.
func receiver(c *meshv1.Command) (service, verb string, err error) {
	switch c.GetVerb().(type) {
	case *meshv1.Command_Sync:
		return topology.Push, topology.VerbSync, nil
	case *meshv1.Command_Adopt:
		return topology.Push, topology.VerbAdopt, nil
	case *meshv1.Command_Approve:
		return topology.Push, topology.VerbApprove, nil
	case *meshv1.Command_WriteBack:
		return topology.Ingestion, topology.VerbWriteBack, nil
	case *meshv1.Command_Backfill:
		return topology.Ingestion, topology.VerbBackfill, nil
	case *meshv1.Command_Read:
		return topology.Pull, topology.VerbRead, nil
	case *meshv1.Command_ReadUsage:
		return topology.Pull, topology.VerbReadUsage, nil
	case *meshv1.Command_Scan:
		return topology.Pull, topology.VerbScan, nil
	default:
		return "", "", fmt.Errorf("command %s has no verb that reconciliation issues: %T", c.GetId(), c.GetVerb())
	}
}
