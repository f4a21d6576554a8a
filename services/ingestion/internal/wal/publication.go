package wal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/driftless-sync/driftless/services/ingestion/internal/finding"
)

// generatedColumnsVersion is the first version of Postgres that can publish generated columns. It also refuses changes
// of a table whose replica identity has a generated column that is not published
// (https://www.postgresql.org/docs/18/logical-replication-gencols.html).
const generatedColumnsVersion = 180000

// publication is the publication as it is in the database.
type publication struct {
	exists, allTables, complete bool
	comment                     string
	// generated reports whether stored generated columns are published, and needsGenerated whether a watched table has
	// one.
	generated, needsGenerated bool
	tables                    []publishedTable
	// schema has the watched tables that are published because their schema is.
	schema []uint32
}

// isOwn reports whether Driftless created the publication. Another one may serve others too, so no table is removed
// from it.
func (p publication) isOwn() bool { return strings.HasPrefix(p.comment, commentPrefix) }

// publishes reports whether every change of a table is published.
func (p publication) publishes(oid uint32) bool {
	if p.allTables || slices.Contains(p.schema, oid) {
		return true
	}
	return slices.ContainsFunc(p.tables,
		func(t publishedTable) bool { return t.OID == oid && t.Filter == "" && !t.Columns })
}

type publishedTable struct {
	OID uint32 `json:"oid"`
	// Filter is a row filter, and Columns reports whether only some columns are published.
	Filter  string `json:"filter"`
	Columns bool   `json:"columns"`
}

func (s *Source) publication(ctx context.Context, db querier, version int) (publication, error) {
	var p publication
	generated := "false"
	if version >= generatedColumnsVersion {
		generated = "p.pubgencols = 's'"
	}
	err := db.QueryRow(ctx,
		`SELECT p.puballtables, p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AND p.pubviaroot,
		coalesce(obj_description(p.oid, 'pg_publication'), ''), `+generated+`,
		coalesce((SELECT json_agg(json_build_object('oid', r.prrelid::bigint, 'filter', coalesce(pg_get_expr(r.prqual, r.prrelid), ''),
			'columns', r.prattrs IS NOT NULL)) FROM pg_publication_rel r WHERE r.prpubid = p.oid), '[]'),
		coalesce((SELECT array_agg(c.oid) FROM pg_publication_namespace n JOIN pg_class c ON c.relnamespace = n.pnnspid
			WHERE n.pnpubid = p.oid AND c.oid = ANY($2::bigint[]::oid[])), '{}')::oid[],
		EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = ANY($2::bigint[]::oid[]) AND a.attgenerated = 's' AND NOT a.attisdropped)
		FROM pg_publication p WHERE p.pubname = $1`, s.Publication, s.requiredOIDs()).
		Scan(&p.allTables, &p.complete, &p.comment, &p.generated, &p.tables, &p.schema, &p.needsGenerated)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, nil
	}
	if err != nil {
		return p, fmt.Errorf("read publication %s: %w", s.Publication, err)
	}
	p.exists = true
	return p, nil
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// commentPrefix is the beginning of the comment of a publication that Driftless created.
const commentPrefix = "Made by Driftless for its watched tables. "

// ownComment returns the comment of a publication that Driftless created. The comment identifies the row filters,
// because Postgres stores a filter in its own form, which cannot be compared with the operator's text.
func (s *Source) ownComment(filtered bool) string {
	var b strings.Builder
	for _, t := range s.Tables {
		fmt.Fprintf(&b, "%d %s %v\n", t.OID, t.Filter, filtered)
	}
	sum := sha256.Sum256([]byte(b.String()))
	return commentPrefix + hex.EncodeToString(sum[:6])
}

// requiredOIDs returns the OIDs that the publication must have: those of the tables, and of those that inherit from
// them. A publication does not add later children by itself.
func (s *Source) requiredOIDs() []uint32 {
	var out []uint32
	for _, t := range s.Tables {
		out = append(append(out, t.OID), t.Children...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// fits reports whether a publication has every change of the watched tables.
func (s *Source) fits(p publication, version int) bool {
	if !p.exists || !p.complete {
		return false
	}
	// Driftless' own publication is prepared for a column that is added later. Another one needs only what is required
	// now.
	if version >= generatedColumnsVersion && !p.generated && (p.needsGenerated || p.isOwn()) {
		return false
	}
	if p.allTables || !p.isOwn() {
		return !slices.ContainsFunc(s.requiredOIDs(), func(oid uint32) bool { return !p.publishes(oid) })
	}
	var have []uint32
	for _, t := range p.tables {
		wanted := slices.ContainsFunc(s.Tables, func(w Table) bool { return w.OID == t.OID && w.Filter != "" })
		if t.Columns || t.Filter != "" && (!wanted || p.comment != s.ownComment(true)) {
			return false
		}
		have = append(have, t.OID)
	}
	slices.Sort(have)
	// Ingestion evaluates a filter that could not be published.
	return slices.Equal(have, s.requiredOIDs()) && (p.comment == s.ownComment(true) || p.comment == s.ownComment(false))
}

// InspectUnrepairable is InspectPublication before a start. A publication that ingestion can create or complete when it
// starts is no finding.
func (s *Source) InspectUnrepairable(ctx context.Context, pool *pgxpool.Pool) (finding.List, error) {
	found, err := s.InspectPublication(ctx, pool)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	// To create a publication takes the right to create in the database. A superuser may do everything.
	var mayRepair bool
	err = pool.QueryRow(ctx, `SELECT coalesce(
			(SELECT pg_has_role(pubowner, 'USAGE') FROM pg_publication WHERE pubname = $1),
			has_database_privilege(current_database(), 'CREATE'))
		AND coalesce((SELECT bool_and(pg_has_role(relowner, 'USAGE')) FROM pg_class
			WHERE oid = ANY($2::bigint[]::oid[])), true)`, s.Publication, s.requiredOIDs()).Scan(&mayRepair)
	if err != nil {
		return nil, fmt.Errorf("read the rights on publication %s: %w", s.Publication, err)
	}
	if mayRepair {
		return nil, nil
	}
	return found, nil
}

// InspectPublication checks whether the publication has every change of the watched tables. It changes nothing.
func (s *Source) InspectPublication(ctx context.Context, pool *pgxpool.Pool) (finding.List, error) {
	version, err := serverVersion(ctx, pool)
	if err != nil {
		return nil, err
	}
	p, err := s.publication(ctx, pool, version)
	if err != nil || s.fits(p, version) {
		return nil, err
	}
	lacks := "does not exist"
	if p.exists {
		lacks = "does not have every change of the watched tables"
	}
	var found finding.List
	found.As(finding.Publication).Refusef(strings.Join(s.statements(p, version, false), " "),
		"publication %s %s, so changes of these tables are not captured; ingestion repairs it only if its role may",
		s.Publication, lacks)
	return found, nil
}

func (s *Source) hasFilters() bool {
	return slices.ContainsFunc(s.Tables, func(t Table) bool { return t.Filter != "" })
}

// RemoveFilters removes the row filters from the publication, if it has any. Ingestion then evaluates the conditions.
func (s *Source) RemoveFilters(ctx context.Context, pool *pgxpool.Pool) error {
	version, err := serverVersion(ctx, pool)
	if err != nil {
		return err
	}
	p, err := s.publication(ctx, pool, version)
	if err != nil || p.comment != s.ownComment(true) || !s.hasFilters() {
		return err
	}
	if err := s.publish(ctx, pool, s.statements(p, version, false)); err != nil {
		return fmt.Errorf("remove the row filters from publication %s: %w", s.Publication, err)
	}
	return nil
}

// EnsurePublication creates the publication, or changes it so that it has every change of the watched tables. It
// reports whether it changed an existing one. The log may then lack changes.
func (s *Source) EnsurePublication(ctx context.Context, pool *pgxpool.Pool) (changed bool, err error) {
	version, err := serverVersion(ctx, pool)
	if err != nil {
		return false, err
	}
	p, err := s.publication(ctx, pool, version)
	if err != nil || s.fits(p, version) {
		return false, err
	}
	err = s.publish(ctx, pool, s.statements(p, version, s.hasFilters()))
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && s.hasFilters() && pg.Code != insufficientPrivilege {
		// Postgres accepts only simple conditions over the columns of the replica identity. Ingestion evaluates the
		// others.
		err = s.publish(ctx, pool, s.statements(p, version, false))
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == insufficientPrivilege {
		return false,
			fmt.Errorf("the role of DATABASE_URL may not create or alter publication %s (%s): run `%s` as the owner of the tables, with the right to create in the database",
				s.Publication, pg.Message, strings.Join(s.statements(p, version, false), " "))
	}
	if err != nil {
		return false, fmt.Errorf("create publication %s: %w", s.Publication, err)
	}
	return p.exists, nil
}

const insufficientPrivilege = "42501"

func (s *Source) publish(ctx context.Context, pool *pgxpool.Pool, statements []string) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		// An ALTER waits for every transaction that writes to the tables, and later statements wait for the ALTER.
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '10s'"); err != nil {
			return err
		}
		for _, statement := range statements {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// statements returns the statements that create or complete the publication.
func (s *Source) statements(p publication, version int, filtered bool) []string {
	name := quoted(s.Publication)
	tables := make([]string, len(s.Tables))
	for i, t := range s.Tables {
		tables[i] = t.Name
		if filtered && t.Filter != "" {
			tables[i] += " WHERE (" + t.Filter + ")"
		}
	}
	options := "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
	if version >= generatedColumnsVersion {
		// Without it every UPDATE and DELETE of a table with REPLICA IDENTITY FULL and a generated column would fail.
		options += ", publish_generated_columns = stored"
	}
	list := strings.Join(tables, ", ")
	comment := "COMMENT ON PUBLICATION " + name + " IS '" + s.ownComment(filtered) + "';"
	switch {
	case !p.exists:
		return []string{"CREATE PUBLICATION " + name + " FOR TABLE " + list + " WITH (" + options + ");", comment}
	case p.allTables:
		return []string{"ALTER PUBLICATION " + name + " SET (" + options + ");"}
	case !p.isOwn():
		return s.additions(p, "ALTER PUBLICATION "+name, options)
	default:
		return []string{
			"ALTER PUBLICATION " + name + " SET (" + options + ");",
			"ALTER PUBLICATION " + name + " SET TABLE " + list + ";", comment,
		}
	}
}

// additions returns the statements that complete a publication that Driftless did not create. Its other contents stay.
func (s *Source) additions(p publication, alter, options string) []string {
	var out []string
	if !p.complete || p.needsGenerated && !p.generated {
		out = append(out, alter+" SET ("+options+");")
	}
	for _, t := range s.Tables {
		lacking := slices.ContainsFunc(append([]uint32{t.OID}, t.Children...),
			func(oid uint32) bool { return !p.publishes(oid) })
		if !lacking {
			continue
		}
		if slices.ContainsFunc(p.tables, func(x publishedTable) bool { return x.OID == t.OID }) {
			// The table has a row filter, or only some columns.
			out = append(out, alter+" DROP TABLE "+t.Name+";")
		}
		out = append(out, alter+" ADD TABLE "+t.Name+";")
	}
	return out
}

func serverVersion(ctx context.Context, db querier) (version int, err error) {
	if err := db.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		return 0, fmt.Errorf("read the version of the catalog database: %w", err)
	}
	return version, nil
}
