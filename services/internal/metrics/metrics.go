// Package metrics declares every metric that the services expose, and creates the instruments that record them. No
// other metric is exposed: docs/metrics.md, the checks of dashboard and alerts, and the services all use the one table
// in table.go.
//
// It does not know where the metrics go; telemetry serves them. Instruments use OpenTelemetry's global meter provider:
// until one is set, and in tests, they record nothing. Everything here is safe for concurrent use.
package metrics

import (
	"context"
	"fmt"
	"slices"

	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// meter delegates to the provider that is set later. All instruments share it: a callback can observe only instruments
// of its own meter.
var meter = otel.Meter("github.com/driftless-sync/driftless/services/internal/metrics")

// Kind is the type of a metric's instrument.
type Kind string

// Kinds. A counter only grows, a histogram counts values by size, a gauge is a current value.
const (
	KindCounter   Kind = "counter"
	KindHistogram Kind = "histogram"
	KindGauge     Kind = "gauge"
)

// Metric is the declaration of one metric.
type Metric struct {
	// Name follows OpenTelemetry's rules. Prometheus' name is made from it, the unit and the kind.
	Name string
	Kind Kind
	// Unit in UCUM: "s", "By". Units such as "{product}" count things and do not appear in Prometheus' names.
	Unit string
	// Services that expose it.
	Services []string
	Labels   []Label
	// Meaning in one sentence.
	Meaning string
	// Buckets are a histogram's upper bounds.
	Buckets []float64
}

// Label is a dimension of a metric.
type Label struct {
	Name    string
	Meaning string
	// Values lists all values; nil if they come from Stripe or the topology. No label ever has the id of a product.
	Values []string
}

// Attribute is a label with a value.
type Attribute = attribute.KeyValue

// With returns the attribute that has the label and a value.
func (l Label) With(value string) Attribute { return attribute.String(l.Name, value) }

var (
	all      []Metric
	counters []Counter
)

// All returns every declaration, in the order of table.go.
func All() []Metric { return all }

// Counter counts events.
type Counter struct {
	Metric

	instrument metric.Int64Counter
}

// Add counts n events.
func (c Counter) Add(ctx context.Context, n int64, labels ...Attribute) {
	c.instrument.Add(ctx, n, metric.WithAttributes(labels...))
}

// Histogram records durations and sizes. The trace of a value's context becomes an exemplar if it is sampled.
type Histogram struct {
	Metric

	instrument metric.Float64Histogram
}

// Record records a value in the metric's unit.
func (h Histogram) Record(ctx context.Context, value float64, labels ...Attribute) {
	h.instrument.Record(ctx, value, metric.WithAttributes(labels...))
}

// Gauge is reported by the functions of Observe whenever the metrics are read.
type Gauge struct {
	Metric

	instrument metric.Float64ObservableGauge
}

// Report reports the current value of a gauge.
type Report func(g Gauge, value float64, labels ...Attribute)

// Observe registers a function that reports gauges whenever the metrics are read. The function must not wait for
// anything, because it would delay all metrics of the process: ObserveSources is for gauges that cost I/O. A gauge that
// it does not report is absent. stop unregisters it.
func Observe(observe func(report Report), gauges ...Gauge) (stop func()) {
	instruments := make([]metric.Observable, len(gauges))
	for i, g := range gauges {
		instruments[i] = g.instrument
	}
	registration, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		observe(func(g Gauge, value float64, labels ...Attribute) {
			o.ObserveFloat64(g.instrument, value, metric.WithAttributes(labels...))
		})
		return nil
	}, instruments...)
	if err != nil {
		// This happens only for instruments of another provider.
		otel.Handle(fmt.Errorf("observe metrics: %w", err))
		return func() {}
	}
	return func() { _ = registration.Unregister() }
}

// Begin sets the counters of a service to 0 if all values of their labels are known. Otherwise Prometheus would miss
// the first event: a counter that appears with its first event has not increased.
func Begin(ctx context.Context, service string) {
	for _, c := range counters {
		if slices.Contains(c.Services, service) {
			c.begin(ctx, c.Labels, nil)
		}
	}
}

func (c Counter) begin(ctx context.Context, labels []Label, values []Attribute) {
	if len(labels) == 0 {
		c.Add(ctx, 0, values...)
		return
	}
	for _, value := range labels[0].Values {
		c.begin(ctx, labels[1:], append(slices.Clip(values), labels[0].With(value)))
	}
}

// declare adds a declaration and creates its instrument. A test checks that this never fails.
func declare[I any](m Metric, create func() (I, error)) (Metric, I) {
	all = append(all, m)
	instrument, err := create()
	if err != nil {
		otel.Handle(fmt.Errorf("metric %s: %w", m.Name, err))
	}
	return m, instrument
}

func counter(name, unit string, services []string, meaning string, labels ...Label) Counter {
	m, i := declare(
		Metric{Name: name, Kind: KindCounter, Unit: unit, Services: services, Labels: labels, Meaning: meaning},
		func() (metric.Int64Counter, error) {
			return meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(meaning))
		})
	counters = append(counters, Counter{m, i})
	return Counter{m, i}
}

// seconds declares a histogram of durations.
func seconds(name string, services []string, buckets []float64, meaning string, labels ...Label) Histogram {
	m, i := declare(
		Metric{
			Name:     name,
			Kind:     KindHistogram,
			Unit:     "s",
			Services: services,
			Labels:   labels,
			Meaning:  meaning,
			Buckets:  buckets,
		}, func() (metric.Float64Histogram, error) {
			return meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(meaning),
				metric.WithExplicitBucketBoundaries(buckets...))
		})
	return Histogram{m, i}
}

func gauge(name, unit string, services []string, meaning string, labels ...Label) Gauge {
	m, i := declare(
		Metric{Name: name, Kind: KindGauge, Unit: unit, Services: services, Labels: labels, Meaning: meaning},
		func() (metric.Float64ObservableGauge, error) {
			return meter.Float64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(meaning))
		})
	return Gauge{m, i}
}

// Prometheus returns the metric's name in Prometheus; the name of the family for a histogram.
func (m Metric) Prometheus() (string, error) {
	types := map[Kind]otlptranslator.MetricType{
		KindCounter: otlptranslator.MetricTypeMonotonicCounter, KindHistogram: otlptranslator.MetricTypeHistogram,
		KindGauge: otlptranslator.MetricTypeGauge,
	}
	namer := otlptranslator.NewMetricNamer("", otlptranslator.UnderscoreEscapingWithSuffixes)
	name, err := namer.Build(otlptranslator.Metric{Name: m.Name, Unit: m.Unit, Type: types[m.Kind]})
	if err != nil {
		return "", fmt.Errorf("metric %s: %w", m.Name, err)
	}
	return name, nil
}
