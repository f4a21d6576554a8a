package mapping

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// QueryFailure is the failure of a query for one product.
type QueryFailure struct {
	// Query is products or prices.
	Query string
	// Code is Postgres' SQLSTATE, and Message its text.
	Code, Message string
	// BatchSize is the number of products that were read together when the query failed. It is 1 unless the time for
	// finding the failing ones was exceeded.
	BatchSize int
}

func (f *QueryFailure) Error() string {
	message := fmt.Sprintf("the mapping's %s query fails: %s", f.Query, f.Message)
	if f.BatchSize > 1 {
		message += fmt.Sprintf(" (for one of %d products that were read together; finding which one takes too long)",
			f.BatchSize)
	}
	return message
}

// queryError is an error of one of the mapping's queries.
type queryError struct {
	query string
	cause error
}

func (e *queryError) Error() string {
	pg, ok := errors.AsType[*pgconn.PgError](e.cause)
	if !ok {
		return fmt.Sprintf("the mapping's %s query: %v", e.query, e.cause)
	}
	return fmt.Sprintf("the mapping's %s query fails: %s (SQLSTATE %s)%s", e.query, pg.Message, pg.Code, hint(pg))
}

func (e *queryError) Unwrap() error { return e.cause }

func newQueryError(query string, err error) error {
	if err == nil {
		return nil
	}
	return &queryError{query, err}
}

// maxSplitTime is how long a batch may be split to find the products for which a query fails. It is longer if one read
// of the batch takes long.
var maxSplitTime = 30 * time.Second

// SQLSTATEs (https://www.postgresql.org/docs/current/errcodes-appendix.html).
const (
	classSyntaxOrAccess = "42"
	codeQueryCanceled   = "57014"
)

// serverErrorClasses has the classes of errors that do not depend on the rows: connection, transaction state, rights to
// connect, conflicts with other sessions, resources, shutdown, the system, an outdated plan.
var serverErrorClasses = []string{"08", "0A", "25", "26", "28", "3D", "40", "53", "55", "57", "58", "F0"}

// isRowError reports whether an error may come from a single row, so that reading fewer products may succeed. Even
// errors that usually come from the query, such as class 42, may: a value that is not a jsonpath is a syntax error.
func isRowError(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || len(pg.Code) != 5 {
		return false
	}
	return pg.Code == codeQueryCanceled || !slices.Contains(serverErrorClasses, pg.Code[:2])
}

// read reads products, and splits them if a query fails.
func (s *session) read(ctx context.Context, ids []string) error {
	values := ids
	if slices.ContainsFunc(ids, s.m.products.id.cannotHold) {
		var err error
		if values, err = s.values(ctx, ids); err != nil {
			return err
		}
	}
	for _, id := range values {
		if s.m.prices.id.cannotHold(id) {
			s.unpriced[id] = true
		}
	}
	begun := time.Now()
	_, err := s.readPart(ctx, values)
	if err == nil || !isRowError(err) {
		return err
	}
	took := time.Since(begun)
	if strings.HasPrefix(code(err), classSyntaxOrAccess) {
		if err := s.m.checkUnchanged(ctx, s.conn); err != nil {
			return err
		}
	}
	if values, err = s.values(ctx, values); err != nil {
		return err
	}
	_, unpriced, err := s.m.prices.id.partition(ctx, s.conn, values)
	if err != nil {
		return err
	}
	for _, id := range unpriced {
		s.unpriced[id] = true
	}
	if _, err = s.readPart(ctx, values); err == nil || !isRowError(err) {
		return err
	}
	cause := err
	// An error without any product does not come from a row.
	if err := s.probe(ctx); err != nil {
		return err
	}
	limit := maxSplitTime + time.Duration(2*bits.Len(uint(len(values))))*took
	x := splitter{session: s, reasons: map[string]bool{}, deadline: time.Now().Add(limit)}
	if err := x.split(ctx, values, cause); err != nil {
		return err
	}
	return x.checkQueries(ctx, values, cause)
}

// values returns the ids that the type of the id column can hold. It records the others as NotIDs.
func (s *session) values(ctx context.Context, ids []string) ([]string, error) {
	values, others, err := s.m.products.id.partition(ctx, s.conn, ids)
	if err != nil || len(others) == 0 {
		return values, err
	}
	// The type may have changed, so that it can hold them.
	if err := s.m.checkUnchanged(ctx, s.conn); err != nil {
		return nil, err
	}
	for _, id := range others {
		s.notIDs[id] = true
	}
	s.out.NotIDs = append(s.out.NotIDs, others...)
	return values, nil
}

// probe runs the queries for no product.
func (s *session) probe(ctx context.Context) error {
	_, err := s.readPart(ctx, []string{})
	return err
}

// splitter finds the products for which a query fails. It needs about 2k log2(n/k) reads for k such products among n,
// and 2n if all fail. When the time is exceeded, all products that were not read alone count as failed, because none is
// known to be good.
type splitter struct {
	*session
	deadline time.Time
	reasons  map[string]bool
}

func (x *splitter) split(ctx context.Context, ids []string, cause error) error {
	if len(ids) == 1 {
		return x.readAlone(ctx, ids[0])
	}
	if time.Now().After(x.deadline) {
		if code(cause) == codeQueryCanceled {
			return cause
		}
		return x.recordFailed(ctx, ids, cause)
	}
	for half := range slices.Chunk(ids, (len(ids)+1)/2) {
		_, err := x.readPart(ctx, half)
		switch {
		case err == nil:
		case !isRowError(err):
			return err
		default:
			if err := x.split(ctx, half, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// readAlone reads one product for which a query is known to fail.
func (x *splitter) readAlone(ctx context.Context, id string) error {
	snapshot, err := x.readPart(ctx, []string{id})
	if err == nil || !isRowError(err) {
		return err
	}
	if code(err) == codeQueryCanceled {
		// A locked table makes queries exceed their time limit for any product.
		if err := x.probe(ctx); err != nil {
			return err
		}
	}
	if snapshot != nil {
		x.out.snapshots = append(x.out.snapshots, *snapshot)
	}
	e, ok := errors.AsType[*queryError](err)
	if !ok || e.query != x.m.prices.name {
		return x.recordFailed(ctx, []string{id}, err)
	}
	// A price row whose product does not exist concerns no product.
	product := x.fork()
	product.unpriced[id] = true
	if _, withoutPrices := product.readPart(ctx, []string{id}); withoutPrices != nil {
		return withoutPrices
	}
	for _, spelled := range slices.Sorted(maps.Keys(product.out.States)) {
		x.record(spelled, 1, e, err)
	}
	return nil
}

// fork returns a session that keeps its results separate from this one.
func (s *session) fork() *session {
	return newSession(s.m, s.conn)
}

// recordFailed records products as failed.
func (x *splitter) recordFailed(ctx context.Context, ids []string, cause error) error {
	e, ok := errors.AsType[*queryError](cause)
	if !ok {
		return cause
	}
	failing, err := x.m.spellings(ctx, x.conn, ids)
	if err != nil {
		return err
	}
	for _, id := range failing {
		x.record(id, len(ids), e, cause)
	}
	return nil
}

func (x *splitter) record(id string, together int, e *queryError, cause error) {
	failure := &QueryFailure{Query: e.query, Code: code(cause), Message: cause.Error(), BatchSize: together}
	if pg, ok := errors.AsType[*pgconn.PgError](cause); ok {
		failure.Message = errorText(pg)
	}
	x.out.States[id] = State{Failure: failure}
	x.reasons[reason(cause)] = true
}

// checkQueries returns an error if the queries themselves are at fault, although they do not fail without a product. A
// function whose body names a renamed column fails on each call, and so does an expression over a row that all products
// share. The queries are at fault if no product of the batch and none of a few others can be read, all for the same
// reason.
func (x *splitter) checkQueries(ctx context.Context, ids []string, cause error) error {
	failing := 0
	for _, state := range x.out.States {
		if state.Product != nil {
			return nil
		}
		if state.Failure != nil && state.Failure.BatchSize == 1 {
			failing++
		}
	}
	if len(x.reasons) != 1 {
		return nil
	}
	const sample, enough = 20, 3
	rare := strings.HasPrefix(code(cause), classSyntaxOrAccess)
	listed, err := x.m.list(ctx, x.conn, "", len(ids)+sample)
	if err != nil && (rare || !isRowError(err)) {
		return err
	}
	for _, id := range listed {
		if slices.Contains(ids, id) {
			continue
		}
		_, err := x.fork().readPart(ctx, []string{id})
		if err == nil || !isRowError(err) {
			return err
		}
		if !x.reasons[reason(err)] {
			return nil
		}
		failing++
	}
	// With few products to compare, only an error that rows rarely cause counts as the query's.
	if failing < enough && !rare {
		return nil
	}
	return cause
}

// reason returns the part that two failures of one cause have in common.
func reason(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code + pg.Message
	}
	return err.Error()
}

func code(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// errorText returns Postgres' message with its context, which names the function and line that raised it.
func errorText(pg *pgconn.PgError) string {
	out := pg.Message
	if pg.Detail != "" {
		out += "; " + pg.Detail
	}
	if pg.Where != "" {
		first, _, _ := strings.Cut(pg.Where, "\n")
		out += "; " + first
	}
	return out
}
