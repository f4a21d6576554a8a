package reconciliation

import (
	"context"
	"fmt"
	"slices"

	"github.com/nats-io/nuid"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/command"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// CommandsDue returns the commands that a product's drift requires. A repair rereads the product from Stripe, because
// what was known of it has been wrong once.
func (r listener) CommandsDue(ctx context.Context, p *ledger.Product, o ledger.Commands) ledger.Due {
	var found []string
	for _, d := range p.Open() {
		found = append(found, d.Traceparent)
	}
	ctx, span := r.startDriftSpan(ctx, "repair drift", p, p.Open(), found...)
	defer span.End()
	b := &dueCommands{reconciler: r.reconciler, product: p, traceparent: telemetry.Traceparent(ctx)}
	if o.Repair || o.Archive {
		b.add(r.commands.Sync(b.about("repair", "drift"), &meshv1.SyncProduct{
			ProductId:    p.ID,
			Look:         true,
			Overwrite:    o.Overwrite,
			Leave:        o.Leave,
			ArchiveExtra: o.Archive,
		}))
	}
	switch {
	case o.Import:
		b.due.Cannot = b.importProduct()
	case len(o.WriteBack) > 0:
		b.due.Cannot = b.writeFieldsBack(o.WriteBack)
	}
	return b.due
}

// HoldNotNeeded has push judge a held product again, without what an operator ignores. Push then finds nothing to do
// and ends the hold, so that the product no longer counts for the rule that held it. The command's id is the same for
// the same hold, so JetStream drops repetitions.
func (r listener) HoldNotNeeded(ctx context.Context, p *ledger.Product, leave []string) []ledger.Message {
	hold := p.Hold()
	id := fmt.Sprintf("unhold:%s:%s:%d:%d:%d", r.Account, p.ID, hold.GetVersion(), hold.GetSince().AsTime().UnixMicro(),
		p.Observed.GetGeneration())
	return []ledger.Message{{
		Product: p.ID, Traceparent: telemetry.Traceparent(ctx),
		Body: r.commands.Sync(command.About{ID: id, Issuer: topology.Reconciliation, Reason: "the hold is not needed"},
			&meshv1.SyncProduct{ProductId: p.ID, Leave: leave}),
	}}
}

// dueCommands collects the commands that a product's drift requires. It does no I/O.
type dueCommands struct {
	*reconciler
	product     *ledger.Product
	traceparent string
	due         ledger.Due
}

func (b *dueCommands) add(c *meshv1.Command) {
	b.due.Messages = append(b.due.Messages,
		ledger.Message{Product: b.product.ID, Body: c, Traceparent: b.traceparent})
}

// about identifies a command. The command is stored once, so its id can be random. An id made of the number of repairs
// would come again after an operator's decision, and JetStream would drop the command.
func (b *dueCommands) about(what, reason string) command.About {
	return command.About{
		ID:     fmt.Sprintf("%s:%s:%s:%s", what, b.Account, b.product.ID, nuid.Next()),
		Issuer: topology.Reconciliation,
		Reason: reason,
	}
}

// importProduct commands ingestion to import the product. It returns why that is impossible. In the grace period the
// author of the product adds its prices and its default price, so it is postponed until then.
func (b *dueCommands) importProduct() (cannot string) {
	p := b.product
	if b.due.Postpone = max(b.GracePeriod-b.Now().Sub(p.DriftedAt), 0); b.due.Postpone > 0 {
		return ""
	}
	if wait, cannot := b.prepareImport(); wait {
		return cannot
	}
	return b.writeBack(&meshv1.WriteBack{Import: true, Product: catalog.Import(p.Observed)})
}

// writeFieldsBack commands ingestion to write Stripe's values of fields into the catalog. It returns why that is
// impossible.
func (b *dueCommands) writeFieldsBack(fields []string) (cannot string) {
	p := b.product
	if fields, cannot = b.withoutUnread(fields); len(fields) == 0 {
		return cannot
	}
	product, taken := catalog.ApplyWriteBackWithPrices(p.Desired, p.Observed, fields)
	if len(taken) == 0 {
		return "the catalog cannot store Stripe's value"
	}
	return b.writeBack(&meshv1.WriteBack{Product: product, Fields: taken})
}

// writeBack adds a write-back, or returns why it is impossible.
func (b *dueCommands) writeBack(w *meshv1.WriteBack) (cannot string) {
	if violations := catalog.Validate(w.GetProduct()); len(violations) > 0 {
		return fmt.Sprintf("with Stripe's values the product would be invalid in the catalog: %s", violations[0])
	}
	w.ProductId, w.Version = b.product.ID, b.product.Desired.GetVersion()
	b.add(b.commands.WriteBack(b.about("write-back", "drift"), w))
	return ""
}

// maxImportReads is how often a product whose default price is not among its prices is read again. After that an
// operator has to decide.
const maxImportReads = 6

// prepareImport has a product read together with its prices before anything of it is imported, because events report
// them one by one and in any order. It reports whether the import must wait, and why it is impossible.
func (b *dueCommands) prepareImport() (wait bool, cannot string) {
	p := b.product
	switch why := catalog.ImportBlocker(p.Observed); {
	case why == "":
		return false, ""
	case p.Repairs >= maxImportReads:
		return true, fmt.Sprintf("product %s cannot be imported: %s", p.ID, why)
	default:
		b.add(b.commands.Read(b.about("read", "import"), catalog.StripeID(p.Observed)))
		return true, ""
	}
}

// withoutUnread removes prices that have yet to be read from the fields to be written back, and has them read.
func (b *dueCommands) withoutUnread(fields []string) (rest []string, cannot string) {
	prices := pricesToImport(b.product, fields)
	if len(prices) == 0 {
		return fields, ""
	}
	wait, cannot := b.prepareImport()
	if !wait {
		return fields, ""
	}
	rest = slices.DeleteFunc(slices.Clone(fields), func(f string) bool { return slices.Contains(prices, f) })
	if len(rest) > 0 {
		// The other fields do not wait for the prices.
		cannot = ""
	}
	return rest, cannot
}

// pricesToImport returns those of the fields to be written back that are prices as a whole. They were created in Stripe
// after their product was imported.
func pricesToImport(p *ledger.Product, fields []string) (prices []string) {
	for _, x := range catalog.ExtraPrices(p.Desired, p.Observed) {
		if slices.Contains(fields, x.Field) {
			prices = append(prices, x.Field)
		}
	}
	return prices
}
