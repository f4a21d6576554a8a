// Package find leads from any id to the product that it stands for.
package find

import (
	"strings"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/console/internal/web"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// Add adds the page.
func Add(app *web.App) { app.Page("/find", show) }

// maxID is the longest id that the API takes, in bytes.
const maxID = 1020

// found is what is known of an id.
type found struct {
	id string
	// answer is nil if the ledger does not know the id.
	answer *controlv1.ExplainResponse
	// row is the id as the operator's tables write it. Empty if they have no such product.
	row string
	// rowUnknown is why the tables were not looked at. Empty if they were.
	rowUnknown string
	// behind is why the ledger may not know the id yet. Empty if it is up to date.
	behind string
}

func show(v *web.Visit) (view.Page, error) {
	f := &found{id: strings.TrimSpace(v.URL.Query().Get("id"))}
	page := view.Page{Title: "Find", Section: "/products"}
	if f.id == "" || f.id == "*" || len(f.id) > maxID {
		page.Body = nothing(f)
		return page, nil
	}
	if err := f.ask(v); err != nil {
		return view.Page{}, err
	}
	page.Command = "driftless why " + visible.Argument(f.id)
	switch page.Redirect = f.target(); {
	case page.Redirect != "":
	case f.answer == nil:
		page.Body = nothing(f)
	default:
		page.Body = several(f)
	}
	return page, nil
}

// ask asks the ledger for the products, and then their tables: for one that the ledger does not know, and for the
// verdicts about several.
func (f *found) ask(v *web.Visit) error {
	answer, err := v.Control.Explain(v.Context(), connect.NewRequest(&controlv1.ExplainRequest{Id: f.id}))
	var rows []*ingestv1.TableProduct
	switch {
	case err != nil && connect.CodeOf(err) == connect.CodeNotFound:
		rows, f.rowUnknown = web.ReadRows(v, f.id)
		if len(rows) > 0 && rows[0].GetProduct() != nil {
			f.row = rows[0].GetId()
		}
		f.behind = behind(v)
		return nil
	case err != nil:
		return err
	}
	if f.answer = answer.Msg; f.target() != "" {
		return nil
	}
	var ids []string
	for _, e := range f.answer.GetExplanations() {
		ids = append(ids, e.GetProductId())
	}
	rows, f.rowUnknown = web.ReadRows(v, ids...)
	answer, err = v.Control.Explain(v.Context(), connect.NewRequest(&controlv1.ExplainRequest{
		Id:          f.id,
		Rows:        rows,
		RowsUnknown: f.rowUnknown,
	}))
	if err != nil {
		return err
	}
	f.answer = answer.Msg
	return nil
}

// behind returns why the ledger may lack what happened lately, empty if it does not.
func behind(v *web.Visit) string {
	e, err := web.ReadEquality(v)
	switch {
	case err != nil:
		return web.Explain(err)
	case e.GetUnknown() == "" && e.GetAsOf() == nil:
		return "the tables were not read yet"
	}
	return e.GetUnknown()
}

// target returns the path of the only product, empty if there is not exactly one. A price leads to its card.
func (f *found) target() string {
	all := f.answer.GetExplanations()
	switch {
	case f.answer == nil && f.row != "":
		return view.ProductPath(f.row)
	case len(all) != 1 || f.answer.GetTruncated():
		return ""
	case all[0].GetPriceId() != "":
		return view.PricePath(all[0].GetProductId(), all[0].GetPriceId())
	}
	return view.ProductPath(all[0].GetProductId())
}

// heading says how many products an id stands for.
func (f *found) heading() string {
	n := view.Count(uint64(len(f.answer.GetExplanations())))
	if f.answer.GetTruncated() {
		n = "more than " + n
	}
	return "This " + kindWords(f.answer.GetIdKind()) + " stands for " + n + " products"
}

// kindWords returns the words for a kind of ids.
func kindWords(kind string) string {
	words := visible.Words(kind)
	if rest, ok := strings.CutPrefix(words, "stripe "); ok {
		return "Stripe " + rest
	}
	return words
}
