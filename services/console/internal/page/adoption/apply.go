package adoption

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/console/internal/web"
	"github.com/driftless-sync/driftless/services/internal/adoption"
)

const (
	// maxEntries is how many entries a request may have.
	maxEntries = 1000
	// maxNamedStale is how many stale entries a message names.
	maxNamedStale = 20
)

func invalid(format string, args ...any) error {
	return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf(format, args...))
}

// applySelected adopts the selected matches.
func applySelected(v *web.Visit) (web.Done, error) {
	var entries []adoption.Entry
	for _, text := range v.PostForm["entry"] {
		e, err := decode(text)
		if err != nil {
			return web.Done{}, connect.NewError(connect.CodeInvalidArgument, err)
		}
		entries = append(entries, e)
	}
	if len(entries) == 0 {
		return web.Done{}, invalid("no match is selected")
	}
	return apply(v, v.PostForm.Get(paramKey), entries)
}

// applyCertain adopts all matches without doubts, but those that are left out.
func applyCertain(v *web.Visit) (web.Done, error) {
	values, err := url.ParseQuery(v.PostForm.Get("query"))
	if err != nil {
		return web.Done{}, invalid("the form cannot be read: %w", err)
	}
	q := parse(values)
	plan, err := readPlan(v, &controlv1.PlanAdoptionRequest{MetadataKey: q.key, Certain: true})
	if err != nil {
		return web.Done{}, err
	}
	if plan.GetUnknown() != "" {
		return web.Done{}, connect.NewError(connect.CodeFailedPrecondition, errors.New(plan.GetUnknown()))
	}
	entries := q.certainEntries(plan)
	if count := v.PostForm.Get("count"); count != strconv.Itoa(len(entries)) {
		return web.Done{}, invalid("nothing was done: %s products match beyond doubt now, and the page said %s",
			view.Count(uint64(len(entries))), count)
	}
	return apply(v, q.key, entries)
}

// certainEntries returns the entries of matches without doubts that are not left out.
func (q query) certainEntries(plan *controlv1.PlanAdoptionResponse) []adoption.Entry {
	var out []adoption.Entry
	for _, m := range plan.GetMatches() {
		if len(m.GetDoubts()) == 0 && !q.isOut(m.GetProductId()) {
			out = append(out, entryOf(m))
		}
	}
	return out
}

// applyMatch adopts the match that the visitor has put together.
func applyMatch(v *web.Visit) (web.Done, error) {
	e, err := decode(v.PostForm.Get("entry"))
	if err != nil {
		return web.Done{}, connect.NewError(connect.CodeInvalidArgument, err)
	}
	// The page has shown every doubt.
	e.KnowsDoubts = true
	return apply(v, v.PostForm.Get(paramKey), []adoption.Entry{e})
}

// apply has push adopt entries, unless one of them no longer fits. It leads to the progress.
func apply(v *web.Visit, key string, entries []adoption.Entry) (web.Done, error) {
	left, stale, err := check(v, key, entries)
	switch {
	case err != nil:
		return web.Done{}, err
	case len(stale) > 0:
		return web.Done{}, connect.NewError(connect.CodeFailedPrecondition, errors.New("nothing was done: "+
			named(stale)))
	case len(left) == 0:
		return web.Done{Text: "All of them were adopted before."}, nil
	}
	batch, ordered := rand.Text(), 0
	for first := 0; first < len(left); first += maxEntries {
		request := &controlv1.ApplyAdoptionRequest{
			MetadataKey: key, Batch: batch, First: uint32(first), Reason: v.PostForm.Get("reason"),
		}
		for _, e := range left[first:min(first+maxEntries, len(left))] {
			request.Entries = append(request.Entries, requestOf(e))
		}
		answer, err := v.Control.ApplyAdoption(v.Context(), connect.NewRequest(request))
		if err == nil && answer.Msg.GetStale() > 0 {
			err = errors.New(named(staleOf(answer.Msg, left[first:])))
		}
		if err != nil {
			return web.Done{}, fmt.Errorf("%s, then it stopped: %w",
				view.Many(uint64(ordered), "adoption was ordered", "adoptions were ordered"), err)
		}
		ordered += len(answer.Msg.GetOrders())
	}
	return web.Done{
		Text:    view.Many(uint64(ordered), "adoption is ordered.", "adoptions are ordered."),
		Command: "driftless adopt apply adopt.yaml",
		Back:    batchOf{id: batch, ids: len(left), orders: ordered}.path(),
	}, nil
}

// check compares entries with the current state of both sides. It returns those that are still to be adopted, and what
// is stale.
func check(v *web.Visit, key string, entries []adoption.Entry) (left []adoption.Entry, stale []string, err error) {
	stale = repeated(entries)
	for page := range slices.Chunk(entries, maxEntries) {
		request := &controlv1.ApplyAdoptionRequest{MetadataKey: key, DryRun: true}
		for _, e := range page {
			request.Entries = append(request.Entries, requestOf(e))
		}
		answer, err := v.Control.ApplyAdoption(v.Context(), connect.NewRequest(request))
		if err != nil {
			return nil, nil, err
		}
		stale = append(stale, staleOf(answer.Msg, page)...)
		for i, c := range answer.Msg.GetEntries() {
			if c.GetStale() == "" && !c.GetAdopted() {
				left = append(left, page[i])
			}
		}
	}
	return left, stale, nil
}

// staleOf returns the stale entries of an answer in words.
func staleOf(answer *controlv1.ApplyAdoptionResponse, entries []adoption.Entry) []string {
	var out []string
	for i, c := range answer.GetEntries() {
		if c.GetStale() != "" {
			out = append(out, place(entries[i])+c.GetStale())
		}
	}
	return out
}

// repeated names ids that entries far apart have twice. The API finds those within a request.
func repeated(entries []adoption.Entry) []string {
	var out []string
	products, stripes := map[string]int{}, map[string]int{}
	for i, e := range entries {
		for _, seen := range []struct {
			ids map[string]int
			id  string
		}{{products, e.Product}, {stripes, e.Stripe}} {
			if at, twice := seen.ids[seen.id]; twice && at/maxEntries != i/maxEntries {
				out = append(out, place(e)+seen.id+" is there twice")
			}
			seen.ids[seen.id] = i
		}
	}
	return out
}

// place says which entry a message is about.
func place(e adoption.Entry) string {
	if e.Line > 0 {
		return fmt.Sprintf("line %d, product %s: ", e.Line, e.Product)
	}
	return "product " + e.Product + ": "
}

// named joins stale entries to one message.
func named(stale []string) string {
	if more := len(stale) - maxNamedStale; more > 0 {
		stale = append(slices.Clone(stale[:maxNamedStale]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(stale, "; ")
}
