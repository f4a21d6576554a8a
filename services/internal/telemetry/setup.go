package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/driftless-sync/driftless/services/internal/metrics"
)

// Options of Setup.
type Options struct {
	// Service is the service.name of spans. OTEL_SERVICE_NAME overrides it.
	Service string
	Version string
	// Logger logs when spans cannot be exported, and when they can again. Defaults to slog.Default().
	Logger *slog.Logger
	// Component and Account are labels of every metric: the service's name in subjects, and the name of the Stripe
	// account.
	Component, Account string
}

// Telemetry is the installed tracing and metrics of a process.
type Telemetry struct {
	traces   *sdktrace.TracerProvider
	metrics  *sdkmetric.MeterProvider
	registry *prometheus.Registry
	// abandon cancels the export of spans.
	abandon context.CancelFunc
	// unobserve stops the report of the process's version.
	unobserve func()
}

// Setup installs tracing and metrics for the whole process. If OTEL_EXPORTER_OTLP_ENDPOINT or
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, it exports spans by OTLP over HTTP. Otherwise it only creates trace ids,
// which are propagated and appear in logs and histories. It follows the standard OTEL_* variables. A collector that is
// down or slow costs only spans. Handler serves the metrics.
func Setup(ctx context.Context, o Options) (*Telemetry, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	otel.SetErrorHandler(&errorHandler{logger: o.Logger})
	res, err := newResource(ctx, o)
	if err != nil {
		return nil, err
	}
	ended, abandon := context.WithCancel(context.Background())
	t := &Telemetry{abandon: abandon}
	if t.traces, err = tracerProvider(ctx, ended, res, o.Logger); err != nil {
		abandon()
		return nil, err
	}
	if t.metrics, t.registry, err = meter(o, res); err != nil {
		abandon()
		return nil, err
	}
	otel.SetTracerProvider(t.traces)
	otel.SetMeterProvider(t.metrics)
	t.unobserve = observeBuild(o.Version)
	metrics.Begin(ctx, o.Component)
	otel.SetTextMapPropagator(traceContext)
	return t, nil
}

// newResource describes this process. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES add to it and override it.
func newResource(ctx context.Context, o Options) (*resource.Resource, error) {
	res, err := resource.New(ctx,
		// This sets service.instance.id: a random one for each process, which tells replicas apart.
		resource.WithService(),
		resource.WithAttributes(semconv.ServiceName(o.Service), semconv.ServiceVersion(o.Version)),
		resource.WithHost(), resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return res, nil
}

func tracerProvider(ctx, ended context.Context, res *resource.Resource,
	logger *slog.Logger,
) (*sdktrace.TracerProvider, error) {
	sampler, err := configuredSampler()
	if err != nil {
		return nil, err
	}
	exports, err := exportsTraces()
	if err != nil {
		return nil, err
	}
	if never := sdktrace.NeverSample(); !exports || sampler == never {
		return sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithSampler(never)), nil
	}
	otlp, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("set up the export of traces: %w", err)
	}
	return NewTracerProvider(sampler,
		sdktrace.NewBatchSpanProcessor(&exporter{SpanExporter: otlp, logger: logger, ended: ended}),
		sdktrace.WithResource(res)), nil
}

func exportsTraces() (bool, error) {
	env := func(names ...string) string {
		for _, n := range names {
			if v := os.Getenv(n); v != "" {
				return v
			}
		}
		return ""
	}
	if env("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" ||
		strings.EqualFold(env("OTEL_SDK_DISABLED"), "true") || env("OTEL_TRACES_EXPORTER") == "none" {
		return false, nil
	}
	if p := env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); p != "" && p != "http/protobuf" {
		return false,
			fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q; traces are exported by http/protobuf only: set that, and the endpoint's HTTP port (4318 by default)", p)
	}
	return true, nil
}

// Shutdown exports the remaining spans and stops. ctx limits it.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	defer t.abandon()
	t.unobserve()
	return errors.Join(t.traces.Shutdown(ctx), t.metrics.Shutdown(ctx))
}
