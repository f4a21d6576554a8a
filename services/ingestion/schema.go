package ingestion

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/driftless-sync/driftless/services/ingestion/internal/finding"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/ingestion/internal/watch"
	"github.com/driftless-sync/driftless/services/ingestion/internal/writeback"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// schema is the mapping as it is in the database at one time. It does not change after it is made.
type schema struct {
	mapping *mapping.Mapping
	watch   *watch.Set
	source  *wal.Source
	writer  *writeback.Writer
	reads   wal.Reads
	// unwatched has the tables that the queries read and catalog.watch does not name.
	unwatched []string
	// shape detects changes of the schema since.
	shape wal.Shape
}

func (in *ingester) checker() checker {
	return checker{cfg: in.Config, pool: in.pool, queries: in.queries, validate: in.validate}
}

// checkSchema checks the mapping and the database. Its error names all faults.
func (in *ingester) checkSchema(ctx context.Context) (*schema, error) {
	s, found, err := in.checker().checkSchema(ctx)
	if err != nil {
		return nil, err
	}
	if err := found.Err(); err != nil {
		// A published table whose replica identity became unusable makes the application's own changes fail.
		if relieved := s.source.RemoveHarmful(ctx, in.pool); relieved != nil {
			return nil, fmt.Errorf("%w; and %w", err, relieved)
		}
		return nil, err
	}
	in.warn(ctx, found)
	return s, nil
}

// loadDependencies determines which relations and functions the queries read.
func (s *schema) loadDependencies(ctx context.Context) error {
	dependencies, err := s.mapping.Dependencies(ctx)
	if err != nil {
		return err
	}
	for _, r := range dependencies.Relations {
		s.reads.Relations = append(s.reads.Relations, r.OID)
		watched := slices.ContainsFunc(s.source.Tables,
			func(t wal.Table) bool { return t.OID == r.OID || slices.Contains(t.Children, r.OID) })
		if !watched {
			s.unwatched = append(s.unwatched, r.Name)
		}
	}
	for _, r := range dependencies.Views {
		s.reads.Views = append(s.reads.Views, r.OID)
	}
	for _, r := range dependencies.Called {
		s.reads.Functions = append(s.reads.Functions, r.OID)
	}
	slices.Sort(s.unwatched)
	return nil
}

// warn logs each warning once.
func (in *ingester) warn(ctx context.Context, found finding.List) {
	for _, f := range found.Warnings() {
		if text := f.String(); !in.loggedWarnings[text] {
			in.loggedWarnings[text] = true
			in.logger.WarnContext(ctx, text) //nolint:sloglint // a finding is a sentence of its own
		}
	}
}

// changedParts names the first of the parts of the schema that changed.
func changedParts(parts []string) string {
	const most = 3
	if len(parts) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(parts[:most], ", "), len(parts)-most)
	}
	return strings.Join(parts, ", ")
}

// checkNewRows checks the rows of a new mapping before the first turn. A fault prevents the start.
func (in *ingester) checkNewRows(ctx context.Context) error {
	if known, err := in.isMappingKnown(ctx); err != nil || known {
		return err
	}
	found, err := in.checker().checkRows(ctx, in.currentSchema())
	if err != nil {
		return err
	}
	in.rowsChecked = true
	in.warn(ctx, found)
	return found.Err()
}

// warnInvalidRows checks the rows of a mapping that has worked before. Rows that became wrong since do not stop it.
// They are logged while capture runs, because the check takes time.
func (in *ingester) warnInvalidRows(ctx context.Context) error {
	if in.rowsChecked {
		return nil
	}
	found, err := in.checker().checkRows(ctx, in.currentSchema())
	if err != nil && ctx.Err() == nil {
		in.logger.WarnContext(ctx, "could not check the rows", "error", err)
	}
	for _, f := range found.Proven() {
		in.logger.WarnContext(ctx, f.String()) //nolint:sloglint // a finding is a sentence of its own
	}
	return nil
}

// isMappingKnown reports whether an earlier turn had the same mapping.
func (in *ingester) isMappingKnown(ctx context.Context) (bool, error) {
	known, err := in.stores.Record(topology.KeyMapping, in.account).GetString(ctx)
	mapped, _, _ := strings.Cut(known, " ")
	return mapped == in.currentSchema().mapping.Fingerprint(), err
}
