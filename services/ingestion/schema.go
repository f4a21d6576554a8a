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
)

// schema is the mapping as it is in the database at a moment. It is read-only once made.
type schema struct {
	mapping *mapping.Mapping
	watch   *watch.Set
	source  *wal.Source
	writer  *writeback.Writer
	reads   wal.Reads
	// unwatched are tables that the queries read and nobody watches.
	unwatched []string
	// shape tells whether any of that has changed since.
	shape wal.Shape
}

// look checks the mapping and the database, and changes nothing. Its error names everything that has to be set right.
func (in *ingester) look(ctx context.Context) (*schema, error) {
	checked, err := mapping.New(ctx, in.pool, in.queries)
	if err != nil {
		return nil, err
	}
	watched, found, err := watch.Compile(ctx, in.pool, in.queries.Watch)
	if err != nil {
		return nil, err
	}
	s := &schema{mapping: checked, watch: watched, source: &wal.Source{
		URL:              in.DatabaseURL,
		Slot:             in.Slot,
		Publication:      in.Publication,
		Tables:           watched.Tables,
		AllowRowSecurity: in.allowsRowSecurity(),
	}}
	inspected, err := s.source.Inspect(ctx, in.pool)
	if err != nil {
		return nil, err
	}
	found.Add(inspected...)
	if err := found.Err(); err != nil {
		// A table in the publication whose replica identity became unusable would break the application's own changes.
		if relieved := s.source.Relieve(ctx, in.pool); relieved != nil {
			return nil, fmt.Errorf("%w; and %w", err, relieved)
		}
		return nil, err
	}
	in.warn(ctx, found)
	s.writer, err = writeback.New(ctx, writeback.Config{
		Pool:       in.pool,
		Mapping:    checked,
		Statements: in.queries.WriteBack,
		BuiltIn:    in.Config.Mapping == nil,
		Validate:   in.validate.Product,
	})
	if err != nil {
		return nil, err
	}
	if err := s.depend(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// depend finds out what the queries read.
func (s *schema) depend(ctx context.Context) error {
	dependencies, err := s.mapping.Dependencies(ctx)
	if err != nil {
		return err
	}
	for _, r := range dependencies.Relations {
		s.reads.Relations = append(s.reads.Relations, r.OID)
		watched := slices.ContainsFunc(s.source.Tables, func(t wal.Table) bool { return t.OID == r.OID || slices.Contains(t.Children, r.OID) })
		if !watched {
			s.unwatched = append(s.unwatched, r.Name)
		}
	}
	for _, r := range dependencies.Views {
		s.reads.Views = append(s.reads.Views, r.OID)
	}
	for _, r := range dependencies.Functions {
		s.reads.Functions = append(s.reads.Functions, r.OID)
	}
	slices.Sort(s.unwatched)
	return nil
}

// warn logs warnings, each once.
func (in *ingester) warn(ctx context.Context, found finding.List) {
	for _, f := range found.Warnings() {
		if text := f.String(); !in.warned[text] {
			in.warned[text] = true
			in.logger.WarnContext(ctx, text) //nolint:sloglint // a finding is a sentence of its own
		}
	}
}

// changedParts says in a few words which parts of the schema changed.
func changedParts(parts []string) string {
	const most = 3
	if len(parts) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(parts[:most], ", "), len(parts)-most)
	}
	return strings.Join(parts, ", ")
}

// inspectData looks at rows before the first turn.
func (in *ingester) inspectData(ctx context.Context, s *schema) error { return nil }
