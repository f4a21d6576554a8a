package introspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/driftless-sync/driftless/services/internal/proposal"
)

const (
	// sampleRows is how many rows of a table a sample has.
	sampleRows = 1000
	// maxLength is how many characters of a value are compared.
	maxLength = 100
	// sampleTimeout is the time limit of one table, in milliseconds. A table that takes longer has no sample.
	sampleTimeout = 5000
)

// samples reads some rows of every table. A table that cannot be read has no sample.
func (r *reader) samples(ctx context.Context) error {
	if _, err := r.tx.Exec(ctx, fmt.Sprintf("SET LOCAL statement_timeout = %d", sampleTimeout)); err != nil {
		return err
	}
	for i, t := range r.db.Tables {
		if r.options.Progress != nil {
			r.options.Progress(i, len(r.db.Tables))
		}
		err := pgx.BeginFunc(ctx, r.tx, func(tx pgx.Tx) error { return sample(ctx, tx, t) })
		if _, refused := errors.AsType[*pgconn.PgError](err); err != nil && !refused {
			return err
		}
	}
	return nil
}

// sample reads some rows of a table: all of a small one, and random pages of a large one.
func sample(ctx context.Context, tx pgx.Tx, t *proposal.Table) error {
	columns := slices.DeleteFunc(slices.Clone(t.Columns), func(c *proposal.Column) bool { return !isSampled(c) })
	if len(columns) == 0 {
		return nil
	}
	values := make([]string, len(columns))
	for i, c := range columns {
		values[i] = fmt.Sprintf("left(%s::text, %d)", pgx.Identifier{c.Name}.Sanitize(), maxLength)
	}
	from := pgx.Identifier{t.Schema, t.Name}.Sanitize()
	if t.Rows > 10*sampleRows {
		// Pages are read until there are enough rows, so twice as many are chosen.
		from += fmt.Sprintf(" TABLESAMPLE SYSTEM (%f)", min(100, 200*float64(sampleRows)/float64(t.Rows)))
	}
	sql := fmt.Sprintf("SELECT ARRAY[%s] FROM %s LIMIT %d", strings.Join(values, ", "), from, sampleRows)
	rows, err := tx.Query(ctx, sql)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[[]*string])
	if err != nil {
		return err
	}
	t.Sampled, t.Complete = len(found), len(found) < sampleRows && t.Rows <= 10*sampleRows
	for i, c := range columns {
		c.Sample = summarize(found, i)
	}
	return nil
}

// isSampled reports whether the values of a column say something about its meaning.
func isSampled(c *proposal.Column) bool {
	switch c.Type {
	case "bytea", "json", "jsonb", "xml", "tsvector", "oid":
		return false
	default:
		return !strings.HasSuffix(c.Type, "[]")
	}
}

var decimal = regexp.MustCompile(`^-?[0-9]+(?:\.([0-9]*?)0*)?$`)

func summarize(rows [][]*string, column int) (out proposal.Sample) {
	times := map[string]int{}
	for _, row := range rows {
		if v := row[column]; v != nil {
			times[*v]++
		}
	}
	out.URLs = len(times) > 0
	for v, n := range times {
		out.Repeated = out.Repeated || n > 1
		out.URLs = out.URLs && (strings.HasPrefix(v, "https://") || strings.HasPrefix(v, "http://"))
		if m := decimal.FindStringSubmatch(v); m != nil {
			out.Places = max(out.Places, len(m[1]))
		}
	}
	values := slices.SortedFunc(maps.Keys(times), func(a, b string) int {
		return cmp.Or(times[b]-times[a], strings.Compare(a, b))
	})
	out.Many = len(values) > proposal.MaxValues
	for _, v := range values[:min(len(values), proposal.MaxValues)] {
		// A control character could end a comment in the file.
		if isPlain(v) {
			out.Values = append(out.Values, v)
		} else {
			out.Many = true
		}
	}
	return out
}
