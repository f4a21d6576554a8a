package product

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

func addActions(app *web.App) {
	app.Action(auth.Operate, "/products/{id}/sync", sync)
	app.Action(auth.Operate, "/products/{id}/reread", reread)
	app.Action(auth.Operate, "/products/{id}/resolve", resolve)
	app.Action(auth.Operate, "/products/{id}/ignore", ignore)
	app.Action(auth.Operate, "/products/{id}/replay", replay)
	app.Action(auth.Operate, "/products/{id}/drop", drop)
	app.Action(auth.Operate, "/products/{id}/rollback", rollback)
	app.Action(auth.Approve, "/products/{id}/approve", approve)
	app.Action(auth.Approve, "/products/{id}/reject", reject)
}

// command returns a command about a product.
func command(verb, id, rest string) string {
	line := "driftless " + verb + " " + visible.Argument(id)
	if rest != "" {
		line += " " + rest
	}
	return line
}

// decision returns a command that decides about a field, or about all if it is empty. It is empty if no command can
// name the field.
func decision(verb, id, field string, flags ...string) string {
	if field != "" {
		flag, ok := visible.ListFlag("field", field)
		if !ok {
			return ""
		}
		flags = append(flags, flag)
	}
	return command(verb, id, strings.Join(flags, " "))
}

func sync(v *web.Visit) (web.Done, error) {
	id, look := v.PathValue("id"), v.PostForm.Get("look") != ""
	_, err := v.Control.SyncProducts(v.Context(), connect.NewRequest(&controlv1.SyncProductsRequest{
		ProductIds: []string{id},
		Look:       look,
		Reason:     v.PostForm.Get("reason"),
	}))
	done := web.Done{Text: id + ": the sync is ordered. This page shows its result.", Command: command("sync", id, "")}
	if look {
		done.Text = id + ": the read from Stripe and the sync are ordered. This page shows their result."
		done.Command = command("sync", id, "--look")
	}
	return done, err
}

func reread(v *web.Visit) (web.Done, error) {
	id := v.PathValue("id")
	_, err := v.Control.Reread(v.Context(), connect.NewRequest(&controlv1.RereadRequest{ProductIds: []string{id}}))
	return web.Done{
		Text:    id + ": ingestion reads the tables again. A difference from the captured state appears here.",
		Command: command("reread", id, ""),
	}, err
}

// allFields is how a form names all fields. A form without fields decides nothing.
const allFields = "*"

// fieldOf returns the field that a form is about, and the fields of a request: none stands for all.
func fieldOf(v *web.Visit) (name string, fields []string, err error) {
	switch name = v.PostForm.Get("field"); name {
	case "":
		return "", nil, invalid("say which field the decision is about")
	case allFields:
		return "", nil, nil
	}
	return name, []string{name}, nil
}

// named says how many differences a decision was about.
func named(drift []*controlv1.Drift) string {
	return view.Many(uint64(len(drift)), "difference", "differences")
}

func resolve(v *web.Visit) (web.Done, error) {
	id := v.PathValue("id")
	name, fields, err := fieldOf(v)
	if err != nil {
		return web.Done{}, err
	}
	request := &controlv1.ResolveDriftRequest{ProductId: id, Fields: fields, Reason: v.PostForm.Get("reason")}
	side := v.PostForm.Get("keep")
	var effect string
	switch side {
	case "catalog":
		request.Keep, effect = controlv1.Keep_KEEP_CATALOG, "the catalog's values go to Stripe"
	case "stripe":
		request.Keep, effect = controlv1.Keep_KEEP_STRIPE, "Stripe's values go to the catalog"
	default:
		return web.Done{}, invalid("say whose values to keep: catalog or stripe")
	}
	answer, err := v.Control.ResolveDrift(v.Context(), connect.NewRequest(request))
	if err != nil {
		return web.Done{}, err
	}
	return web.Done{
		Text:    fmt.Sprintf("%s: %s decided, %s.", id, named(answer.Msg.GetDrift()), effect),
		Command: decision("drift resolve", id, name, "--keep "+side),
	}, nil
}

func ignore(v *web.Visit) (web.Done, error) {
	id := v.PathValue("id")
	name, fields, err := fieldOf(v)
	if err != nil {
		return web.Done{}, err
	}
	answer, err := v.Control.IgnoreDrift(v.Context(), connect.NewRequest(&controlv1.IgnoreDriftRequest{
		ProductId: id,
		Fields:    fields,
		Reason:    v.PostForm.Get("reason"),
	}))
	if err != nil {
		return web.Done{}, err
	}
	return web.Done{
		Text:    fmt.Sprintf("%s: %s left alone until a value changes.", id, named(answer.Msg.GetDrift())),
		Command: decision("drift ignore", id, name),
	}, nil
}

func replay(v *web.Visit) (web.Done, error) {
	id := v.PathValue("id")
	answer, err := v.Control.ReplayDeadLetters(v.Context(), connect.NewRequest(&controlv1.ReplayDeadLettersRequest{
		Selection: &controlv1.DeadLetterSelection{ProductIds: []string{id}},
		Reason:    v.PostForm.Get("reason"),
	}))
	if err != nil {
		return web.Done{}, err
	}
	if err := letterError(answer.Msg.GetResults()); err != nil {
		return web.Done{}, err
	}
	return web.Done{
		Text:    id + ": the change is tried again. A letter stays open until that succeeds.",
		Command: command("dead replay", id, ""),
	}, nil
}

func drop(v *web.Visit) (web.Done, error) {
	id, why := v.PathValue("id"), v.PostForm.Get("reason")
	answer, err := v.Control.DropDeadLetters(v.Context(), connect.NewRequest(&controlv1.DropDeadLettersRequest{
		Selection: &controlv1.DeadLetterSelection{ProductIds: []string{id}},
		Why:       why,
	}))
	if err != nil {
		return web.Done{}, err
	}
	if err := letterError(answer.Msg.GetResults()); err != nil {
		return web.Done{}, err
	}
	n := uint64(len(answer.Msg.GetResults()))
	return web.Done{
		Text:    fmt.Sprintf("%s: %s dropped without a retry.", id, view.Many(n, "dead letter", "dead letters")),
		Command: command("dead drop", id, withReason("--why", why)),
	}, nil
}

// letterError returns why letters were left open, nil if none was.
func letterError(results []*controlv1.DeadLetterResult) error {
	for _, r := range results {
		if r.GetError() != "" {
			return connect.NewError(connect.CodeFailedPrecondition, errors.New(r.GetProductId()+": "+r.GetError()))
		}
	}
	return nil
}

// heldFields are the hidden fields of a decision about the held change: which one the visitor sees.
func heldFields(f *facts) []view.Field {
	return []view.Field{{Name: "held", Value: strconv.FormatUint(f.plan.GetHold().GetVersion(), 10)}}
}

// seenChange returns which held change the visitor of a form has seen.
func seenChange(v *web.Visit, id string) (*controlv1.SeenChanges, error) {
	version, err := strconv.ParseUint(v.PostForm.Get("held"), 10, 64)
	if err != nil {
		return nil, invalid("the form does not say which change was shown")
	}
	return &controlv1.SeenChanges{Versions: map[string]uint64{id: version}}, nil
}

// errChanged is the error of a decision about a change that is not held any more, because another one is.
func errChanged(changed []string) error {
	if len(changed) == 0 {
		return nil
	}
	return connect.NewError(connect.CodeAborted, errors.New(
		"the catalog has changed meanwhile, and another change is held now. Nothing was decided: look at it again"))
}

func approve(v *web.Visit) (web.Done, error) {
	id, reason := v.PathValue("id"), strings.TrimSpace(v.PostForm.Get("reason"))
	if reason == "" {
		return web.Done{}, invalid("say why: the reason is kept in the audit trail")
	}
	seen, err := seenChange(v, id)
	if err != nil {
		return web.Done{}, err
	}
	answer, err := v.Control.Approve(v.Context(), connect.NewRequest(&controlv1.ApproveRequest{
		ProductIds: []string{id},
		Reason:     reason,
		Seen:       seen,
	}))
	if err == nil {
		err = errChanged(answer.Msg.GetChanged())
	}
	if err != nil {
		return web.Done{}, err
	}
	done := web.Done{
		Text:    id + ": the change is approved, and push makes it now.",
		Command: command("approve", id, withReason("--reason", reason)),
	}
	if len(answer.Msg.GetWaiting()) > 0 {
		done.Text = id + ": your approval is recorded. The change needs that of another person, too."
	}
	return done, nil
}

func reject(v *web.Visit) (web.Done, error) {
	id, reason := v.PathValue("id"), strings.TrimSpace(v.PostForm.Get("reason"))
	if reason == "" {
		return web.Done{}, invalid("say why: the reason is kept in the audit trail")
	}
	seen, err := seenChange(v, id)
	if err != nil {
		return web.Done{}, err
	}
	answer, err := v.Control.Reject(v.Context(), connect.NewRequest(&controlv1.RejectRequest{
		ProductIds: []string{id},
		Reason:     reason,
		Seen:       seen,
	}))
	if err == nil {
		err = errChanged(answer.Msg.GetChanged())
	}
	if err != nil {
		return web.Done{}, err
	}
	done := web.Done{
		Text:    id + ": the change is rejected.",
		Command: command("reject", id, withReason("--reason", reason)),
	}
	for _, r := range answer.Msg.GetRejections() {
		if r.GetWrittenBack() {
			done.Text += " The catalog gets Stripe's values back."
		} else {
			done.Text += " It stays held until the catalog changes, because the catalog cannot get Stripe's values: " +
				r.GetBlocker() + "."
		}
	}
	return done, nil
}

func rollback(v *web.Visit) (web.Done, error) {
	id, reason := v.PathValue("id"), strings.TrimSpace(v.PostForm.Get("reason"))
	to, err := strconv.ParseUint(v.PostForm.Get("to"), 10, 64)
	if err != nil {
		return web.Done{}, invalid("say which version to go back to")
	}
	expected, err := strconv.ParseUint(v.PostForm.Get("expected"), 10, 64)
	if err != nil {
		return web.Done{}, invalid("open the preview of the rollback again")
	}
	answer, err := v.Control.Rollback(v.Context(), connect.NewRequest(&controlv1.RollbackRequest{
		ProductId:       id,
		To:              &controlv1.RollbackRequest_Version{Version: to},
		Reason:          reason,
		ExpectedVersion: expected,
	}))
	if err != nil {
		return web.Done{}, err
	}
	done := web.Done{
		Text:    fmt.Sprintf("%s: ingestion is to give the catalog the state of version %d back.", id, to),
		Command: command("rollback", id, fmt.Sprintf("--to %d --yes", to)),
		Back:    view.ProductPath(id),
	}
	switch {
	case !answer.Msg.GetOrdered():
		done.Text = fmt.Sprintf("%s: the catalog already has the state of version %d. Nothing was written.", id, to)
	case answer.Msg.GetPlan().GetHeld():
		done.Text += " The guard holds the change in Stripe until it is approved."
	}
	return done, nil
}

// withReason returns the flag with a reason, empty if there is no reason.
func withReason(flag, reason string) string {
	if reason == "" {
		return ""
	}
	return flag + " " + visible.Argument(reason)
}

// invalid returns the error for a form that says too little.
func invalid(text string) error {
	return connect.NewError(connect.CodeInvalidArgument, errors.New(text))
}
