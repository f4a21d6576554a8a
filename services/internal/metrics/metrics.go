// Package metrics declares every figure that the services expose, and makes the instruments that record them. What is
// not declared here is not exposed: docs/metrics.md, the checks of dashboard and alerts, and the services all read the
// one table in table.go.
//
// It knows nothing of where the figures go; telemetry serves them. Instruments are made with OpenTelemetry's global
// meter provider: until one is set, and in tests, they record nothing. Everything here may be used concurrently.
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

// meter hands on to the provider that is set later. The same one for all: a callback can observe only instruments of
// its own meter.
var meter = otel.Meter("github.com/driftless-sync/driftless/services/internal/metrics")

// Kind is what sort of instrument a metric is.
type Kind string

// Kinds. A counter only grows, a histogram counts values by size, a gauge is what holds now.
const (
	KindCounter   Kind = "counter"
	KindHistogram Kind = "histogram"
	KindGauge     Kind = "gauge"
)

// Metric is the declaration of one metric.
type Metric struct {
	// Name by OpenTelemetry's rules; Prometheus' is made from it, the unit and the kind.
	Name string
	Kind Kind
	// Unit in UCUM: "s", "By"; "{product}" and such count things and do not appear in Prometheus' names.
	Unit string
	// Services that expose it.
	Services []string
	Labels   []Label
	// Meaning in a sentence.
	Meaning string
	// Buckets are a histogram's upper bounds.
	Buckets []float64
}

// Label is a dimension of a metric.
type Label struct {
	Name    string
	Meaning string
	// Values are all that there are; nil where they come from Stripe or the topology. No label ever holds a product's
	// id.
	Values []string
}

// Attribute is a label with a value.
type Attribute = attribute.KeyValue

// Of gives the label a value.
func (l Label) Of(value string) Attribute { return attribute.String(l.Name, value) }

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

// Record takes a value in the metric's unit.
func (h Histogram) Record(ctx context.Context, value float64, labels ...Attribute) {
	h.instrument.Record(ctx, value, metric.WithAttributes(labels...))
}

// Gauge is read by Observe's functions whenever the metrics are asked for.
type Gauge struct {
	Metric

	instrument metric.Float64ObservableGauge
}

// Report takes the present value of a gauge.
type Report func(g Gauge, value float64, labels ...Attribute)

// Observe has a function report gauges whenever the metrics are asked for. A gauge that it does not report, because it
// is not known, is absent. The returned function ends that.
func Observe(observe func(ctx context.Context, report Report), gauges ...Gauge) (stop func()) {
	instruments := make([]metric.Observable, len(gauges))
	for i, g := range gauges {
		instruments[i] = g.instrument
	}
	registration, err := meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		observe(ctx, func(g Gauge, value float64, labels ...Attribute) {
			o.ObserveFloat64(g.instrument, value, metric.WithAttributes(labels...))
		})
		return nil
	}, instruments...)
	if err != nil {
		// Only for instruments of another provider.
		otel.Handle(fmt.Errorf("observe metrics: %w", err))
		return func() {}
	}
	return func() { _ = registration.Unregister() }
}

// Begin sets the counters of a service to 0 wherever all values of their labels are known: to Prometheus a counter that
// comes into being with its first event has not grown.
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
		c.begin(ctx, labels[1:], append(slices.Clip(values), labels[0].Of(value)))
	}
}

// declare keeps a declaration. That its instrument can be made, a test says.
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

// seconds is a histogram of durations.
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

// Prometheus is the metric's name in Prometheus; of a histogram, that of the family.
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
