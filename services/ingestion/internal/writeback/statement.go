package writeback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// statement is one of the operator's statements, as PostgreSQL parsed it.
type statement struct {
	// key in the configuration.
	key string
	// sql has PostgreSQL's parameters $1, $2. params are their names.
	sql    string
	params []string
	// declared has the types of the parameters that are declared to PostgreSQL, 0 where the statement determines the
	// type. types has the types that PostgreSQL chose.
	declared, types []uint32
}

// declaredTypes has the types of parameters that a statement rarely determines, because a flag, an amount or a
// structure is used in an expression. Another parameter has the type of the column that it is assigned to or compared
// with.
var declaredTypes = func() map[string]uint32 {
	out := map[string]uint32{}
	for _, f := range slices.Concat(catalog.ProductFields(), catalog.PriceFields()) {
		switch f.Type {
		case catalog.TypeBoolean:
			out[f.Name] = pgtype.BoolOID
		case catalog.TypeAmount:
			out[f.Name] = pgtype.NumericOID
		case catalog.TypeMetadata, catalog.TypeStructure:
			out[f.Name] = pgtype.JSONBOID
		default:
		}
	}
	return out
}()

// changedParam is a parameter that is not a column. It has the names of the columns whose values are Stripe's. For
// metadata and currency_options it also has the keys, as in metadata.color.
const changedParam = "changed"

// listColumns has the columns with several values.
var listColumns = []string{"images", "marketing_features"}

var candidate = regexp.MustCompile(`@([A-Za-z_]\w*)`)

// statementUse is the purpose of a statement.
type statementUse struct {
	key string
	// query is the mapping's query whose columns are the parameters. known has all columns that the query may return.
	query          string
	columns, known []string
	required       []string
}

// newStatement finds the parameters of a statement, and has PostgreSQL parse it.
func newStatement(ctx context.Context, tx pgx.Tx, u statementUse, source string) (*statement, error) {
	s := &statement{key: u.key}
	// pgx ignores an apparent parameter in a string or a comment.
	candidates := pgx.NamedArgs{}
	for _, found := range candidate.FindAllStringSubmatch(source, -1) {
		candidates[found[1]] = found[1]
	}
	sql, args, err := candidates.RewriteQuery(ctx, tx.Conn(), strings.TrimRight(strings.TrimSpace(source), "; \n\t"),
		nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u.key, err)
	}
	s.sql = sql
	for _, arg := range args {
		name, _ := arg.(string)
		s.params = append(s.params, name)
		s.declared = append(s.declared, declaredTypes[name])
		switch {
		case name == changedParam:
			s.declared[len(s.declared)-1] = pgtype.TextArrayOID
		case slices.Contains(u.columns, name):
		case slices.Contains(u.known, name):
			return nil, fmt.Errorf(
				"%s uses @%s, but the mapping's %s query does not return %s: add that column to the query, or omit "+
					"the parameter", u.key, name, u.query, name)
		default:
			return nil, fmt.Errorf(
				"%s uses @%s, which is not a field of Stripe%s: its parameters are the columns of the mapping's %s "+
					"query", u.key, name, mapping.Nearest(name, u.columns), u.query)
		}
	}
	for _, name := range u.required {
		if !slices.Contains(s.params, name) {
			return nil, fmt.Errorf("%s does not use @%s, so it would not be limited to one %s", u.key,
				name, strings.TrimSuffix(u.query, "s"))
		}
	}
	description, err := tx.Conn().PgConn().Prepare(ctx, checkedName, s.sql, s.declared)
	if err != nil {
		return nil, s.explainRefusal(ctx, tx, err)
	}
	s.types = description.ParamOIDs
	return s, nil
}

// checkedName is the name of the prepared statement that is being checked.
const checkedName = "driftless_write_back"

// checkRights checks whether the role may run the statement that newStatement has just prepared, without running it.
// PostgreSQL checks rights when it makes a plan, not when it parses.
func (s *statement) checkRights(ctx context.Context, tx pgx.Tx) error {
	nulls := strings.TrimSuffix(strings.Repeat("NULL, ", len(s.params)), ", ")
	if _, err := tx.Exec(ctx, "EXPLAIN EXECUTE "+checkedName+" ("+nulls+")",
		pgx.QueryExecModeSimpleProtocol); err != nil {
		return s.explainRefusal(ctx, tx, err)
	}
	return nil
}

// run runs the statement with the values of a row, and returns how many rows it changed. changed has the columns that
// it sets.
func (s *statement) run(ctx context.Context, tx pgx.Tx, row mapping.Row, changed []string) (int64, error) {
	values := make([][]byte, len(s.params))
	sql := s.sql
	if !slices.Contains(s.params, changedParam) {
		sql = pruneAssignments(s.sql, s.params, func(param string) bool { return slices.Contains(changed, param) })
	}
	for i, name := range s.params {
		if name == changedParam {
			list, err := textArray(changed)
			if err != nil {
				return 0, fmt.Errorf("%s: @%s: %w", s.key, name, err)
			}
			values[i] = []byte(list)
			continue
		}
		value := row[name]
		if value == nil {
			continue
		}
		text := *value
		if slices.Contains(listColumns, name) && isTextArray(s.types[i]) {
			var err error
			if text, err = arrayOf(text); err != nil {
				return 0, fmt.Errorf("%s: @%s: %w", s.key, name, err)
			}
		}
		values[i] = []byte(text)
	}
	// The values are in text form, so that PostgreSQL reads each one as its column's type. The types are those of the
	// full statement, because a pruned one may not use every parameter.
	result := tx.Conn().PgConn().ExecParams(ctx, sql, values, s.types, nil, nil).Read()
	if result.Err != nil {
		return 0, result.Err
	}
	return result.CommandTag.RowsAffected(), nil
}

func isTextArray(oid uint32) bool { return oid == pgtype.TextArrayOID || oid == pgtype.VarcharArrayOID }

// arrayOf converts a JSON list to PostgreSQL's text form of text[].
func arrayOf(list string) (string, error) {
	names, err := namesOf(list)
	if err != nil {
		return "", err
	}
	return textArray(names)
}

func textArray(names []string) (string, error) {
	out, err := pgtype.NewMap().Encode(pgtype.TextArrayOID, pgtype.TextFormatCode, names, nil)
	if err != nil {
		return "", fmt.Errorf("write a list: %w", err)
	}
	return string(out), nil
}

// namesOf reads a list of strings, or of objects with a name.
func namesOf(list string) ([]string, error) {
	var items []json.RawMessage
	if err := json.Unmarshal([]byte(list), &items); err != nil {
		return nil, fmt.Errorf("read a list: %w", err)
	}
	names := make([]string, len(items))
	for i, item := range items {
		var named struct {
			Name string `json:"name"`
		}
		err := json.Unmarshal(item, &names[i])
		if err != nil {
			if err = json.Unmarshal(item, &named); err == nil {
				names[i] = named.Name
			}
		}
		if err != nil {
			return nil, fmt.Errorf("read a list: %w", err)
		}
	}
	return names, nil
}

// ordinal matches a parameter in PostgreSQL's messages.
var ordinal = regexp.MustCompile(`\$(\d+)`)

// explainRefusal returns PostgreSQL's error with the operator's parameter names, and with a fix where one is known. It
// returns any other error as it is.
func (s *statement) explainRefusal(ctx context.Context, tx pgx.Tx, err error) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return fmt.Errorf("%s: %w", s.key, err)
	}
	message := ordinal.ReplaceAllStringFunc(pg.Message, func(found string) string {
		if n, err := strconv.Atoi(found[1:]); err == nil && n >= 1 && n <= len(s.params) {
			return "@" + s.params[n-1]
		}
		return found
	})
	if pg.Detail != "" {
		message += "; " + pg.Detail
	}
	if pg.Hint != "" {
		message += "; " + pg.Hint
	}
	switch pg.Code {
	case codeInsufficientPrivilege:
		message += "; " + missingGrants(ctx, tx.Conn().Config().Copy(), s.sql)
	case codeIndeterminateType, codeAmbiguousParameter, codeAmbiguousFunction:
		message += "; give the parameter a type, as in @name::text"
	}
	return &refusal{key: s.key, message: message, cause: pg}
}

// refusal is the error of a statement that PostgreSQL refuses.
type refusal struct {
	key, message string
	cause        *pgconn.PgError
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%s is refused by Postgres: %s", r.key, r.message)
}

func (r *refusal) Unwrap() error { return r.cause }

// SQLSTATEs (https://www.postgresql.org/docs/current/errcodes-appendix.html).
const (
	codeSerializationFailure  = "40001"
	codeDeadlock              = "40P01"
	codeLockNotAvailable      = "55P03"
	codeUniqueViolation       = "23505"
	codeReadOnlyTransaction   = "25006"
	codeInsufficientPrivilege = "42501"
	codeIndeterminateType     = "42P18"
	codeAmbiguousParameter    = "42P08"
	codeAmbiguousFunction     = "42725"
)
