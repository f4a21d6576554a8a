// Package jaeger reads traces from Jaeger's query API. It uses the JSON API under /api that every version of Jaeger
// serves.
package jaeger

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/driftless-sync/driftless/services/internal/redact"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
)

// DefaultURL is the address of Jaeger's query API on the same machine.
const DefaultURL = "http://127.0.0.1:16686"

// servicePrefix begins the names of the mesh's services, unless OTEL_SERVICE_NAME changes them.
const servicePrefix = "driftless-"

// Trace is a trace, or the part of it that Jaeger has. Its methods index the spans once, so they must not change after
// that. It is not safe for concurrent use.
type Trace struct {
	ID string `json:"trace_id"`
	// Spans are ordered by their start.
	Spans []*Span `json:"spans"`

	indexed *index
}

// index has what would otherwise be searched in all spans, once for each span.
type index struct {
	children map[string][]*Span
	roots    []*Span
	duration time.Duration
}

func (t *Trace) index() *index {
	if t.indexed != nil {
		return t.indexed
	}
	x := &index{children: map[string][]*Span{}}
	known := make(map[string]bool, len(t.Spans))
	for _, s := range t.Spans {
		known[s.ID] = true
	}
	for _, s := range t.Spans {
		if known[s.Parent] {
			x.children[s.Parent] = append(x.children[s.Parent], s)
		} else {
			x.roots = append(x.roots, s)
		}
		x.duration = max(x.duration, s.End().Sub(t.Start()))
	}
	t.indexed = x
	return x
}

// Span is a span of a trace.
type Span struct {
	ID      string `json:"span_id"`
	Parent  string `json:"parent_id"`
	Service string `json:"service"`
	Name    string `json:"name"`
	// Start has a resolution of a microsecond.
	Start    time.Time     `json:"start"`
	Duration time.Duration `json:"duration_ns"`
	// Attributes are texts by name.
	Attributes map[string]string `json:"attributes"`
	Links      []Link            `json:"links"`
}

// Link refers to a span of another trace.
type Link struct {
	TraceID string `json:"trace_id"`
	SpanID  string `json:"span_id"`
}

// Error returns the error of the span in words, or "".
func (s *Span) Error() string {
	if s.Attributes["otel.status_code"] != "ERROR" && s.Attributes["error"] != "true" {
		return ""
	}
	return cmp.Or(s.Attributes["otel.status_description"], s.Attributes["error.type"], "failed")
}

// End returns the end of the span.
func (s *Span) End() time.Time { return s.Start.Add(s.Duration) }

// Start returns the start of the trace.
func (t *Trace) Start() time.Time { return t.Spans[0].Start }

// Duration returns the time from the first span's start to the last span's end.
func (t *Trace) Duration() time.Duration { return t.index().duration }

// Roots returns the spans whose parent Jaeger does not have. A complete trace has one root, which has no parent.
func (t *Trace) Roots() []*Span { return t.index().roots }

// Children returns the children of a span, ordered by their start.
func (t *Trace) Children(parent string) []*Span { return t.index().children[parent] }

// Client reads from one Jaeger. It is safe for concurrent use.
type Client struct {
	// URL is the address of the query API. Its user and password are used.
	URL  string
	HTTP *http.Client
}

// ErrNoTrace reports that Jaeger does not have the trace.
var ErrNoTrace = errors.New("no such trace")

// Trace returns the trace with an id, or ErrNoTrace.
func (c *Client) Trace(ctx context.Context, id string) (*Trace, error) {
	var traces []wireTrace
	if err := c.get(ctx, "/api/traces/"+url.PathEscape(id), nil, &traces); err != nil {
		return nil, err
	}
	if len(traces) == 0 || len(traces[0].Spans) == 0 {
		return nil, ErrNoTrace
	}
	return traces[0].decode(), nil
}

// minSearchLimit is the least number of traces that a search asks for. Jaeger answers with any traces that match, not
// with the latest, if there are more than the limit.
const minSearchLimit = 100

// Product returns the latest traces with a span about a product, ordered by start: at most n, begun since a time. If
// Jaeger has more than a hundred of them, others may be later.
func (c *Client) Product(ctx context.Context, product string, since time.Time, n int) ([]*Trace, error) {
	services, err := c.services(ctx)
	if err != nil {
		return nil, err
	}
	tags, err := json.Marshal(map[string]string{string(telemetry.ProductIDKey): product})
	if err != nil {
		return nil, fmt.Errorf("encode the search: %w", err)
	}
	found := map[string]*Trace{}
	for _, service := range services {
		var traces []wireTrace
		err := c.get(ctx, "/api/traces", url.Values{
			"service": {service}, "tags": {string(tags)}, "limit": {strconv.Itoa(max(n, minSearchLimit))},
			"start": {strconv.FormatInt(since.UnixMicro(), 10)},
			"end":   {strconv.FormatInt(time.Now().Add(time.Minute).UnixMicro(), 10)},
		}, &traces)
		if err != nil {
			return nil, err
		}
		for _, t := range traces {
			if len(t.Spans) > 0 {
				found[t.TraceID] = t.decode()
			}
		}
	}
	out := slices.SortedFunc(maps.Values(found), func(a, b *Trace) int { return a.Start().Compare(b.Start()) })
	return out[max(len(out)-n, 0):], nil
}

// services returns the services of the mesh, or all services if none has its prefix.
func (c *Client) services(ctx context.Context) ([]string, error) {
	var all []string
	if err := c.get(ctx, "/api/services", nil, &all); err != nil {
		return nil, err
	}
	ours := slices.DeleteFunc(slices.Clone(all),
		func(name string) bool { return !strings.HasPrefix(name, servicePrefix) })
	if len(ours) == 0 {
		return all, nil
	}
	return ours, nil
}

func (c *Client) get(ctx context.Context, path string, query url.Values, into any) error {
	at := strings.TrimSuffix(c.URL, "/")
	shown := redact.URL(at)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at+path+"?"+query.Encode(), nil)
	if err != nil {
		return fmt.Errorf("%s is not an address of Jaeger: it must look like %s", shown, DefaultURL)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		if broken, ok := errors.AsType[*url.Error](err); ok {
			err = broken.Err
		}
		return fmt.Errorf(
			"Jaeger's query API at %s does not answer: %w; start one with scripts/jaeger, or set --jaeger or "+
				"DRIFTLESS_JAEGER_URL", shown, err)
	}
	defer resp.Body.Close()
	const maxBytes = 256 << 20
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBytes))
	if err != nil {
		return fmt.Errorf("read Jaeger's answer to GET %s: %w", path, err)
	}
	var answer struct {
		Data   json.RawMessage `json:"data"`
		Errors []struct {
			Code int    `json:"code"`
			Msg  string `json:"msg"`
		} `json:"errors"`
	}
	err = json.Unmarshal(body, &answer)
	switch {
	case err == nil && resp.StatusCode == http.StatusNotFound && len(answer.Errors) > 0:
		return ErrNoTrace
	case err == nil && len(answer.Errors) > 0:
		return fmt.Errorf("Jaeger at %s refuses GET %s: %s", shown, path, answer.Errors[0].Msg)
	case err != nil || resp.StatusCode != http.StatusOK || answer.Data == nil:
		return fmt.Errorf(
			"%s is not Jaeger's query API: it answered GET %s with %s; set the address of Jaeger's user interface "+
				"(port 16686 by default)", shown, path, resp.Status)
	}
	if string(answer.Data) == "null" {
		return nil
	}
	if err := json.Unmarshal(answer.Data, into); err != nil {
		return fmt.Errorf("decode Jaeger's answer to GET %s: %w", path, err)
	}
	return nil
}
