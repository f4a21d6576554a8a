package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/nuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/guard"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/command"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// allProducts is the product of entries in the audit trail that concern the whole account. No product has this id.
const allProducts = "*"

// approval is a request to approve, checked.
type approval struct {
	selection
	by
	// duration is how long rules let every change pass. It is only used if hasDuration is set.
	duration    time.Duration
	hasDuration bool
}

// isWindow reports whether rules are to let every change pass for a while.
func (a approval) isWindow() bool { return a.hasDuration && a.duration > 0 }

// endsWindow reports whether rules are to stop letting every change pass.
func (a approval) endsWindow() bool { return a.hasDuration && a.duration == 0 }

func (c control) approval(ctx context.Context, req *controlv1.ApproveRequest) (a approval, err error) {
	a = approval{
		selection: selection{
			products: req.GetProductIds(),
			rule:     req.GetRule(),
			all:      req.GetAll(),
			after:    req.GetAfter(),
			matching: req.GetMatching(),
			seen:     req.GetSeen(),
		},
		duration:    req.GetDuration().AsDuration(),
		hasDuration: req.GetDuration() != nil,
	}
	if a.by, err = deciding(ctx, req); err != nil {
		return a, err
	}
	if err := a.check(); err != nil {
		return a, err
	}
	switch {
	case a.isEmpty() && !a.hasDuration:
		return a, invalid("nothing is selected: set product_ids, rule, matching or all, or a duration for every change")
	case (len(a.products) > 0 || a.matching != nil) && a.hasDuration:
		return a, invalid("duration: can be given with a rule, with all or alone, not with products")
	case a.isWindow() && c.Approvers > 1:
		return a, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf(
			"guard_approvers asks for %d people for each change, so one cannot let every change pass for a while: "+
				"approve what is held, without a duration", c.Approvers))
	}
	return a, nil
}

// deciding returns who decides about held changes, and why.
func deciding(ctx context.Context, r requester) (by, error) {
	if strings.TrimSpace(r.GetReason()) == "" {
		return by{}, invalid("reason: must not be empty")
	}
	return byCaller(ctx, r)
}

// Approve sends push an approval for each held change that is selected. With a duration it lets rules pass every change
// for a while, and has the held changes that this concerns judged again.
func (c control) Approve(ctx context.Context,
	req *connect.Request[controlv1.ApproveRequest],
) (*connect.Response[controlv1.ApproveResponse], error) {
	a, err := c.approval(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	out := &controlv1.ApproveResponse{}
	var products []*ledger.Product
	switch {
	case a.matching != nil:
		if products, out.Matched, err = c.heldMatching(ctx, a.matching); err != nil {
			return nil, err
		}
	case !a.endsWindow():
		products, out.Next, err = c.held(ctx, a.selection)
		// With a duration, the changes to come are reason enough.
		if err != nil && (!a.isWindow() || connect.CodeOf(err) != connect.CodeFailedPrecondition) {
			return nil, err
		}
		out.Truncated = out.GetNext() != ""
	}
	if a.hasDuration {
		if out.Until, err = c.setWindow(ctx, a); err != nil {
			return nil, unavailable(err)
		}
	}
	for _, p := range products {
		if a.hasChanged(p) {
			out.Changed = append(out.Changed, p.ID)
			continue
		}
		if err := c.approveOne(ctx, a, p, out); err != nil {
			return nil, unavailable(err)
		}
	}
	c.Logger.WarnContext(ctx, "held changes approved", "actor", a.actor, "reason", a.reason, "rule", a.rule,
		"approved", len(out.GetProductIds()), "waiting", len(out.GetWaiting()), "duration", a.duration)
	return connect.NewResponse(out), nil
}

// approveOne sends the command about one held product, and adds the product to the answer.
func (c control) approveOne(ctx context.Context, a approval, p *ledger.Product, out *controlv1.ApproveResponse) error {
	about := command.About{ID: nuid.Next(), Issuer: a.actor, Reason: a.reason}
	byOthers := slices.ContainsFunc(p.Rules(), func(r string) bool {
		return a.rule != "" && r != a.rule && string(guard.Rule(r).Kind()) != a.rule
	})
	switch {
	case byOthers && !a.isWindow():
		out.HeldByOthers = append(out.HeldByOthers, p.ID)
		return nil
	case byOthers, a.isEmpty():
		// Push judges the change again: the rules that let everything pass hold it no more, and others may.
		if byOthers {
			out.HeldByOthers = append(out.HeldByOthers, p.ID)
		} else {
			out.ProductIds = append(out.ProductIds, p.ID)
		}
		return c.Commands.Publish(ctx, c.Commands.Sync(about, &meshv1.SyncProduct{ProductId: p.ID}), p.ID)
	}
	hold := p.Hold()
	if missing := c.missing(hold, a.actor); missing > 0 {
		out.Waiting = append(out.Waiting, p.ID)
	} else {
		out.ProductIds = append(out.ProductIds, p.ID)
	}
	return c.Commands.Publish(ctx, c.Commands.Approve(about, &meshv1.ApproveChange{
		ProductId: p.ID,
		Version:   hold.GetVersion(),
	}), p.ID)
}

// missing returns how many people must still approve a held change after this actor.
func (c control) missing(hold *catalogv1.Hold, actor string) int {
	actors := map[string]bool{actor: true}
	for _, x := range hold.GetApprovals() {
		actors[x.GetActor()] = true
	}
	return max(c.Approvers, 1) - len(actors)
}

// setWindow lets a rule, or every rule, pass every change for a while, or ends that. It returns until when, nil if it
// is over.
func (c control) setWindow(ctx context.Context, a approval) (*timestamppb.Timestamp, error) {
	now, err := c.Mesh.Clock().Now(ctx)
	if err != nil {
		return nil, err
	}
	var until time.Time
	var answer *timestamppb.Timestamp
	what := "ended"
	if a.isWindow() {
		until = now.Add(a.duration)
		answer, what = timestamppb.New(until), "until "+until.UTC().Format(time.RFC3339)
	}
	for {
		record := &meshv1.Guard{}
		revision, err := c.Stores.Guard(c.Account).GetAt(ctx, record)
		if err != nil {
			return nil, err
		}
		guard.Open(record, guard.Rule(a.rule), until)
		_, err = c.Stores.Guard(c.Account).CompareAndPut(ctx, record, revision)
		if err == nil {
			break
		}
		if !errors.Is(err, state.ErrConflict) {
			return nil, err
		}
	}
	if a.after != "" {
		return answer, nil
	}
	which := "every rule lets every change pass: "
	if a.rule != "" {
		which = "the rule " + a.rule + " lets every change pass: "
	}
	return answer, c.record(ctx, a.by, ledger.Entry{
		EventID: "WINDOW:" + nuid.Next(),
		Product: allProducts,
		Kind:    "approved",
		Detail:  which + what,
	}, nil)
}
