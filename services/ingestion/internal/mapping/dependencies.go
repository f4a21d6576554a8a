package mapping

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Relation is a table, view or function that the queries use.
type Relation struct {
	OID uint32
	// Name in SQL, with its schema if the search path does not find it.
	Name string
	// Kind is pg_class.relkind, or pg_proc.prokind for a function.
	Kind byte
	// OfChecks reports whether only the operator's checks use it.
	OfChecks bool
}

// Dependencies has what the queries and the operator's checks read.
type Dependencies struct {
	// Relations are the relations with rows: tables, partitioned and foreign tables, and materialized views.
	Relations []Relation
	// Views that the queries name, and the views in those.
	Views []Relation
	// Functions may read tables that are not known, because Postgres keeps their body as a string.
	Functions []Relation
	// Complete reports whether Relations has all relations.
	Complete bool
	// Called has all functions that the queries call and that can be redefined.
	Called []Relation
	// Definitions changes with the definition of a view or function.
	Definitions string
}

// dependencies follows the dependencies that Postgres records for two temporary views: through views, functions with a
// parsed body, and operators. It does not follow materialized views, because their rows are their own until a refresh.
// Objects of Postgres itself and of extensions read no table of the operator.
const dependencies = `WITH RECURSIVE uses(class, oid) AS (
	SELECT 'pg_class'::regclass::oid, unnest($1::text[]::regclass[])::oid
	UNION
	SELECT d.refclassid, d.refobjid FROM uses u
	LEFT JOIN pg_rewrite r ON u.class = 'pg_class'::regclass AND r.ev_class = u.oid
		AND EXISTS (SELECT FROM pg_class c WHERE c.oid = u.oid AND c.relkind = 'v')
	JOIN pg_depend d ON d.deptype <> 'i' AND CASE WHEN u.class = 'pg_class'::regclass
		THEN d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
		ELSE d.classid = u.class AND d.objid = u.oid END
	WHERE d.refclassid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_operator'::regclass) AND d.refobjid >= 16384
)
SELECT u.oid, c.oid::regclass::text, c.relkind, false AS is_function, false AS is_opaque,
	CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) ELSE '' END
FROM uses u JOIN pg_class c ON u.class = 'pg_class'::regclass AND c.oid = u.oid
WHERE c.relkind IN ('r', 'p', 'f', 'm', 'v') AND NOT c.oid = ANY($1::text[]::regclass[])
UNION ALL
SELECT u.oid, p.oid::regprocedure::text, p.prokind, true,
	p.provolatile <> 'i' AND p.prosqlbody IS NULL AND p.prokind <> 'a',
	coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)
FROM uses u JOIN pg_proc p ON u.class = 'pg_proc'::regclass AND p.oid = u.oid
WHERE NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = u.class AND e.objid = u.oid AND e.deptype = 'e')
ORDER BY 2`

// Dependencies returns what the two queries read. It rolls back the views that it creates, so it changes nothing. If
// the role may not create temporary views, it uses the plans of the queries, which do not show views.
func (m *Mapping) Dependencies(ctx context.Context) (Dependencies, error) {
	out, err := m.dependencies(ctx)
	// A standby or a read-only database refuses the view as well.
	if c := code(err); c == codeInsufficientPrivilege || c == codeReadOnly {
		return m.planned(ctx)
	}
	return out, err
}

const (
	codeInsufficientPrivilege = "42501"
	codeReadOnly              = "25006"
)

func (m *Mapping) dependencies(ctx context.Context) (Dependencies, error) {
	out := Dependencies{Complete: true}
	conn, err := m.pool.Acquire(ctx)
	if err != nil {
		return out, fmt.Errorf("find what the queries read: %w", err)
	}
	defer conn.Release()
	checks := m.checkTables(ctx, conn)
	tx, err := conn.Begin(ctx)
	if err != nil {
		return out, fmt.Errorf("find what the queries read: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	views, ofChecks, err := m.createViews(ctx, tx, checks)
	if err != nil {
		return out, err
	}
	definitions := sha256.New()
	for _, group := range []struct {
		views    []string
		ofChecks bool
	}{{views, false}, {ofChecks, true}} {
		if err := out.add(ctx, tx, group.views, group.ofChecks, definitions); err != nil {
			return out, err
		}
	}
	out.Definitions = hex.EncodeToString(definitions.Sum(nil)[:16])
	return out, nil
}

// checkTables returns the checks that can run, as tables.
func (m *Mapping) checkTables(ctx context.Context, conn *pgxpool.Conn) (out []string) {
	for _, c := range m.checks {
		if table, err := c.prepared(ctx, connection{Conn: conn.Conn()}); err == nil {
			out = append(out, table)
		}
	}
	return out
}

// createViews makes temporary views of the queries and of the checks.
func (m *Mapping) createViews(ctx context.Context, tx pgx.Tx, checks []string) (views, ofChecks []string, err error) {
	for _, q := range m.sources() {
		name := "pg_temp.driftless_" + q.name
		//nolint:unqueryvet // the columns are the operator's
		sql := fmt.Sprintf("CREATE TEMPORARY VIEW driftless_%s AS SELECT * FROM (%s\n) m", q.name, trimQuery(q.source))
		if _, err := tx.Exec(ctx, sql); err != nil {
			return nil, nil, fmt.Errorf("find what the queries read: %w", newQueryError(q.name, err))
		}
		views = append(views, name)
	}
	for i, table := range checks {
		name := fmt.Sprintf("driftless_check_%d", i)
		// A check never keeps ingestion from starting, so one that fails here is left out.
		err := pgx.BeginFunc(ctx, tx, func(nested pgx.Tx) error {
			_, err := nested.Exec(ctx, fmt.Sprintf("CREATE TEMPORARY VIEW %s AS SELECT c.id::%s FROM %s", name,
				m.products.id.name, table))
			return err
		})
		switch {
		case err == nil:
			ofChecks = append(ofChecks, "pg_temp."+name)
		case code(err) == "":
			return nil, nil, fmt.Errorf("find what the checks read: %w", err)
		}
	}
	return views, ofChecks, nil
}

// add adds what views use.
func (d *Dependencies) add(ctx context.Context, tx pgx.Tx, views []string, ofChecks bool, definitions io.Writer) error {
	if len(views) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, dependencies, views)
	if err != nil {
		return fmt.Errorf("find what the queries read: %w", err)
	}
	r := Relation{OfChecks: ofChecks}
	var kind, definition string
	var function, opaque bool
	_, err = pgx.ForEachRow(rows, []any{&r.OID, &r.Name, &kind, &function, &opaque, &definition}, func() error {
		r.Kind = kind[0]
		into := &d.Relations
		switch {
		case function:
			into = &d.Called
		case r.Kind == 'v':
			into = &d.Views
		}
		if slices.ContainsFunc(*into, func(known Relation) bool { return known.OID == r.OID }) {
			return nil
		}
		fmt.Fprintf(definitions, "%d %d:%s", r.OID, len(definition), definition)
		*into = append(*into, r)
		if opaque {
			d.Functions = append(d.Functions, r)
			d.Complete = false
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("find what the queries read: %w", err)
	}
	return nil
}

// source is one of the two queries, as the operator wrote it.
type source struct{ name, source string }

func (m *Mapping) sources() []source {
	return []source{{m.products.name, m.products.source}, {m.prices.name, m.prices.source}}
}

// planNode is a node of EXPLAIN's output.
type planNode struct {
	Relation string     `json:"Relation Name"`
	Schema   string     `json:"Schema"`
	Plans    []planNode `json:"Plans"`
}

func (p planNode) relations(into map[[2]string]bool) {
	if p.Relation != "" {
		into[[2]string{p.Schema, p.Relation}] = true
	}
	for _, child := range p.Plans {
		child.relations(into)
	}
}

// planned returns the tables in the plans of the queries. A partition counts as its root.
func (m *Mapping) planned(ctx context.Context) (Dependencies, error) {
	var out Dependencies
	ofQueries, ofChecks := map[[2]string]bool{}, map[[2]string]bool{}
	for _, q := range m.sources() {
		if err := m.plan(ctx, q, ofQueries); err != nil {
			return out, err
		}
	}
	for _, c := range m.checks {
		// A check that Postgres refuses reads nothing.
		if err := m.plan(ctx, source{"check " + c.Name, c.Query}, ofChecks); err != nil && code(err) == "" {
			return out, err
		}
	}
	err := m.addPlanned(ctx, &out, ofQueries, false)
	if err == nil {
		err = m.addPlanned(ctx, &out, ofChecks, true)
	}
	return out, err
}

// plan adds the relations in the plan of a query.
func (m *Mapping) plan(ctx context.Context, q source, into map[[2]string]bool) error {
	var text string
	//nolint:unqueryvet // the columns are the operator's
	sql := fmt.Sprintf("EXPLAIN (VERBOSE, FORMAT JSON) SELECT * FROM (%s\n) m", trimQuery(q.source))
	if err := m.pool.QueryRow(ctx, sql).Scan(&text); err != nil {
		return fmt.Errorf("find what the queries read: %w", newQueryError(q.name, err))
	}
	var plans []struct {
		Plan planNode `json:"Plan"`
	}
	if err := json.Unmarshal([]byte(text), &plans); err != nil {
		return fmt.Errorf("find what the queries read: decode the plan of the %s query: %w", q.name, err)
	}
	for _, p := range plans {
		p.Plan.relations(into)
	}
	return nil
}

// addPlanned adds relations of plans by their names. It asks the system catalog, because a view's tables may be in a
// schema that the role may not use.
func (m *Mapping) addPlanned(ctx context.Context, out *Dependencies, names map[[2]string]bool, ofChecks bool) error {
	var schemas, relations []string
	for name := range names {
		schemas, relations = append(schemas, name[0]), append(relations, name[1])
	}
	rows, err := m.pool.Query(ctx, `SELECT DISTINCT root.oid, root.oid::regclass::text, root.relkind::text
		FROM unnest($1::text[], $2::text[]) u(schema, name) JOIN pg_namespace n ON n.nspname = u.schema
		JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = u.name
		JOIN pg_class root ON root.oid = coalesce(pg_partition_root(c.oid), c.oid) WHERE root.oid >= 16384 ORDER BY 2`,
		schemas, relations)
	if err != nil {
		return fmt.Errorf("find what the queries read: %w", err)
	}
	r := Relation{OfChecks: ofChecks}
	var kind string
	_, err = pgx.ForEachRow(rows, []any{&r.OID, &r.Name, &kind}, func() error {
		r.Kind = kind[0]
		if !slices.ContainsFunc(out.Relations, func(known Relation) bool { return known.OID == r.OID }) {
			out.Relations = append(out.Relations, r)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("find what the queries read: %w", err)
	}
	return nil
}
