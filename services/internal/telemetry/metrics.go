package telemetry

import (
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

// meter returns a provider that collects the process's metrics, and the registry that Handler serves.
func meter(o Options, res *resource.Resource) (*sdkmetric.MeterProvider, *prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	// These labels are on every series, so that no query depends on the scrape configuration.
	labels := prometheus.Labels{metrics.Component.Name: o.Component, metrics.Account.Name: o.Account}
	registerer := prometheus.WrapRegistererWith(labels, registry)
	registerer.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reader, err := otelprometheus.New(otelprometheus.WithRegisterer(registerer), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return nil, nil, fmt.Errorf("set up metrics: %w", err)
	}
	// The libraries' HTTP metrics repeat ours, with ten more labels.
	others := sdkmetric.NewView(sdkmetric.Instrument{Name: "http.*"},
		sdkmetric.Stream{Aggregation: sdkmetric.AggregationDrop{}})
	return sdkmetric.NewMeterProvider(sdkmetric.WithResource(res), sdkmetric.WithReader(reader),
		sdkmetric.WithView(others)), registry, nil
}

// observeBuild reports the version of the process.
func observeBuild(version string) (stop func()) {
	return metrics.Observe(func(report metrics.Report) {
		report(metrics.BuildInfo, 1, metrics.Version.With(version), metrics.GoVersion.With(runtime.Version()))
	}, metrics.BuildInfo)
}

// Handler serves the metrics in Prometheus' format, or in OpenMetrics' with exemplars if the client requests it.
func (t *Telemetry) Handler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}
