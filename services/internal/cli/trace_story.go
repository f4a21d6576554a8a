package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/jaeger"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
)

const (
	// maxEntries is how many entries of the ledger are searched for traces.
	maxEntries = 200
	// maxOrigins is how many traces are followed back: an edit in Stripe, its drift, and its repair.
	maxOrigins = 4
	// maxCarriers is how many carriers of a superseded change are followed.
	maxCarriers = 200
)

// story is what is shown about a product: its latest trace, what that came from, and what carried it on.
type story struct {
	traces []*jaeger.Trace
	// between is the number of carriers that are left out, because they only passed the change on.
	between int
	// warnings say what the story does not rest on.
	warnings []string
}

// storyTeller finds the traces of a product.
type storyTeller struct {
	product string
	client  *jaeger.Client
	// known are the traces that were read, by id; nil for one that Jaeger does not have.
	known map[string]*jaeger.Trace
	// change is the trace of the latest change in the catalog, as the ledger knows it.
	change string
}

func newStoryTeller(product string, client *jaeger.Client) *storyTeller {
	return &storyTeller{product: product, client: client, known: map[string]*jaeger.Trace{}}
}

// read returns a trace, or nil if Jaeger does not have it.
func (s *storyTeller) read(ctx context.Context, id string) (*jaeger.Trace, error) {
	if t, ok := s.known[id]; ok {
		return t, nil
	}
	t, err := s.client.Trace(ctx, id)
	if err != nil && !errors.Is(err, jaeger.ErrNoTrace) {
		return nil, err
	}
	s.known[id] = t
	return t, nil
}

// traceIDs returns the ids of the traces in the history, the latest first.
func traceIDs(entries []*controlv1.HistoryEntry) (ids []string, change string) {
	for _, e := range entries {
		id := e.GetTraceId()
		if id == "" {
			continue
		}
		if e.GetKind() == "catalog_change" && change == "" {
			change = id
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, change
}

// latest returns the latest n traces of the product, ordered by time, and warnings. The ledger knows which they are.
// Without the ledger, and for traces that Jaeger lost, the search falls back to the latest that Jaeger finds.
func (s *storyTeller) latest(ctx context.Context, c *cli, at address, since time.Duration, n int) (
	[]*jaeger.Trace, []string, error,
) {
	ids, err := s.fromLedger(ctx, c, at)
	var warnings []string
	if err != nil {
		warnings = append(warnings, fmt.Sprintf(
			"the ledger cannot say which trace is the latest: %s. This is the latest that Jaeger finds", err))
	}
	var found []*jaeger.Trace
	for i, id := range ids {
		if len(found) == n {
			break
		}
		t, err := s.read(ctx, id)
		switch {
		case err != nil:
			return nil, nil, err
		case t != nil:
			found = append(found, t)
		case i == 0:
			warnings = append(warnings, fmt.Sprintf(
				"the latest trace is %s, which Jaeger does not have: its spans may arrive in some seconds, or it was not sampled. This is an earlier one", id))
		}
	}
	if len(found) > 0 {
		slices.Reverse(found)
		return found, warnings, nil
	}
	found, err = s.client.Product(ctx, s.product, time.Now().Add(-since), n)
	return found, warnings, err
}

// fromLedger returns the ids of the product's traces, the latest first.
func (s *storyTeller) fromLedger(ctx context.Context, c *cli, at address) (ids []string, err error) {
	client, err := at.control(c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, jaegerTimeout/2)
	defer cancel()
	resp, err := client.ListHistory(ctx,
		connect.NewRequest(&controlv1.ListHistoryRequest{ProductId: s.product, Limit: maxEntries}))
	if err != nil {
		return nil, err
	}
	ids, s.change = traceIDs(resp.Msg.GetEntries())
	return ids, nil
}

// tell returns the story that a trace belongs to.
func (s *storyTeller) tell(ctx context.Context, t *jaeger.Trace) (story, error) {
	s.known[t.ID] = t
	out := story{traces: []*jaeger.Trace{t}}
	for range maxOrigins {
		id := s.origin(out.traces[0])
		before, err := s.readNew(ctx, out, id)
		if err != nil {
			return out, err
		}
		if before == nil {
			break
		}
		out.traces = slices.Insert(out.traces, 0, before)
	}
	for n := range maxCarriers {
		id := carrierOf(out.traces[len(out.traces)-1], s.product)
		by, err := s.readNew(ctx, out, id)
		if err != nil {
			return out, err
		}
		if by == nil {
			break
		}
		if last := len(out.traces) - 1; n > 0 {
			out.traces[last] = by
			out.between++
		} else {
			out.traces = append(out.traces, by)
		}
	}
	return out, nil
}

// readNew reads a trace that the story does not have. It returns nil if there is none.
func (s *storyTeller) readNew(ctx context.Context, of story, id string) (*jaeger.Trace, error) {
	if id == "" || slices.ContainsFunc(of.traces, func(t *jaeger.Trace) bool { return t.ID == id }) {
		return nil, nil //nolint:nilnil // no trace is no error
	}
	return s.read(ctx, id)
}

// origin returns the trace that a trace follows from. A repair follows from the drift, drift from Stripe's event, and a
// pass from the change that it completes.
func (s *storyTeller) origin(t *jaeger.Trace) string {
	for _, span := range t.Spans {
		if (spanFilter{product: s.product}).isForeign(span) {
			continue
		}
		name := shortName(span)
		for _, l := range span.Links {
			isDrift := name == "find drift" || name == "repair drift"
			isCompleted := l.TraceID == s.change && span.Attributes[string(telemetry.CarriedByKey)] == ""
			if l.TraceID != t.ID && (isDrift || isCompleted) {
				return l.TraceID
			}
		}
	}
	return ""
}

// carrierOf returns the trace that carries a product's change on, "" if the trace itself completes it.
func carrierOf(t *jaeger.Trace, product string) string {
	by := ""
	for _, span := range t.Spans {
		if (spanFilter{product: product}).isForeign(span) {
			continue
		}
		if id := span.Attributes[string(telemetry.CarriedByKey)]; id != "" && id != t.ID {
			by = id
		}
	}
	return by
}
