package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

type tracingCmd struct {
	Captured    int `default:"20000" help:"Products to capture in each measurement."`
	Transaction int `default:"10" help:"Products changed by one transaction: each transaction is a trace."`
	Pushed      int `default:"1000" help:"Products to push in each measurement: each is a trace."`
	Concurrency int `default:"32" help:"Products pushed at once."`
	Rounds      int `default:"12" help:"Number of rounds; the result is the median."`
}

type tracingResult struct {
	Modes []*tracingMode `json:"modes"`
	// Throughput at 1% and at 100%, as shares of the throughput without tracing in the same round. The values are
	// medians.
	CaptureAt1   float64 `json:"capture_ratio_1_percent"`
	CaptureAt100 float64 `json:"capture_ratio_100_percent"`
	PushAt1      float64 `json:"push_ratio_1_percent"`
	PushAt100    float64 `json:"push_ratio_100_percent"`
}

type tracingMode struct {
	Sampled          string  `json:"sampled"`
	CapturePerSecond float64 `json:"capture_per_second"`
	PushPerSecond    float64 `json:"push_per_second"`
	// Processor time of this process for each product, in milliseconds, including that of NATS and the simulator. It
	// shows the cost even on a machine that also does other work.
	CaptureCPU float64 `json:"capture_cpu_ms"`
	PushCPU    float64 `json:"push_cpu_ms"`
	// SpanBytes is the number of bytes that reached the collector in all rounds.
	SpanBytes int64 `json:"span_bytes"`

	share                                 string
	captured, pushed, captureCPU, pushCPU []float64
}

// Run measures the modes in turn, in rounds of different order. So other work of the machine, and earlier measurements,
// affect them alike.
func (cmd *tracingCmd) Run(ctx context.Context, c *cli) (err error) {
	capture, err := newCaptureBench(ctx, &captureCmd{Products: cmd.Captured, Transaction: cmd.Transaction})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, capture.stop()) }()
	conn, err := capture.fill(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	push, err := newPushBench(ctx, stripesim.Config{Limits: stripesim.Limits{Off: true}}, budget.Limits{},
		cmd.Concurrency)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, push.stop()) }()
	sink, err := startSink()
	if err != nil {
		return err
	}
	defer func() { _ = sink.server.Close() }()
	r := &tracingResult{
		Modes: []*tracingMode{{Sampled: "off"}, {Sampled: "1%", share: "0.01"}, {Sampled: "100%", share: "1"}},
	}
	for round := range cmd.Rounds {
		for i := range r.Modes {
			m := r.Modes[(i+round)%len(r.Modes)]
			if err := cmd.measure(ctx, m, sink, capture, conn, push,
				fmt.Sprintf("%s-%d", strings.TrimSuffix(m.Sampled, "%"), round)); err != nil {
				return fmt.Errorf("tracing %s: %w", m.Sampled, err)
			}
		}
	}
	for _, m := range r.Modes {
		m.CapturePerSecond, m.PushPerSecond = median(m.captured), median(m.pushed)
		m.CaptureCPU, m.PushCPU = median(m.captureCPU), median(m.pushCPU)
	}
	off := r.Modes[0]
	r.CaptureAt1, r.CaptureAt100 = share(r.Modes[1].captured, off.captured), share(r.Modes[2].captured, off.captured)
	r.PushAt1, r.PushAt100 = share(r.Modes[1].pushed, off.pushed), share(r.Modes[2].pushed, off.pushed)
	return c.report(r.text(), r)
}

func (r *tracingResult) text() string {
	var b strings.Builder
	for _, m := range r.Modes {
		fmt.Fprintf(&b,
			"tracing %-5s captured %.0f a second (%.3f ms of processor time each), pushed %.0f a second (%.2f ms); "+
				"%.1f MB of spans\n",
			m.Sampled+":", m.CapturePerSecond, m.CaptureCPU, m.PushPerSecond, m.PushCPU, float64(m.SpanBytes)/1e6)
	}
	fmt.Fprintf(&b,
		"of the throughput without tracing: at 1%% capture %.2f, push %.2f; at 100%% capture %.2f, push %.2f\n",
		r.CaptureAt1, r.PushAt1, r.CaptureAt100, r.PushAt100)
	return b.String()
}

// measure takes one figure of each kind, with tracing set up as in a service.
func (cmd *tracingCmd) measure(ctx context.Context, m *tracingMode, sink *sink, capture *captureBench, conn *pgx.Conn,
	push *pushBench, prefix string,
) (err error) {
	before := sink.bytes.Load()
	endpoint := ""
	if m.share != "" {
		endpoint = sink.url
	}
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
		"OTEL_TRACES_SAMPLER_ARG": m.share,
	} {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("set up tracing: %w", err)
		}
	}
	t, err := telemetry.Setup(ctx, telemetry.Options{Service: "driftless-bench", Logger: slog.Default()})
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, t.Shutdown(ctx))
		m.SpanBytes += sink.bytes.Load() - before
	}()
	if err := capture.edit(ctx, conn); err != nil {
		return err
	}
	var took time.Duration
	used := processorTime()
	if err := capture.catchUp(ctx, &took); err != nil {
		return err
	}
	m.captureCPU = append(m.captureCPU, millisEach(processorTime()-used, cmd.Captured))
	m.captured = append(m.captured, float64(cmd.Captured)/took.Seconds())

	products := make([]*catalogv1.Product, cmd.Pushed)
	for i := range products {
		products[i] = benchProduct(fmt.Sprintf("%s-%d", prefix, i), "Product", "1400")
	}
	if err := push.publish(ctx, topology.Live, 1, products...); err != nil {
		return err
	}
	begun := time.Now()
	used = processorTime()
	push.push(ctx)
	if err := push.waitDone(ctx); err != nil {
		return err
	}
	m.pushCPU = append(m.pushCPU, millisEach(processorTime()-used, cmd.Pushed))
	m.pushed = append(m.pushed, float64(cmd.Pushed)/time.Since(begun).Seconds())
	return push.stopPush()
}

func millisEach(d time.Duration, n int) float64 { return float64(d.Microseconds()) / 1000 / float64(n) }

// processorTime returns the processor time of this process, 0 where the system does not report it.
func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// share returns the median of the ratios of figures to those of the same round.
func share(figures, of []float64) float64 {
	shares := make([]float64, len(figures))
	for i := range figures {
		shares[i] = figures[i] / of[i]
	}
	return median(shares)
}

// median returns the median of figures. For an even number, it is the mean of the two in the middle.
func median(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

// sink is a collector that accepts everything and stores nothing.
type sink struct {
	server *http.Server
	url    string
	bytes  atomic.Int64
}

func startSink() (*sink, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a local address
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s := &sink{url: "http://" + listener.Addr().String()}
	s.server = &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			s.bytes.Add(n)
		}),
	}
	go func() { _ = s.server.Serve(listener) }()
	return s, nil
}
