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
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/driftless-sync/driftless/services/internal/metrics"
)

// Options of Setup.
type Options struct {
	// Service is the service.name of spans unless OTEL_SERVICE_NAME says otherwise.
	Service string
	Version string
	// Logger is told when spans cannot be exported, and when they can again; slog.Default() if nil.
	Logger *slog.Logger
	// Component and Account are labels of every metric: the service's name in subjects, and the Stripe account's.
	Component, Account string
}

// Telemetry is what a process reports with.
type Telemetry struct {
	traces   *sdktrace.TracerProvider
	metrics  *sdkmetric.MeterProvider
	registry *prometheus.Registry
	// abandon cuts off the export of spans.
	abandon context.CancelFunc
	// unobserve ends the reporting of what the process is.
	unobserve func()
}

// Setup installs tracing and metrics for the whole process. Spans are exported by OTLP over HTTP if
// OTEL_EXPORTER_OTLP_ENDPOINT (or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) is set; otherwise only trace ids are made, which
// travel, and appear in logs and histories. The standard OTEL_* variables are obeyed. A collector that is away or slow
// costs spans and nothing else. Metrics are for Handler to serve.
func Setup(ctx context.Context, o Options) (*Telemetry, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	otel.SetErrorHandler(&troubles{logger: o.Logger})
	res, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", o.Service),
			attribute.String("service.version", o.Version)),
		resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
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

// Shutdown exports what is left and stops. ctx bounds it.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	defer t.abandon()
	t.unobserve()
	return errors.Join(t.traces.Shutdown(ctx), t.metrics.Shutdown(ctx))
}
