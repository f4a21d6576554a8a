// Package drift is the page with the differences that are drift, and the decisions about them.
package drift

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/live"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/console/internal/web"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

const (
	// maxShown is about how many differences a page has. It never cuts a product, which may have thousands.
	maxShown = 200
	// maxProducts is at most how many products one form decides about.
	maxProducts = 1000
	// maxFields is at most how many fields of a product the API decides at once.
	maxFields = 1000
	// maxCommands is at most how many commands a result shows. Each is about one product.
	maxCommands = 5
)

// openStates are the states that are shown by default: all but ignored.
var openStates = []string{"found", "repairing", "waiting"}

// Add adds the page and its actions.
func Add(app *web.App) {
	app.Page("/drift", show)
	app.Action(auth.Operate, "/drift/keep-catalog", resolve(controlv1.Keep_KEEP_CATALOG))
	app.Action(auth.Operate, "/drift/keep-stripe", resolve(controlv1.Keep_KEEP_STRIPE))
	app.Action(auth.Operate, "/drift/ignore", ignore)
}

// query is what the address of the page asks for.
type query struct {
	kind, state, after string
}

func (q query) path() string {
	v := url.Values{}
	for name, value := range map[string]string{"kind": q.kind, "state": q.state, "after": q.after} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if len(v) == 0 {
		return "/drift"
	}
	return "/drift?" + v.Encode()
}

func (q query) command() string {
	line := "driftless drift"
	if q.kind != "" || q.state != "" {
		line += " list"
	}
	if q.kind != "" {
		line += " --kind " + visible.Argument(q.kind)
	}
	if q.state != "" {
		line += " --state " + visible.Argument(q.state)
	}
	return line
}

func show(v *web.Visit) (view.Page, error) {
	given := v.URL.Query()
	q := query{kind: given.Get("kind"), state: given.Get("state"), after: given.Get("after")}
	request := &controlv1.ListDriftRequest{States: openStates, After: q.after, Limit: maxShown}
	if q.state != "" {
		request.States = []string{q.state}
	}
	if q.kind != "" {
		request.Kinds = []string{q.kind}
	}
	var answer *connect.Response[controlv1.ListDriftResponse]
	var status *connect.Response[controlv1.GetStatusResponse]
	group, ctx := errgroup.WithContext(v.Context())
	group.Go(func() (err error) {
		answer, err = v.Control.ListDrift(ctx, connect.NewRequest(request))
		return err
	})
	group.Go(func() (err error) {
		status, err = v.Control.GetStatus(ctx, connect.NewRequest(&controlv1.GetStatusRequest{}))
		return err
	})
	if err := group.Wait(); err != nil {
		return view.Page{}, err
	}
	next := ""
	if list := answer.Msg.GetDrift(); answer.Msg.GetTruncated() && len(list) > 0 {
		more := q
		more.after = list[len(list)-1].GetProductId()
		next = more.path()
	}
	return view.Page{
		Title:   "Drift",
		Section: "/drift",
		Body:    page(q, answer.Msg, status.Msg.GetDrift(), next),
		Command: q.command(),
		Live:    live.Status + "," + live.Activity,
	}, nil
}

// separator stands between the product and the field in the value of a checkbox. No id has it: ids are visible text.
const separator = "\x1f"

// key returns the value of the checkbox of a difference.
func key(d *controlv1.Drift) string {
	return d.GetProductId() + separator + fieldName(d.GetDifference().GetField())
}

// fieldName returns the name of a field as the API takes it. A product as a whole is "-".
func fieldName(field string) string {
	if field == "" {
		return "-"
	}
	return field
}

// chosen are the differences that a form selects.
type chosen struct {
	product string
	fields  []string
}

// parse returns the selected differences by product, in the order of the form.
func parse(values []string) ([]chosen, error) {
	var out []chosen
	for _, value := range values {
		product, field, ok := strings.Cut(value, separator)
		if !ok || product == "" || field == "" {
			return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("the form is not one of this page"))
		}
		i := slices.IndexFunc(out, func(c chosen) bool { return c.product == product })
		if i < 0 {
			out = append(out, chosen{product: product})
			i = len(out) - 1
		}
		out[i].fields = append(out[i].fields, field)
	}
	switch {
	case len(values) == 0:
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("no difference is selected"))
	case len(out) > maxProducts:
		return nil, connect.NewError(connect.CodeInvalidArgument,
			fmt.Errorf("%d products are selected, and at most %d can be decided at once", len(out), maxProducts))
	}
	return out, nil
}

// decideEach calls a decision for each selected product, several times for one with more than maxFields fields. It goes
// on after a product that cannot be decided, and stops after any other error.
func decideEach(v *web.Visit, verb, command string, decide func(chosen) error) (web.Done, error) {
	list, err := parse(v.PostForm["drift"])
	if err != nil {
		return web.Done{}, err
	}
	var decided uint64
	var failed []string
	var failure error
	stopped := ""
	for _, c := range list {
		n, err := decideProduct(c, decide)
		decided += n
		if err == nil {
			continue
		}
		if code := connect.CodeOf(err); code == connect.CodeNotFound || code == connect.CodeFailedPrecondition {
			failed, failure = append(failed, c.product+": "+web.Explain(err)), err
			continue
		}
		stopped, failure = "Stopped at "+c.product+": "+web.Explain(err), err
		break
	}
	var texts []string
	if decided > 0 {
		texts = append(texts, view.Many(decided, "difference is ", "differences are ")+verb)
	}
	if n := uint64(len(failed)); n > 0 {
		texts = append(texts, view.Many(n, "product", "products")+" failed: "+strings.Join(failed, "; "))
	}
	if stopped != "" {
		texts = append(texts, stopped)
	}
	text := strings.Join(texts, ". ")
	if failure != nil {
		return web.Done{}, connect.NewError(connect.CodeOf(failure), errors.New(text))
	}
	return web.Done{Text: text + ".", Command: commandsFor(command, list, v.PostForm.Get("reason"))}, nil
}

// decideProduct calls a decision for at most maxFields fields of a product at a time, until one fails. It returns how
// many were decided.
func decideProduct(c chosen, decide func(chosen) error) (decided uint64, err error) {
	for fields := range slices.Chunk(c.fields, maxFields) {
		if err := decide(chosen{product: c.product, fields: fields}); err != nil {
			return decided, err
		}
		decided += uint64(len(fields))
	}
	return decided, nil
}

// commandsFor returns the commands that decide the same, empty if they are too many, or if a command cannot name all
// fields. command names a PRODUCT.
func commandsFor(command string, list []chosen, reason string) string {
	if len(list) > maxCommands {
		return ""
	}
	var lines []string
	for _, c := range list {
		fields, ok := visible.ListFlag("field", c.fields...)
		if !ok || len(c.fields) > maxFields {
			return ""
		}
		line := strings.ReplaceAll(command, "PRODUCT", visible.Argument(c.product)) + " " + fields
		if reason := strings.TrimSpace(reason); reason != "" {
			line += " --reason=" + visible.Argument(reason)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, " && ")
}

func resolve(keep controlv1.Keep) func(*web.Visit) (web.Done, error) {
	verb, flag := "decided: the catalog's values go to Stripe", "catalog"
	if keep == controlv1.Keep_KEEP_STRIPE {
		verb, flag = "decided: Stripe's values go to the catalog", "stripe"
	}
	return func(v *web.Visit) (web.Done, error) {
		return decideEach(v, verb, "driftless drift resolve PRODUCT --keep "+flag, func(c chosen) error {
			_, err := v.Control.ResolveDrift(v.Context(), connect.NewRequest(&controlv1.ResolveDriftRequest{
				ProductId: c.product, Fields: c.fields, Keep: keep, Reason: v.PostForm.Get("reason"),
			}))
			return err
		})
	}
}

func ignore(v *web.Visit) (web.Done, error) {
	return decideEach(v, "left alone until one of their values changes", "driftless drift ignore PRODUCT",
		func(c chosen) error {
			_, err := v.Control.IgnoreDrift(v.Context(), connect.NewRequest(&controlv1.IgnoreDriftRequest{
				ProductId: c.product, Fields: c.fields, Reason: v.PostForm.Get("reason"),
			}))
			return err
		})
}
