package preview

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/config"
)

const (
	// idPageSize and readPageSize are those of ingestion's comparison.
	idPageSize   = 50_000
	readPageSize = 1000
)

// reading reads all products with a mapping, within the transaction.
type reading struct {
	cfg   Config
	phase string
	// archiveAfter is how long replaced prices stay active, unless the query says it for the product.
	archiveAfter time.Duration
	// expected is how many products there are, as far as that is known.
	expected int
	done     int
}

// each yields the state of every product.
func (r *reading) each(ctx context.Context, conn *pgx.Conn, queries *config.Mapping, yield func(State) error) error {
	rowSecurity := "off"
	if queries.RowSecurity == config.RowSecurityAllow {
		rowSecurity = "on"
	}
	if _, err := conn.Exec(ctx, "SET LOCAL row_security = "+rowSecurity); err != nil {
		return fmt.Errorf("set row_security: %w", err)
	}
	reader, err := mapping.NewReader(ctx, conn, queries)
	if err != nil {
		return err
	}
	for after := ""; ; {
		ids, err := reader.IDs(ctx, after, idPageSize)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			return nil
		}
		r.expected = max(r.expected, r.done+len(ids))
		for page := range slices.Chunk(ids, readPageSize) {
			if err := r.page(ctx, reader, page, yield); err != nil {
				return err
			}
		}
		after = ids[len(ids)-1]
	}
}

func (r *reading) page(ctx context.Context, reader *mapping.Reader, ids []string, yield func(State) error) error {
	got, err := reader.Read(ctx, ids)
	if err != nil {
		return err
	}
	for _, f := range got.CheckFailures {
		return fmt.Errorf("it is unknown what the guard would hold: %w; repair the check, or grant the role that reads "+
			"it its rights, and preview again", f)
	}
	for _, id := range ids {
		if err := yield(r.cfg.state(id, got.States[id], reader.Unmanaged(), r.archiveAfter)); err != nil {
			return err
		}
	}
	r.done += len(ids)
	r.cfg.report(r.phase, r.done, r.expected)
	return nil
}

func (cfg Config) report(phase string, done, expected int) {
	if cfg.Progress != nil {
		cfg.Progress(Progress{Phase: phase, Done: done, Expected: expected})
	}
}

// absent is the state of a product that the mapping does not return.
func absent(id string) State {
	return State{Change: &catalogv1.ProductChange{ProductId: id, Operation: catalogv1.Operation_OPERATION_DELETE}}
}

// state returns what ingestion would make of what was read.
func (cfg Config) state(id string, read mapping.State, unmanaged []string, archiveAfter time.Duration) State {
	out := absent(id)
	if read.Failure != nil {
		out.Refused = read.Failure.Error()
		return out
	}
	if read.Product == nil {
		return out
	}
	out.Change.Operation = catalogv1.Operation_OPERATION_UPSERT
	out.Change.Product, out.Change.UnmanagedFields = read.Product, unmanaged
	out.Change.ArchiveAfter = read.Overlap(archiveAfter)
	out.Change.Violations = mapping.CheckViolations(read.Violated)
	for _, v := range read.Violated {
		if v.Check.Refuses() {
			out.Refused = fmt.Sprintf("is refused by check %s: %s", v.Check.Name, v.Message)
			return out
		}
	}
	// A state that differs is validated later. The rest is as valid as before.
	if len(read.Faults) > 0 {
		out.Refused = cfg.refusal(read.Faults)
	}
	return out
}

func (cfg Config) refusal(faults []catalog.Violation) string {
	return "would be refused by Stripe: " + cfg.Describe(faults)
}

// validated returns a state with the reason for which ingestion would not publish it, if there is one.
func (cfg Config) validated(s State) State {
	if s.Refused != "" || s.Change.GetProduct() == nil {
		return s
	}
	if faults := cfg.Validate(s.Change.GetProduct()); len(faults) > 0 {
		s.Refused = cfg.refusal(faults)
	}
	return s
}
