package control

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/nuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/internal/visible"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/command"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/describe"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// rollbackKind is the kind of the entry in the audit trail.
const rollbackKind = "rollback"

// Rollback commands ingestion to give the operator's tables an earlier state of a product. The command rests on the
// latest version: if the catalog changes the product meanwhile, that change wins and nothing is written.
func (c control) Rollback(ctx context.Context,
	req *connect.Request[controlv1.RollbackRequest],
) (*connect.Response[controlv1.RollbackResponse], error) {
	p, err := c.rollbackBase(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	target, err := c.rollbackTarget(ctx, p, req.Msg)
	if err != nil {
		return nil, err
	}
	w := restore(p.Desired, target.Desired)
	out := &controlv1.RollbackResponse{
		ProductId:      p.ID,
		FromVersion:    p.Desired.GetVersion(),
		ToVersion:      target.LastVersion,
		Since:          timestamppb.New(target.Since),
		Changes:        describe.StateChanges(p.Desired.GetProduct(), w.product),
		ArchivedPrices: w.archived,
		KeptFields:     w.kept,
		Product:        w.product,
	}
	if !target.Until.IsZero() {
		out.Until = timestamppb.New(target.Until)
	}
	if len(out.GetChanges()) == 0 {
		return connect.NewResponse(out), nil
	}
	if err := c.canRestore(p, w); err != nil {
		return nil, err
	}
	if out.Plan, err = c.forecastRollback(ctx, p, w.product); err != nil {
		return nil, unavailable(err)
	}
	if req.Msg.GetDryRun() {
		return connect.NewResponse(out), nil
	}
	if err := c.orderRollback(ctx, req.Msg, p, w, out); err != nil {
		return nil, unavailable(err)
	}
	out.Ordered = true
	return connect.NewResponse(out), nil
}

// rollbackBase returns the product in the latest version that CATALOG has. It returns an error if a rollback cannot
// rest on that version.
func (c control) rollbackBase(ctx context.Context, req *controlv1.RollbackRequest) (*ledger.Product, error) {
	id := req.GetProductId()
	p, err := c.Ledger.Product(ctx, id)
	if err != nil {
		return nil, unavailable(err)
	}
	if p == nil || p.Desired == nil {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf(
			"the catalog never had product %s, as far as is known: is the id right? `driftless history --at TIME` lists "+
				"the products of a time", id))
	}
	latest, err := c.Stores.Desired().Latest(ctx, c.Account, id)
	if err != nil {
		return nil, unavailable(err)
	}
	if latest.GetVersion() != p.Desired.GetVersion() {
		return nil, unavailable(fmt.Errorf("the ledger has yet to receive the latest change of product %s", id))
	}
	if expected := req.GetExpectedVersion(); expected != 0 && expected != p.Desired.GetVersion() {
		return nil, connect.NewError(connect.CodeAborted, fmt.Errorf(
			"product %s changed meanwhile: it has version %d, not %d. Nothing was written; look again", id,
			p.Desired.GetVersion(), expected))
	}
	letters, err := c.Ledger.DeadLetters(ctx,
		ledger.Letters{Products: []string{id}, Service: topology.Ingestion}, 1)
	if err != nil {
		return nil, unavailable(err)
	}
	if len(letters) > 0 && letters[0].GetReason() != topology.ReasonWriteBackFailed {
		return nil, failedPrecondition(
			"ingestion refused the latest change of product %s in your tables, so a rollback has nothing to rest on: "+
				"correct the tables first (`driftless dead show %s`)", id, visible.Argument(id))
	}
	return p, nil
}

// rollbackTarget returns the state to go back to.
func (c control) rollbackTarget(ctx context.Context, p *ledger.Product, req *controlv1.RollbackRequest,
) (target *ledger.PastState, err error) {
	switch to := req.GetTo().(type) {
	case *controlv1.RollbackRequest_Version:
		target, err = c.stateOfVersion(ctx, p, to.Version)
	case *controlv1.RollbackRequest_At:
		target, err = c.stateAtTime(ctx, p, to.At.AsTime())
	default:
		err = invalid("nothing to go back to: set version or at")
	}
	if err != nil {
		return nil, err
	}
	if !target.Exists() {
		return nil, failedPrecondition("the catalog did not have product %s then: a rollback removes no product. "+
			"Delete it in your tables, or set active to false", p.ID)
	}
	return target, nil
}

// stateOfVersion returns the state that a version of a product had.
func (c control) stateOfVersion(ctx context.Context, p *ledger.Product, version uint64) (*ledger.PastState, error) {
	if version > p.Desired.GetVersion() {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf(
			"product %s has no version %d yet: its latest is version %d (`driftless history %s`)", p.ID, version,
			p.Desired.GetVersion(), visible.Argument(p.ID)))
	}
	states, err := c.Ledger.CatalogStates(ctx, p.ID)
	if err != nil {
		return nil, unavailable(err)
	}
	for _, s := range states {
		if s.FirstVersion <= version && version <= s.LastVersion {
			return s, nil
		}
	}
	known, err := c.Ledger.KnownFrom(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	if len(states) > 0 && version > states[0].FirstVersion {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf(
			"product %s has no version %d: `driftless history %s` shows its versions", p.ID, version,
			visible.Argument(p.ID)))
	}
	return nil, failedPrecondition(
		"version %d of product %s is not kept (any more): the earliest state that is kept has version %d. States are "+
			"kept since %s, and deleted when they are older than history_retention", version, p.ID,
		states[0].FirstVersion, formatTime(known))
}

// stateAtTime returns the state that the catalog had at a time, nil if it did not have the product.
func (c control) stateAtTime(ctx context.Context, p *ledger.Product, at time.Time) (found *ledger.PastState,
	err error,
) {
	if _, _, err := c.checkTimes(ctx, &at); err != nil {
		return nil, err
	}
	if _, err := c.Ledger.StatesAt(ctx, ledger.CatalogSide, at, []string{p.ID}, "", 1,
		func(s *ledger.PastState) { found = s }); err != nil {
		return nil, unavailable(err)
	}
	return found, nil
}

// canRestore returns why the mapping cannot write a product.
func (c control) canRestore(p *ledger.Product, w restored) error {
	refused := func(err error) error {
		return failedPrecondition("product %s cannot be rolled back: %w. Nothing was written", p.ID, err)
	}
	if p.Desired.GetProduct() == nil {
		if err := c.CanInsert("product"); err != nil {
			return refused(err)
		}
		if len(w.product.GetPrices()) > 0 {
			if err := c.CanInsert("price"); err != nil {
				return refused(err)
			}
		}
	} else {
		for _, change := range catalog.Changes(p.Desired.GetProduct(), w.product) {
			if err := c.canChange(p, w, change.Field); err != nil {
				return refused(err)
			}
		}
	}
	if violations := catalog.Validate(w.product); len(violations) > 0 {
		return refused(fmt.Errorf("the earlier state is not valid in Stripe today: %s", violations[0]))
	}
	return nil
}

// canChange returns why the mapping cannot write one field, which is named as in a change of the catalog.
func (c control) canChange(p *ledger.Product, w restored, field string) error {
	general, isPrice := fieldOfPrice(p.Desired.GetProduct(), field)
	if !isPrice && strings.HasPrefix(field, "prices.") {
		return c.CanInsert("price")
	}
	err := c.canWrite(p, general)
	for _, id := range w.archived {
		if err != nil && field == "prices."+id+".active" {
			return fmt.Errorf(
				"price %s did not exist then, and cannot be archived (%w): delete it in your tables, and "+
					"roll back again", id, err)
		}
	}
	return err
}

// canWrite returns why the mapping cannot write a field, which is named as the mapping has it: "prices.nickname".
func (c control) canWrite(p *ledger.Product, field string) error {
	for _, unmanaged := range p.Desired.GetUnmanagedFields() {
		if field == unmanaged || strings.HasPrefix(field, unmanaged+".") {
			return fmt.Errorf("the mapping does not provide %s: add the column to the query", field)
		}
	}
	err := c.CanWriteBack(field)
	// A mapping has the amount in one of two columns.
	other := map[string]string{
		"prices.unit_amount": "prices.unit_amount_decimal", "prices.unit_amount_decimal": "prices.unit_amount",
	}[field]
	if err != nil && other != "" && c.CanWriteBack(other) == nil {
		return nil
	}
	return err
}

// orderRollback sends the command, and records it.
func (c control) orderRollback(ctx context.Context, req *controlv1.RollbackRequest, p *ledger.Product, w restored,
	out *controlv1.RollbackResponse,
) error {
	asked, err := byCaller(ctx, req)
	if err != nil {
		return err
	}
	back := fmt.Sprintf("the catalog is to get the state of version %d back", out.GetToVersion())
	about := command.About{ID: nuid.Next(), Issuer: asked.actor, Reason: cmp.Or(asked.reason, back)}
	// The entry comes before what follows from the command.
	at := c.Now()
	if err := c.Commands.Publish(ctx, c.Commands.WriteBack(about, &meshv1.WriteBack{
		ProductId: p.ID,
		Version:   p.Desired.GetVersion(),
		Product:   w.product,
		Fields:    w.fields,
		Import:    p.Desired.GetProduct() == nil,
	}), p.ID); err != nil {
		return err
	}
	entry := &controlv1.HistoryEntry{}
	for _, change := range catalog.Changes(p.Desired.GetProduct(), w.product) {
		entry.Changes = append(entry.Changes,
			&controlv1.FieldChange{Field: change.Field, Old: change.Old, New: change.New})
	}
	c.Logger.WarnContext(ctx, "rollback ordered", "product", p.ID, "actor", asked.actor, "reason", asked.reason,
		"version", out.GetFromVersion(), "to_version", out.GetToVersion())
	return c.record(ctx, asked, ledger.Entry{
		EventID: "ROLLBACK:" + about.ID,
		Product: p.ID,
		At:      at,
		Kind:    rollbackKind,
		Version: p.Desired.GetVersion(),
		Detail:  back,
	}, entry)
}

// fieldOfPrice returns the name of a field as the mapping has it: "prices.mug-eur.nickname" is "prices.nickname". It
// reports whether the field belongs to one of the product's prices.
func fieldOfPrice(product *catalogv1.Product, field string) (name string, ofPrice bool) {
	longest := ""
	for _, price := range product.GetPrices() {
		if rest, ok := strings.CutPrefix(field, "prices."+price.GetId()+"."); ok && len(price.GetId()) >= len(longest) {
			longest, name = price.GetId(), "prices."+rest
		}
	}
	if name == "" {
		return field, false
	}
	return name, true
}
