package mapping

import (
	"context"
	"fmt"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/catalog"
	"github.com/driftless-sync/driftless/services/config"
	"github.com/driftless-sync/driftless/services/ingestion/internal/finding"
	"github.com/driftless-sync/driftless/services/ingestion/internal/names"
)

// Check looks at the tables and their rows, and returns everything that is wrong with the mapping at once. It refuses only what
// would make capture untrue. An error says that it could not look.
func (m *Mapping) Check(ctx context.Context, watch []config.WatchedTable, validate func(*catalogv1.Product) []catalog.Violation) (finding.List, error) {
	var out finding.List
	if err := m.checkDependencies(ctx, watch, &out); err != nil {
		return nil, err
	}
	return out, nil
}

// checkDependencies names what the queries read and no change is seen of.
func (m *Mapping) checkDependencies(ctx context.Context, watch []config.WatchedTable, out *finding.List) error {
	d, err := m.Dependencies(ctx)
	if err != nil {
		return err
	}
	watched := map[uint32]bool{}
	for _, w := range watch {
		oid, err := names.Table(ctx, m.pool, w.Table)
		if err != nil {
			return err
		}
		watched[oid] = true
	}
	var unwatched []string
	for _, r := range d.Relations {
		if !watched[r.OID] {
			unwatched = append(unwatched, r.Name)
		}
	}
	if len(unwatched) > 0 {
		out.Warn("", "the queries read %s, and catalog.watch does not: a change there is seen only when the tables are compared",
			strings.Join(unwatched, ", "))
	}
	if len(d.Functions) > 0 {
		var functions []string
		for _, f := range d.Functions {
			functions = append(functions, f.Name)
		}
		out.Warn("", "%s", fmt.Sprintf("the queries call %s: Postgres does not know which tables a function with a text as its body reads, so they may be unwatched", strings.Join(functions, ", ")))
	}
	return nil
}
