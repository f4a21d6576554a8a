package ingestion

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/metrics"
)

// maxLoggedCauses bounds the causes that are remembered so that each is logged once.
const maxLoggedCauses = 1000

// checkMonitor says loudly that a check of the operator fails: in the log once for each cause, in a metric, and in the
// report of the capture. Safe for concurrent use.
type checkMonitor struct {
	logger *slog.Logger
	// names are the checks, in the order of the configuration.
	names []string

	mu sync.Mutex
	// failing has the checks that could not run, and strays those that return rows without a product.
	failing, strays map[string]*failingCheck
	logged          map[string]bool
}

type failingCheck struct {
	report *meshv1.FailingCheck
	lastAt time.Time
}

func newCheckMonitor(logger *slog.Logger, checks []config.ProductCheck) *checkMonitor {
	m := &checkMonitor{
		logger:  logger,
		names:   checkNames(checks),
		failing: map[string]*failingCheck{},
		strays:  map[string]*failingCheck{},
		logged:  map[string]bool{},
	}
	for _, name := range m.names {
		// A counter that begins at 0 shows its first failure as growth.
		metrics.CheckFailures.Add(context.Background(), 0, metrics.Check.With(name))
	}
	return m
}

// note reports the failures in a reading, and that other checks run again.
func (m *checkMonitor) note(ctx context.Context, reading mapping.Reading) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range reading.CheckFailures {
		m.add(ctx, m.failing, f)
	}
	for _, name := range reading.Checked {
		known := m.failing[name]
		if known == nil {
			continue
		}
		// A failure for one product is over when that product was read without it.
		product := known.report.GetProductId()
		if _, ok := reading.States[product]; ok || product == "" {
			m.remove(ctx, name)
		}
	}
}

// noteComparison reports the strays that a complete comparison found, and forgets the failures from before it began.
func (m *checkMonitor) noteComparison(ctx context.Context, strays []mapping.CheckFailure, begun time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.strays
	m.strays = map[string]*failingCheck{}
	for _, f := range strays {
		if known := before[f.Check]; known != nil {
			m.strays[f.Check] = known
		}
		m.add(ctx, m.strays, f)
	}
	for name, known := range m.failing {
		if known.lastAt.Before(begun) {
			m.remove(ctx, name)
		}
	}
}

func (m *checkMonitor) add(ctx context.Context, to map[string]*failingCheck, f mapping.CheckFailure) {
	metrics.CheckFailures.Add(ctx, 1, metrics.Check.With(f.Check))
	product := f.Product
	if f.All {
		product = ""
	}
	now := time.Now()
	since := timestamppb.New(now)
	if known := to[f.Check]; known != nil {
		since = known.report.GetSince()
	}
	to[f.Check] = &failingCheck{lastAt: now, report: &meshv1.FailingCheck{
		Check:     f.Check,
		Message:   f.Message,
		ProductId: product,
		Since:     since,
	}}
	// The text of a failure may have values of a row. The SQLSTATE is its cause.
	cause := f.Check + " " + f.Code
	if f.Code == "" {
		cause = f.Check + " " + f.Message
	}
	if m.logged[cause] {
		return
	}
	if len(m.logged) >= maxLoggedCauses {
		clear(m.logged)
	}
	m.logged[cause] = true
	attrs := []any{"check", f.Check, "error", f.Message}
	if product != "" {
		attrs = append(attrs, "product", product)
	}
	m.logger.ErrorContext(ctx, "a check of catalog.checks fails", attrs...)
}

func (m *checkMonitor) remove(ctx context.Context, name string) {
	m.logger.InfoContext(ctx, "a check of catalog.checks runs again", "check", name)
	delete(m.failing, name)
}

// failingChecks returns the checks that fail, for the report.
func (m *checkMonitor) failingChecks() []*meshv1.FailingCheck {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*meshv1.FailingCheck
	for _, name := range m.names {
		if f := m.failing[name]; f != nil {
			out = append(out, f.report)
		} else if f := m.strays[name]; f != nil {
			out = append(out, f.report)
		}
	}
	return out
}
