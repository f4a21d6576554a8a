package ingestion

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/topology"

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

func (in *ingester) survey() survey {
	return survey{cfg: in.Config, pool: in.pool, queries: in.queries, validate: in.validate}
}

// look checks the mapping and the database. Its error names everything that has to be set right.
func (in *ingester) look(ctx context.Context) (*schema, error) {
	s, found, err := in.survey().schema(ctx)
	if err != nil {
		return nil, err
	}
	if err := found.Err(); err != nil {
		// A table in the publication whose replica identity became unusable breaks the application's own changes.
		if relieved := s.source.RemoveHarmful(ctx, in.pool); relieved != nil {
			return nil, fmt.Errorf("%w; and %w", err, relieved)
		}
		return nil, err
	}
	in.warn(ctx, found)
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

// inspectData looks at the rows of a new mapping before the first turn: what it refuses keeps it from starting.
func (in *ingester) inspectData(ctx context.Context) error {
	if known, err := in.knowsMapping(ctx); err != nil || known {
		return err
	}
	found, err := in.survey().data(ctx, in.tables())
	if err != nil {
		return err
	}
	in.inspected = true
	in.warn(ctx, found)
	return found.Err()
}

// warnOfData looks at the rows of a mapping that has worked before. Rows that became wrong since do not stop it: they
// are told of, beside the capture, since looking takes time.
func (in *ingester) warnOfData(ctx context.Context) error {
	if in.inspected {
		return nil
	}
	found, err := in.survey().data(ctx, in.tables())
	if err != nil && ctx.Err() == nil {
		in.logger.WarnContext(ctx, "could not look for rows that are wrong", "error", err)
	}
	for _, f := range found {
		in.logger.WarnContext(ctx, f.String()) //nolint:sloglint // a finding is a sentence of its own
	}
	return nil
}

// knowsMapping reports whether a turn before had the same mapping.
func (in *ingester) knowsMapping(ctx context.Context) (bool, error) {
	known, err := in.mesh.Record(topology.KeyMapping, in.account).GetString(ctx)
	mapped, _, _ := strings.Cut(known, " ")
	return mapped == in.tables().mapping.Fingerprint(), err
}
