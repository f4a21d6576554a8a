package plan

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/console/internal/web"
)

// choice is what a form is about: the selected products, or those that a rule holds, or all that are held.
type choice struct {
	ids  []string
	rule string
	// held are all held changes, but not more than the visitor was shown. Nil if the form is not about all.
	held *controlv1.MatchingProducts
}

func heldOnly() *controlv1.ProductFilter {
	return &controlv1.ProductFilter{States: []controlv1.ProductState{controlv1.ProductState_PRODUCT_STATE_HELD}}
}

// chosen returns what a form is about.
func chosen(v *web.Visit) (choice, error) {
	form := v.PostForm
	c := choice{ids: form["id"], rule: form.Get("rule")}
	switch {
	case form.Get("all") != "":
		total, err := strconv.ParseUint(form.Get("all"), 10, 64)
		if err != nil || total == 0 {
			return c, invalid(errors.New("the form does not say how many changes are held"))
		}
		return choice{held: &controlv1.MatchingProducts{Filter: heldOnly(), AtMost: total}}, nil
	case c.rule != "":
		return choice{rule: c.rule}, nil
	case len(c.ids) == 0:
		return c, invalid(errors.New("no product is selected"))
	case len(c.ids) > maxSelected:
		return c, invalid(fmt.Errorf("%d products are selected, and at most %d can be decided at once", len(c.ids),
			maxSelected))
	}
	return c, nil
}

func invalid(err error) error { return connect.NewError(connect.CodeInvalidArgument, err) }

// position is how far an answer has got: where the next request continues, empty if there is none.
type position struct {
	next    string
	matched *controlv1.MatchedProducts
}

// follow prepares the request after an answer. It reports whether there is one.
func (c choice) follow(p position, after *string) bool {
	if c.held != nil {
		next := p.matched.GetNext()
		if next == "" || next == c.held.GetAfter() {
			return false
		}
		c.held.After = next
		return true
	}
	if p.next == "" || p.next == *after {
		return false
	}
	*after = p.next
	return true
}

// seenFields are the hidden fields that say which held changes the visitor can have seen: those that were captured when
// the page was read, and those on the page.
func seenFields(p *controlv1.PlanResponse) []view.Field {
	upTo := p.GetEquality().GetCapture().GetVersion()
	for _, product := range p.GetProducts() {
		upTo = max(upTo, product.GetHold().GetVersion())
	}
	return []view.Field{{Name: "seen", Value: strconv.FormatUint(upTo, 10)}}
}

// seenChanges returns which held changes the visitor of a form can have seen.
func seenChanges(v *web.Visit) (*controlv1.SeenChanges, error) {
	upTo, err := strconv.ParseUint(v.PostForm.Get("seen"), 10, 64)
	if err != nil {
		return nil, invalid(errors.New("the form does not say which changes were shown"))
	}
	return &controlv1.SeenChanges{UpTo: upTo}, nil
}

func approve(v *web.Visit) (web.Done, error) {
	c, err := chosen(v)
	if err != nil {
		return web.Done{}, err
	}
	seen, err := seenChanges(v)
	if err != nil {
		return web.Done{}, err
	}
	request := &controlv1.ApproveRequest{
		ProductIds: c.ids, Rule: c.rule, Matching: c.held, Reason: v.PostForm.Get("reason"), Seen: seen,
	}
	var done tally
	for {
		answer, err := v.Control.Approve(v.Context(), connect.NewRequest(request))
		if err != nil {
			return web.Done{}, done.failed("approved", err)
		}
		done.decided += len(answer.Msg.GetProductIds())
		done.waiting += len(answer.Msg.GetWaiting())
		done.heldByOthers += len(answer.Msg.GetHeldByOthers())
		done.changed += len(answer.Msg.GetChanged())
		if !c.follow(position{answer.Msg.GetNext(), answer.Msg.GetMatched()}, &request.After) {
			break
		}
	}
	return web.Done{Text: done.approved(), Command: c.command("approve")}, nil
}

func reject(v *web.Visit) (web.Done, error) {
	c, err := chosen(v)
	if err != nil {
		return web.Done{}, err
	}
	seen, err := seenChanges(v)
	if err != nil {
		return web.Done{}, err
	}
	request := &controlv1.RejectRequest{
		ProductIds: c.ids, Rule: c.rule, Matching: c.held, Reason: v.PostForm.Get("reason"), Seen: seen,
	}
	var done tally
	for {
		answer, err := v.Control.Reject(v.Context(), connect.NewRequest(request))
		if err != nil {
			return web.Done{}, done.failed("rejected", err)
		}
		done.changed += len(answer.Msg.GetChanged())
		for _, r := range answer.Msg.GetRejections() {
			done.decided++
			if r.GetWrittenBack() {
				done.writtenBack++
			}
			if r.GetBlocker() != "" {
				done.blocked, done.blocker = done.blocked+1, cmp.Or(done.blocker, r.GetBlocker())
			}
		}
		if !c.follow(position{answer.Msg.GetNext(), answer.Msg.GetMatched()}, &request.After) {
			break
		}
	}
	return web.Done{Text: done.rejected(), Command: c.command("reject")}, nil
}
