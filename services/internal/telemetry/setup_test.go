package telemetry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// logged is a log that can be read while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) lines() (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		out = append(out, line)
	}
	return out
}

// set sets telemetry up for a collector at an address.
func set(t *testing.T, url string) (*Telemetry, *logged) {
	t.Helper()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "5")
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "200")
	log := &logged{}
	out, err := Setup(t.Context(), Options{Service: "driftless-test", Logger: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	return out, log
}

// spans creates and ends spans, and fails if that blocks.
func spans(t *testing.T, n int) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range n {
			_, span := otel.Tracer("test").Start(context.Background(), "work")
			span.End()
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		require.Fail(t, "the work waits for the collector")
	}
}

const patience = time.Minute

func TestExporter_LogsStartAndEndOfOutage(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := listener.Addr().String()
	require.NoError(t, listener.Close())
	tel, log := set(t, "http://"+addr)
	require.Eventually(t, func() bool { spans(t, 100); return len(log.lines()) > 0 }, patience, 10*time.Millisecond)
	for range 50 {
		spans(t, 100)
	}
	require.Len(t, log.lines(), 1, log.lines())
	require.Contains(t, log.lines()[0], "check OTEL_EXPORTER_OTLP_ENDPOINT")

	listener, err = net.Listen("tcp", addr)
	require.NoError(t, err)
	var taken atomic.Int64
	collector := &httptest.Server{
		Listener: listener,
		Config: &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			taken.Add(1)
		})},
	}
	collector.Start()
	defer collector.Close()
	require.Eventually(t, func() bool { spans(t, 10); return taken.Load() > 3 }, patience, 10*time.Millisecond)
	require.Len(t, log.lines(), 2, log.lines())
	require.Contains(t, log.lines()[1], "span export recovered")
	require.NoError(t, tel.Shutdown(t.Context()))
}

func TestExporter_HangingCollectorBlocksNothing(t *testing.T) {
	ended := make(chan struct{})
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-ended:
		case <-r.Context().Done():
		}
	}))
	defer collector.Close()
	defer close(ended)
	tel, log := set(t, collector.URL)
	// More spans than the queue holds.
	spans(t, 20_000)
	require.Eventually(t, func() bool { return len(log.lines()) == 1 }, patience, 10*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_ = tel.Shutdown(ctx)
	require.Less(t, time.Since(begun), patience, "the end of the process waits for it no longer than the timeout")
	require.LessOrEqual(t, len(log.lines()), 2, log.lines())
}

func TestExporter_ShortensLongErrors(t *testing.T) {
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, strings.Repeat("a page of words ", 10_000), http.StatusBadRequest)
	}))
	defer collector.Close()
	tel, log := set(t, collector.URL)
	require.Eventually(t, func() bool { spans(t, 10); return len(log.lines()) > 0 }, patience, 10*time.Millisecond)
	require.Less(t, len(log.lines()[0]), 2000)
	require.NoError(t, tel.Shutdown(t.Context()))
}

func TestErrorHandler_LogsOnceAMinute(t *testing.T) {
	log := &logged{}
	handler := &errorHandler{logger: slog.New(slog.NewTextHandler(log, nil))}
	for range 1000 {
		handler.Handle(errors.New("queue full"))
	}
	require.Len(t, log.lines(), 1)
}

func TestSetup_PropagatesIDsWithoutCollector(t *testing.T) {
	tel, err := Setup(t.Context(), Options{Service: "driftless-test"})
	require.NoError(t, err)
	_, span := otel.Tracer("test").Start(t.Context(), "work")
	require.True(t, span.SpanContext().TraceID().IsValid())
	require.False(t, span.IsRecording())
	span.End()
	require.NoError(t, tel.Shutdown(t.Context()))
}

func TestConfiguredSampler_ReadsEnvironment(t *testing.T) {
	for name, c := range map[string]struct {
		sampler, arg string
		root, child  bool
		err          string
	}{
		"nothing":        {root: true},
		"all":            {sampler: "always_on", root: true, child: true},
		"none":           {sampler: "always_off"},
		"all by parent":  {sampler: "parentbased_always_on", root: true},
		"none by parent": {sampler: "parentbased_always_off"},
		"a share of 1":   {sampler: "traceidratio", arg: "1", root: true, child: true},
		"a share of 0":   {sampler: "parentbased_traceidratio", arg: "0"},
		"no share":       {sampler: "parentbased_traceidratio", root: true},
		"a share that is none": {
			sampler: "traceidratio",
			arg:     "1%",
			err:     `OTEL_TRACES_SAMPLER_ARG is "1%": must be the share of traces to keep, from 0 to 1`,
		},
		"too large a share": {sampler: "traceidratio", arg: "1.5", err: "from 0 to 1"},
		"not a number":      {sampler: "traceidratio", arg: "NaN", err: "from 0 to 1"},
		"an unknown one":    {sampler: "sometimes", err: `OTEL_TRACES_SAMPLER is "sometimes": must be always_on`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_TRACES_SAMPLER", c.sampler)
			t.Setenv("OTEL_TRACES_SAMPLER_ARG", c.arg)
			sampler, err := configuredSampler()
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				_, err = Setup(t.Context(), Options{Service: "driftless-test"})
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			exported := recorded(t, sampler, func(tracer trace.Tracer) {
				_, root := tracer.Start(t.Context(), "root")
				root.End()
				_, child := tracer.Start(remote(t, unsampled), "child")
				child.End()
			})
			_, root := exported["root"]
			_, child := exported["child"]
			require.Equal(t, c.root, root)
			require.Equal(t, c.child, child)
		})
	}
}

func TestNewResource_TellsReplicasApart(t *testing.T) {
	attributes := func() map[attribute.Key]string {
		res, err := newResource(t.Context(), Options{Service: "driftless-push", Version: "1.2.3"})
		require.NoError(t, err)
		out := map[attribute.Key]string{}
		for _, a := range res.Attributes() {
			out[a.Key] = a.Value.AsString()
		}
		return out
	}
	one, other := attributes(), attributes()
	require.Equal(t, "driftless-push", one[semconv.ServiceNameKey])
	require.Equal(t, "1.2.3", one[semconv.ServiceVersionKey])
	require.NotEmpty(t, one[semconv.HostNameKey])
	require.NotEmpty(t, one[semconv.ServiceInstanceIDKey])
	require.NotEqual(t, one[semconv.ServiceInstanceIDKey], other[semconv.ServiceInstanceIDKey])
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=pod-1,k8s.namespace.name=shop")
	named := attributes()
	require.Equal(t, "pod-1", named[semconv.ServiceInstanceIDKey])
	require.Equal(t, "shop", named["k8s.namespace.name"])
}
