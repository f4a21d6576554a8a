package metrics

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fakeSources is a cache with a clock of its own, and one read that the test controls.
type fakeSources struct {
	*sourceCache

	clock time.Time
	read  func(context.Context) (func(Report), error)
}

func newFakeSources() *fakeSources {
	f := &fakeSources{clock: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)}
	f.sourceCache = &sourceCache{
		ctx:      context.Background(),
		logger:   slog.New(slog.DiscardHandler),
		now:      func() time.Time { return f.clock },
		interval: sourceInterval,
	}
	steady := func(context.Context) (func(Report), error) {
		return func(report Report) { report(ScanFailed, 7) }, nil
	}
	f.sources = []*cachedSource{newCachedSource(Source{
		Name: "ledger",
		Reads: []func(context.Context) (func(Report), error){
			func(ctx context.Context) (func(Report), error) { return f.read(ctx) },
			steady,
		},
	}, f.clock)}
	return f
}

// shown returns what the metrics show, by the metric's name.
func (f *fakeSources) shown() map[string]float64 {
	out := map[string]float64{}
	f.report(func(g Gauge, value float64, _ ...Attribute) { out[g.Name] = value })
	return out
}

func answer(value float64) func(context.Context) (func(Report), error) {
	return func(context.Context) (func(Report), error) {
		return func(report Report) { report(Halted, value) }, nil
	}
}

func TestObserveSources_ShowsLatestValuesAndTheirAge(t *testing.T) {
	f := newFakeSources()
	f.read = answer(1)
	require.Equal(t, map[string]float64{Halted.Name: 1, ScanFailed.Name: 7, MetricsAge.Name: 0}, f.shown())

	f.read = answer(2)
	f.clock = f.clock.Add(sourceInterval - time.Second)
	require.InDelta(t, 1, f.shown()[Halted.Name], 0, "it is not read again so soon")
	f.clock = f.clock.Add(time.Second)
	require.InDelta(t, 2, f.shown()[Halted.Name], 0)

	f.read = func(context.Context) (func(Report), error) { return nil, errors.New("away") }
	f.clock = f.clock.Add(MaxSourceAge)
	shown := f.shown()
	require.InDelta(t, 2, shown[Halted.Name], 0, "it is recent enough")
	require.InDelta(t, MaxSourceAge.Seconds(), shown[MetricsAge.Name], 0)
	f.clock = f.clock.Add(sourceInterval)
	shown = f.shown()
	require.NotContains(t, shown, Halted.Name, "an outdated value is no value")
	require.InDelta(t, 7, shown[ScanFailed.Name], 0, "the other read works")
	require.InDelta(t, (MaxSourceAge + sourceInterval).Seconds(), shown[MetricsAge.Name], 0)
}

func TestObserveSources_NeverWaitsForASource(t *testing.T) {
	f := newFakeSources()
	f.read = answer(1)
	f.shown()
	f.clock = f.clock.Add(sourceInterval)
	begun, blocked := make(chan struct{}), make(chan struct{})
	f.read = func(ctx context.Context) (func(Report), error) {
		close(begun)
		<-blocked
		return answer(3)(ctx)
	}
	require.InDelta(t, 1, f.shown()[Halted.Name], 0)
	<-begun
	f.clock = f.clock.Add(sourceInterval)
	shown := f.shown()
	require.InDelta(t, 1, shown[Halted.Name], 0, "no second read begins while one runs")
	require.InDelta(t, (2 * sourceInterval).Seconds(), shown[MetricsAge.Name], 0)
	f.read = answer(3)
	close(blocked)
	f.reads.Wait()
	require.InDelta(t, 3, f.shown()[Halted.Name], 0)
}

func TestObserveSources_StopsReads(t *testing.T) {
	begun := make(chan struct{})
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	f := newFakeSources()
	f.ctx = ctx
	f.read = func(ctx context.Context) (func(Report), error) {
		close(begun)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	}
	require.NotContains(t, f.shown(), Halted.Name)
	<-begun
	cancel()
	f.reads.Wait()
	<-ended
	f.clock = f.clock.Add(time.Hour)
	f.shown()
	f.reads.Wait()
}
