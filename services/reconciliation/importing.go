package reconciliation

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// patience is how often a product whose default price is not among its prices is read again before a person has to
// look.
const patience = 6

// inGrace puts the import of a product off until the grace period is over, in which whoever made the product comes to
// its prices and its default price.
func (r *reconciler) inGrace(p *ledger.Product) bool {
	p.Postpone = max(r.GracePeriod-r.Now().Sub(p.DriftedAt), 0)
	return p.Postpone > 0
}

// unready has a product read together with its prices before anything of it is imported, since events tell of them one
// by one and in any order. It reports whether the import is not to be ordered yet, and why it cannot be if it never
// can.
func (r *reconciler) unready(ctx context.Context, p *ledger.Product, id string) (wait bool, cannot string, err error) {
	switch why := catalog.ImportBlocker(p.Observed); {
	case why == "":
		return false, "", nil
	case p.Repairs >= patience:
		return true, fmt.Sprintf("product %s cannot be imported: %s", p.ID, why), nil
	default:
		return true, "", r.read(ctx, p, id)
	}
}

// read has pull read a product and its active prices.
func (r *reconciler) read(ctx context.Context, p *ledger.Product, id string) error {
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

// imported are those of the fields to be written back that are whole prices, which were made in Stripe after their
// product was imported.
func imported(p *ledger.Product, fields []string) (prices []string) {
	for _, x := range catalog.ExtraPrices(p.Desired, p.Observed) {
		if slices.Contains(fields, x.Field) {
			prices = append(prices, x.Field)
		}
	}
	return prices
}

// withoutUnread takes prices that have yet to be read out of what is written back, and has them read.
func (r *reconciler) withoutUnread(
	ctx context.Context, p *ledger.Product, fields []string, id string,
) (rest []string, cannot string, err error) {
	prices := imported(p, fields)
	if len(prices) == 0 {
		return fields, "", nil
	}
	wait, cannot, err := r.unready(ctx, p, id)
	if !wait || err != nil {
		return fields, "", err
	}
	rest = slices.DeleteFunc(slices.Clone(fields), func(f string) bool { return slices.Contains(prices, f) })
	if len(rest) > 0 {
		// They are not to wait for the prices.
		cannot = ""
	}
	return rest, cannot, nil
}
