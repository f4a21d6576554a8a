package cli

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// jaegerSpan is a span as Jaeger encodes it.
func jaegerSpan(id, parent, service, name string, start, duration int, tags map[string]string,
	links ...string,
) map[string]any {
	const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	references := []map[string]string{}
	if parent != "" {
		references = append(references, map[string]string{"refType": "CHILD_OF", "traceID": traceID, "spanID": parent})
	}
	for _, l := range links {
		references = append(references, map[string]string{
			"refType": "FOLLOWS_FROM",
			"traceID": l,
			"spanID":  "00f067aa0ba902b7",
		})
	}
	list := []map[string]any{}
	for key, value := range tags {
		list = append(list, map[string]any{"key": key, "type": "string", "value": value})
	}
	return map[string]any{
		"traceID": traceID, "spanID": id, "operationName": name, "references": references,
		"startTime": 1_700_000_000_000_000 + start, "duration": duration, "tags": list, "processID": service,
	}
}

// jaegerStub is a query API with one trace of the product mug.
func jaegerStub(t *testing.T) *httptest.Server {
	t.Helper()
	trace := map[string]any{
		"traceID": "4bf92f3577b34da6a3ce929d0e0e4736",
		"processes": map[string]any{
			"i": map[string]string{"serviceName": "driftless-ingestion"},
			"p": map[string]string{"serviceName": "driftless-push"},
			"l": map[string]string{"serviceName": "driftless-pull"},
		},
		"spans": []any{
			jaegerSpan("a1", "", "i", "capture", 0, 10_000, nil),
			jaegerSpan("a2", "a1", "i", "send catalog", 2_000, 8_000, nil),
			jaegerSpan("b1", "a2", "p", "process catalog.{account}.{lane}.{product}", 10_000, 90_000, map[string]string{
				"driftless.outcome": "retry", "driftless.retry.delay_ms": "1250", "otel.status_code": "ERROR",
				"error":                         "true",
				"otel.status_description":       "product mug: create product mug: Stripe: An error occurred [req_1]",
				"messaging.consumer.group.name": "push-live-default",
			}),
			jaegerSpan("b2", "a2", "p", "process catalog", 1_400_000, 600_000, map[string]string{
				"driftless.attempt":             "2",
				"messaging.consumer.group.name": "push-live-default",
			}),
			jaegerSpan("b3", "b2", "p", "sync product", 1_400_000, 600_000,
				map[string]string{"driftless.carries.count": "2", "driftless.outcome": "applied"},
				"11111111111111111111111111111111", "22222222222222222222222222222222"),
			jaegerSpan("b4", "b3", "p", "POST /v1/products", 1_500_000, 200_000, map[string]string{
				"driftless.idempotency_key": "k", "http.request.method": "POST", "http.response.status_code": "200",
				"stripe.request_id": "req_2",
			}),
			jaegerSpan("c1", "b3", "l", "POST /stripe/webhook", 1_990_000, 10_000, map[string]string{
				"stripe.event_id":   "evt_1",
				"stripe.event_type": "product.created",
			}),
		},
	}
	answer := func(w http.ResponseWriter, data any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"data": data, "errors": nil})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/services", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, []string{"shop", "driftless-ingestion", "driftless-push"})
	})
	mux.HandleFunc("GET /api/traces", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.FormValue("service"), "driftless-") &&
			r.FormValue("tags") == `{"driftless.product.id":"mug"}` {
			answer(w, []any{trace})
			return
		}
		answer(w, []any{})
	})
	mux.HandleFunc("GET /api/traces/{id}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") == trace["traceID"] {
			answer(w, []any{trace})
			return
		}
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"data":   nil,
			"errors": []any{map[string]any{"code": 404, "msg": "trace not found"}},
		})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

const waterfallOfMug = `took 2.00 s: 7 spans in 3 services, 1 error
ingestion      capture                                                        0.0 ms     10 ms █
ingestion        send catalog                                                 2.0 ms    8.0 ms █
push               process catalog [retry]                                     10 ms     90 ms █
                     └ ERROR: product mug: create product mug: Stripe: An error occurred [req_1]
                     └ retried after 1.25 s
push               process catalog #2                                         1.40 s    600 ms                 ████████
push                 sync product [applied]                                   1.40 s    600 ms                 ████████
                       └ carries 2 more: trace 11111111111111111111111111111111, 22222222222222222222222222222222
push                   POST /v1/products 200                                  1.50 s    200 ms                   ██
                         └ Stripe's request req_2
pull                   POST /stripe/webhook                                   1.99 s     10 ms                        █
                         └ evt_1 product.created

applied: Stripe has the change, 2.00 s after it began; no event has confirmed it in this trace yet
`

func TestTrace_DrawsWaterfall(t *testing.T) {
	server := jaegerStub(t)
	for _, args := range [][]string{{"mug"}, {"--trace-id", "4bf92f3577b34da6a3ce929d0e0e4736"}} {
		code, out := printed(t,
			append([]string{"trace", "--jaeger", server.URL + "/", "--width", "120", "--data-dir", t.TempDir()},
				args...)...)
		require.Zero(t, code)
		require.Contains(t, out, "trace 4bf92f3577b34da6a3ce929d0e0e4736\n")
		require.Contains(t, out, waterfallOfMug)
		require.Equal(t, args[0] == "mug", strings.Contains(out, "Note: the ledger cannot say"), "there is no mesh")
	}
	code, out := printed(t, "trace", "mug", "--jaeger", server.URL, "-o", "json", "--data-dir", t.TempDir())
	require.Zero(t, code)
	var decoded struct {
		Traces []struct {
			TraceID string `json:"trace_id"`
			Spans   []struct {
				SpanID string `json:"span_id"`
				Parent string `json:"parent_id"`
				Name   string `json:"name"`
			} `json:"spans"`
		} `json:"traces"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &decoded))
	require.Len(t, decoded.Traces, 1)
	require.Len(t, decoded.Traces[0].Spans, 7)
	require.Equal(t, "a1", decoded.Traces[0].Spans[1].Parent)
}

// complaint runs a command that fails and returns its standard error.
func complaint(t *testing.T, args ...string) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	require.NoError(t, err)
	defer file.Close()
	before := os.Stderr
	os.Stderr = file
	defer func() { os.Stderr = before }()
	code, _ := printed(t, args...)
	require.Equal(t, 1, code)
	said, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	return string(said)
}

func TestTrace_ExplainsFailuresOfJaeger(t *testing.T) {
	server := jaegerStub(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	dead := "http://" + listener.Addr().String()
	require.NoError(t, listener.Close())
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"away": {
			[]string{"mug", "--jaeger", dead},
			[]string{dead, "does not answer", "scripts/jaeger", "DRIFTLESS_JAEGER_URL"},
		},
		"something else": {[]string{"mug", "--jaeger", other.URL}, []string{"is not Jaeger's query API", "16686"}},
		"no such product": {
			[]string{"cup", "--jaeger", server.URL},
			[]string{"no trace of product cup", "OTEL_TRACES_SAMPLER", "driftless history cup"},
		},
		"no such trace": {
			[]string{"--trace-id", strings.Repeat("a", 32), "--jaeger", server.URL},
			[]string{"Jaeger has no trace aaaa"},
		},
		"no trace id": {
			[]string{"--trace-id", "4711", "--jaeger", server.URL},
			[]string{"must be 32 hexadecimal digits"},
		},
		"neither": {nil, []string{"set either a product or --trace-id"}},
		"both": {
			[]string{"mug", "--trace-id", strings.Repeat("a", 32)},
			[]string{"set either a product or --trace-id"},
		},
		"none of the last": {[]string{"mug", "--last", "0"}, []string{"--last"}},
		"a bad address": {
			[]string{"mug", "--jaeger", "http://user:hidden@[::1"},
			[]string{"is not an address of Jaeger"},
		},
		"with its password": {
			[]string{"mug", "--jaeger", strings.Replace(dead, "http://", "http://user:hidden@", 1)},
			[]string{"does not answer"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			said := complaint(t, append([]string{"trace", "--data-dir", t.TempDir()}, c.args...)...)
			for _, words := range c.want {
				require.Contains(t, said, words)
			}
			require.NotContains(t, said, "hidden")
		})
	}
}
