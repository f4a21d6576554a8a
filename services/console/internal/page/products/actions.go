package products

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/console/internal/web"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// call is a call about products: those that are named, or a page of those that match.
type call struct {
	visit    *web.Visit
	ids      []string
	matching *controlv1.MatchingProducts
	reason   string
}

// action is something that can be done to many products.
type action struct {
	name, label, effect string
	// command is the command about one product or several, which stand for %s.
	command     string
	role        auth.Role
	needsReason bool
	// each reports that the API takes named products one at a time.
	each bool
	// call makes one call. It returns the page of matching products. For named ones, only its failures count.
	call func(call) (*controlv1.MatchedProducts, error)
}

// actions are what can be done to products, in the order of the buttons.
var actions = []action{
	{
		name: "sync", label: "Sync", role: auth.Operate, call: callSync,
		command: "driftless sync %s",
		effect:  "Ingestion reads them from your tables, and push writes to Stripe what differs.",
	},
	{
		name: "keep-catalog", label: "Keep catalog", role: auth.Operate, each: true,
		command: "driftless drift resolve %s --keep catalog",
		call: func(c call) (*controlv1.MatchedProducts, error) {
			return callResolve(c, controlv1.Keep_KEEP_CATALOG)
		},
		effect: "Their open drift is decided: the catalog's values go to Stripe.",
	},
	{
		name: "keep-stripe", label: "Keep Stripe", role: auth.Operate, each: true,
		command: "driftless drift resolve %s --keep stripe",
		call:    func(c call) (*controlv1.MatchedProducts, error) { return callResolve(c, controlv1.Keep_KEEP_STRIPE) },
		effect:  "Their open drift is decided: Stripe's values go to the catalog.",
	},
	{
		name: "ignore", label: "Ignore", role: auth.Operate, each: true, call: callIgnore,
		command: "driftless drift ignore %s",
		effect:  "Their open drift is left alone until a value changes.",
	},
	{
		name: "replay", label: "Try again", role: auth.Operate, call: callReplay,
		command: "driftless dead replay %s",
		effect:  "Their refused changes are tried again, in the latest state.",
	},
	{
		name: "approve", label: "Approve", role: auth.Approve, needsReason: true, call: callApprove,
		command: "driftless approve %s --reason TEXT",
		effect:  "Their held changes are made in Stripe now.",
	},
}

func (a action) path() string { return "/selected-products/" + a.name }

// buttons are the actions as buttons for selected products.
func buttons() (out []view.Action) {
	for _, b := range buttonsForAll() {
		for _, a := range actions {
			if b.Path == a.path() {
				b.Command = a.commandFor("PRODUCT")
			}
		}
		out = append(out, b)
	}
	return out
}

// commandFor returns the command about products. Those that take one at a time are shown for one.
func (a action) commandFor(ids ...string) string {
	named := make([]string, len(ids))
	for i, id := range ids {
		named[i] = visible.Argument(id)
	}
	return fmt.Sprintf(a.command, strings.Join(named, " "))
}

// maxNamed is how many products the command of a result names.
const maxNamed = 20

// resultCommand returns the command that does the same, empty if it would be too long or more than one.
func (a action) resultCommand(ids []string, reason string) string {
	if len(ids) == 0 || len(ids) > maxNamed || a.each && len(ids) > 1 {
		return ""
	}
	return strings.Replace(a.commandFor(ids...), "--reason TEXT", "--reason "+visible.Argument(reason), 1)
}

// buttonsForAll are the actions as buttons for all products that match. fields are hidden fields of each.
func buttonsForAll(fields ...view.Field) (out []view.Action) {
	for _, a := range actions {
		out = append(out, view.Action{
			Label: a.label, Path: a.path(), Role: a.role, Effect: a.effect, Reason: true, NeedsReason: a.needsReason,
			Fields: fields,
		})
	}
	return out
}

// tally counts what was done.
type tally struct {
	products uint64
	failures []string
}

// add counts the products of a call, and those that it left.
func (t *tally) add(products uint64, answer *controlv1.MatchedProducts) {
	t.products += products - min(products, uint64(len(answer.GetFailures())))
	for _, f := range answer.GetFailures() {
		t.failures = append(t.failures, f.GetProductId()+": "+f.GetError())
	}
}

// run does an action to the products of a form: the selected ones, or all that match.
func (a action) run(v *web.Visit) (web.Done, error) {
	reason := strings.TrimSpace(v.PostForm.Get("reason"))
	if a.needsReason && reason == "" {
		return web.Done{}, invalid("say why: the reason is kept in the audit trail")
	}
	var done tally
	var err error
	line := ""
	if v.PostForm.Get("scope") == "all" {
		err = a.runAll(v, reason, &done)
	} else {
		line = a.resultCommand(v.PostForm["id"], reason)
		err = a.runSelected(v, reason, &done)
	}
	if err != nil && done.products == 0 {
		return web.Done{}, err
	}
	if err != nil {
		return web.Done{},
			fmt.Errorf("%s: stopped after %s: %w", a.label, view.Many(done.products, "product", "products"), err)
	}
	return web.Done{Text: done.text(a.label), Command: line}, nil
}

func (a action) runSelected(v *web.Visit, reason string, done *tally) error {
	ids := v.PostForm["id"]
	if len(ids) == 0 {
		return invalid("no product is selected")
	}
	if !a.each {
		matched, err := a.call(call{visit: v, ids: ids, reason: reason})
		if err == nil {
			done.add(uint64(len(ids)), matched)
		}
		return err
	}
	for _, id := range ids {
		_, err := a.call(call{visit: v, ids: []string{id}, reason: reason})
		switch code := connect.CodeOf(err); {
		case err == nil:
			done.products++
		case code == connect.CodeNotFound || code == connect.CodeFailedPrecondition:
			// The others are decided all the same.
			done.failures = append(done.failures, web.Explain(err))
		default:
			return err
		}
	}
	return nil
}

func (a action) runAll(v *web.Visit, reason string, done *tally) error {
	q, err := parseFilter(v.PostForm.Get("query"))
	if err != nil {
		return invalid("the form does not say which products match")
	}
	// Without the number that was shown, more products might be changed than the visitor has seen.
	total, err := strconv.ParseUint(v.PostForm.Get("total"), 10, 64)
	if err != nil || total == 0 {
		return invalid("the form does not say how many products match")
	}
	matching := &controlv1.MatchingProducts{AtMost: total}
	if q.isEmpty() {
		matching.All = true
	} else {
		matching.Filter = q.filter()
	}
	for {
		matched, err := a.call(call{visit: v, matching: matching, reason: reason})
		if err != nil {
			return err
		}
		done.add(uint64(matched.GetProducts()), matched)
		if matched.GetNext() == "" || matched.GetNext() == matching.GetAfter() {
			return nil
		}
		matching.After = matched.GetNext()
	}
}

// maxFailures is how many failures a result names.
const maxFailures = 3

// text says what was done, and to how many.
func (t *tally) text(label string) string {
	text := label + ": " + view.Many(t.products, "product", "products") + "."
	if n := len(t.failures); n > 0 {
		text += " Not done for " + view.Many(uint64(n), "product", "products") + ": " +
			strings.Join(t.failures[:min(n, maxFailures)], "; ")
		if n > maxFailures {
			text += "; …"
		}
	}
	return text
}

func callSync(c call) (*controlv1.MatchedProducts, error) {
	answer, err := c.visit.Control.SyncProducts(c.visit.Context(), connect.NewRequest(&controlv1.SyncProductsRequest{
		ProductIds: c.ids, Matching: c.matching, Reason: c.reason,
	}))
	if err != nil {
		return nil, err
	}
	return answer.Msg.GetMatched(), nil
}

func callResolve(c call, keep controlv1.Keep) (*controlv1.MatchedProducts, error) {
	answer, err := c.visit.Control.ResolveDrift(c.visit.Context(), connect.NewRequest(&controlv1.ResolveDriftRequest{
		ProductId: c.id(), Matching: c.matching, Keep: keep, Reason: c.reason,
	}))
	if err != nil {
		return nil, err
	}
	return answer.Msg.GetMatched(), nil
}

func callIgnore(c call) (*controlv1.MatchedProducts, error) {
	answer, err := c.visit.Control.IgnoreDrift(c.visit.Context(), connect.NewRequest(&controlv1.IgnoreDriftRequest{
		ProductId: c.id(), Matching: c.matching, Reason: c.reason,
	}))
	if err != nil {
		return nil, err
	}
	return answer.Msg.GetMatched(), nil
}

func callReplay(c call) (*controlv1.MatchedProducts, error) {
	answer, err := c.visit.Control.ReplayDeadLetters(c.visit.Context(),
		connect.NewRequest(&controlv1.ReplayDeadLettersRequest{
			Selection: &controlv1.DeadLetterSelection{ProductIds: c.ids, Matching: c.matching},
			Reason:    c.reason,
		}))
	if err != nil {
		return nil, err
	}
	if c.matching == nil {
		var failed []error
		for _, r := range answer.Msg.GetResults() {
			if r.GetError() != "" {
				failed = append(failed, errors.New(r.GetProductId()+": "+r.GetError()))
			}
		}
		if len(failed) > 0 {
			return nil, connect.NewError(connect.CodeFailedPrecondition, errors.Join(failed...))
		}
	}
	return answer.Msg.GetMatched(), nil
}

func callApprove(c call) (*controlv1.MatchedProducts, error) {
	upTo, err := strconv.ParseUint(c.visit.PostForm.Get("seen"), 10, 64)
	if err != nil {
		return nil, invalid("the form does not say which changes were shown")
	}
	answer, err := c.visit.Control.Approve(c.visit.Context(), connect.NewRequest(&controlv1.ApproveRequest{
		ProductIds: c.ids, Matching: c.matching, Reason: c.reason, Seen: &controlv1.SeenChanges{UpTo: upTo},
	}))
	if err != nil || len(answer.Msg.GetChanged()) == 0 {
		return answer.Msg.GetMatched(), err
	}
	matched := answer.Msg.GetMatched()
	if matched == nil {
		matched = &controlv1.MatchedProducts{}
	}
	for _, id := range answer.Msg.GetChanged() {
		matched.Failures = append(matched.GetFailures(), &controlv1.ProductFailure{
			ProductId: id, Error: "changed since the page was read, and nothing was decided about what is held now",
		})
	}
	return matched, nil
}

// seen is the hidden field that says which held changes the visitor of the list can have seen.
func (l list) seen() view.Field {
	return view.Field{Name: "seen", Value: strconv.FormatUint(l.equality.GetCapture().GetVersion(), 10)}
}

// id returns the product of a call that takes one, empty if the call is about all that match.
func (c call) id() string {
	if len(c.ids) == 0 {
		return ""
	}
	return c.ids[0]
}

// invalid returns the error for a form that says too little.
func invalid(text string) error {
	return connect.NewError(connect.CodeInvalidArgument, errors.New(text))
}
