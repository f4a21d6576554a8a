package control

import (
	"context"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/guard"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/health"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/view"
)

// GetStatus returns the number of products in each state, up to when that is known, and every consumer's backlog.
func (c control) GetStatus(
	ctx context.Context,
	req *connect.Request[controlv1.GetStatusRequest],
) (*connect.Response[controlv1.GetStatusResponse], error) {
	read, err := c.status.get(ctx, req.Msg.GetMaxAge().AsDuration())
	if err != nil {
		return nil, unavailable(err)
	}
	if req.Msg.GetCountedIds() {
		return connect.NewResponse(read.withIDs), nil
	}
	return connect.NewResponse(read.status), nil
}

// statusReading is what callers share. Nobody changes it.
type statusReading struct {
	// withIDs also has the ids that the guard has counted.
	status, withIDs *controlv1.GetStatusResponse
}

// readStatus reads everything that a status has. It takes some 70 small reads of NATS.
func (c control) readStatus(ctx context.Context) (read statusReading, err error) {
	// The view is read first, so that the counts are at least as recent as the time up to which equality is known.
	v, err := c.readView(ctx)
	if err != nil {
		return read, err
	}
	out := &controlv1.GetStatusResponse{
		Account:    c.Account,
		Equality:   v.Equality,
		Paused:     v.Paused,
		Halted:     v.Halted,
		Signatures: string(c.Mesh.Signatures()),
	}
	o := overview{}
	group, all := errgroup.WithContext(ctx)
	group.Go(func() error { return c.statusOfLedger(all, out) })
	group.Go(func() error { return c.statusOfMesh(all, out) })
	group.Go(func() error { return c.readOverview(all, v, &o) })
	if err := group.Wait(); err != nil {
		return read, err
	}
	if out.Equality, err = c.View.Confirm(ctx, v); err != nil {
		return read, err
	}
	for _, s := range v.Consumers {
		out.Consumers = append(out.Consumers, &controlv1.ConsumerStatus{
			Stream:      s.Stream,
			Consumer:    s.Name,
			Pending:     s.Pending,
			InFlight:    s.InFlight,
			Redelivered: s.Redelivered,
		})
	}
	if err := c.addOverview(ctx, v, o, out); err != nil {
		return read, err
	}
	read = statusReading{status: proto.CloneOf(out), withIDs: out}
	for _, count := range read.status.GetGuard().GetCounts() {
		count.Recent = nil
	}
	return read, nil
}

// maxJudgedRetries is how many retries a status looks at. Each takes a round trip.
const maxJudgedRetries = 50

// overview is what the problems and the flow of a status are made of.
type overview struct {
	services []*controlv1.ServiceStatus
	// servicesUnknown is why they could not be read: the rest of the status must not wait for them.
	servicesUnknown error
	retries         []*meshv1.Retry
	// more reports that there are other retries.
	more   bool
	record *meshv1.Budget
}

func (c control) readOverview(ctx context.Context, v *view.View, o *overview) (err error) {
	o.services, _, o.servicesUnknown = c.services(ctx, v.Consumers)
	if o.retries, o.more, err = c.Mesh.Retries(ctx, topology.Push, c.Account, maxJudgedRetries); err != nil {
		return err
	}
	o.record, err = budget.Record(ctx, c.Stores.Budget(c.Account))
	return err
}

// addOverview adds the services, the flow, the calls to Stripe, the problems and the notes.
func (c control) addOverview(ctx context.Context, v *view.View, o overview, out *controlv1.GetStatusResponse) error {
	now := out.GetEquality().GetAt().AsTime()
	if o.servicesUnknown != nil {
		out.Problems = append(out.Problems, &controlv1.Notice{
			Kind: "processes", Text: "it is not known which processes run: " + o.servicesUnknown.Error(),
		})
	}
	if why := c.Unpublished(); why != "" {
		out.Problems = append(out.Problems, &controlv1.Notice{Kind: "outbox", Text: why})
	}
	out.Services = o.services
	out.StripeRate = health.StripeRate(o.services, o.record, now)
	out.ReadAllowance = health.ReadAllowance(o.services, o.record, now)
	if err := c.statusOfFlow(ctx, v, o.retries, o.more, out); err != nil {
		return err
	}
	health.Judge(out, health.Retries{First: o.retries, More: o.more}, now)
	return nil
}

func (c control) statusOfLedger(ctx context.Context, out *controlv1.GetStatusResponse) error {
	// The first takes as long as all others.
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error { return c.countStates(both, out) })
	group.Go(func() error { return c.countDifferences(both, out) })
	return group.Wait()
}

func (c control) countStates(ctx context.Context, out *controlv1.GetStatusResponse) error {
	counts, err := c.Ledger.Counts(ctx)
	if err != nil {
		return err
	}
	out.InSync, out.Pending, out.Drifted = counts[ledger.InSync], counts[ledger.Pending], counts[ledger.Drifted]
	out.Dead, out.Orphans, out.Left = counts[ledger.Dead], counts[ledger.Extra], counts[ledger.Left]
	out.Held = counts[ledger.Held]
	return nil
}

func (c control) countDifferences(ctx context.Context, out *controlv1.GetStatusResponse) error {
	ages, err := c.Ledger.Ages(ctx)
	if err != nil {
		return err
	}
	if !ages.Unsynced.IsZero() {
		out.OldestDifferenceAt = timestamppb.New(ages.Unsynced)
	}
	if out.Overlaps, err = c.Ledger.OverlapCount(ctx); err != nil {
		return err
	}
	held, err := c.Ledger.HeldCounts(ctx)
	if err != nil {
		return err
	}
	for _, h := range held {
		out.HeldBy = append(out.HeldBy, &controlv1.HeldCount{Rule: h.Rule, Count: h.N, Since: timestamppb.New(h.Since)})
	}
	drift, err := c.Ledger.DriftCounts(ctx)
	if err != nil {
		return err
	}
	for _, d := range drift {
		out.Drift = append(out.Drift, &controlv1.DriftCount{Kind: d.Kind, State: d.State, Count: d.N})
	}
	return nil
}

func (c control) statusOfMesh(ctx context.Context, out *controlv1.GetStatusResponse) (err error) {
	if out.LastScan, err = c.View.LastScan(ctx); err != nil {
		return err
	}
	poll := &meshv1.PollReport{}
	if ok, err := c.Stores.Record(topology.KeyPoll, c.Account).Get(ctx, poll); err != nil {
		return err
	} else if ok {
		out.LastPoll = poll
	}
	if out.Retrying, err = c.Mesh.RetryingCount(ctx, topology.Push, c.Account); err != nil {
		return err
	}
	if out.ReadsFor, err = c.readPurposes(ctx); err != nil {
		return err
	}
	if out.Reads, err = budget.Reads(ctx, c.Stores.Budget(c.Account)); err != nil {
		return err
	}
	if out.Guard, err = c.guard(ctx); err != nil {
		return err
	}
	creations, err := c.Stores.CreationsHeld(c.Account).GetString(ctx)
	out.CreationsHeld = creations != ""
	return err
}

// guard returns the record of the guard without what only push needs, nil if the guard has not counted anything yet.
// The fields of earlier versions are about the products that were archived.
func (c control) guard(ctx context.Context) (*meshv1.Guard, error) {
	record := &meshv1.Guard{}
	if revision, err := c.Stores.Guard(c.Account).GetAt(ctx, record); err != nil || revision == 0 {
		return nil, err
	}
	if len(record.GetCounts()) == 0 && len(record.GetApproved()) == 0 {
		return nil, nil
	}
	record.Rules = 0
	archived := record.GetCounts()[string(guard.ArchivedProducts)]
	record.Since, record.Archived, record.Recent = archived.GetSince(), archived.GetChanged(), nil
	record.Held, record.HeldSince = archived.GetHeld(), archived.GetHeldSince()
	record.Products, record.Allowed = archived.GetTotal(), archived.GetAllowed()
	record.ApprovedUntil = record.GetApproved()[""]
	if until := record.GetApproved()[string(guard.ArchivedProducts)]; until.AsTime().After(
		record.GetApprovedUntil().AsTime()) {
		record.ApprovedUntil = until
	}
	return record, nil
}

// readPurposes returns how many reads of Stripe's read allowance each purpose has used.
func (c control) readPurposes(ctx context.Context) (out []*controlv1.ReadPurpose, err error) {
	purposes, err := budget.ReadsFor(ctx, c.Stores.Budget(c.Account))
	for _, p := range purposes {
		out = append(out, &controlv1.ReadPurpose{Purpose: string(p.Purpose), Reads: p.Reads})
	}
	return out, err
}
