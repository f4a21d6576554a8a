package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/driftless-sync/driftless/services/internal/metrics"
)

// meter collects what the process records, for Handler to serve.
func meter(o Options, res *resource.Resource) (*sdkmetric.MeterProvider, *prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	// On every series, so that no query depends on how the scraping is set up.
	labels := prometheus.Labels{metrics.Component.Name: o.Component, metrics.Account.Name: o.Account}
	registerer := prometheus.WrapRegistererWith(labels, registry)
	registerer.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reader, err := otelprometheus.New(otelprometheus.WithRegisterer(registerer), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return nil, nil, fmt.Errorf("set up metrics: %w", err)
	}
	// The libraries' own say what ours say, with ten labels more.
	others := sdkmetric.NewView(sdkmetric.Instrument{Name: "http.*"},
		sdkmetric.Stream{Aggregation: sdkmetric.AggregationDrop{}})
	return sdkmetric.NewMeterProvider(sdkmetric.WithResource(res), sdkmetric.WithReader(reader),
		sdkmetric.WithView(others)), registry, nil
}

// observeBuild reports what the process is.
func observeBuild(version string) (stop func()) {
	return metrics.Observe(func(_ context.Context, report metrics.Report) {
		report(metrics.BuildInfo, 1, metrics.Version.Of(version), metrics.GoVersion.Of(runtime.Version()))
	}, metrics.BuildInfo)
}

// Handler serves the metrics in Prometheus' format, and in OpenMetrics', with exemplars, to those who ask for it.
func (t *Telemetry) Handler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}
