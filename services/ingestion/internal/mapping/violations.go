package mapping

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/config"
)

// Violated is a check of the operator that a product violates, or that failed for it and holds on an error.
type Violated struct {
	Check config.ProductCheck
	// Message is the check's message with the details that its query returned.
	Message string
}

// CheckFailure is the failure of a check for some products.
type CheckFailure struct {
	// Check is its name.
	Check string
	// Product is one of the products. Products is how many there are, and All reports whether they were all that were
	// read together.
	Product  string
	Products int
	All      bool
	// Message is in Postgres' words, and Code its SQLSTATE, empty if Postgres did not refuse anything.
	Message, Code string
}

func (f CheckFailure) Error() string {
	message := fmt.Sprintf("check %s fails: %s", f.Check, f.Message)
	if !f.All {
		message += " (for product " + f.Product + ")"
	}
	return message
}

// Bounds of the details in a message.
const (
	maxDetails     = 5
	maxDetailBytes = 200
)

// violation has the details of the rows that a check returned for a product.
type violation struct {
	// details are the first ones in their order, without repetitions.
	details []string
	rows    int
}

func (v *violation) add(detail *string) {
	v.rows++
	if detail == nil || strings.TrimSpace(*detail) == "" {
		return
	}
	text := clip(strings.TrimSpace(*detail), maxDetailBytes)
	at, known := slices.BinarySearch(v.details, text)
	if known {
		return
	}
	v.details = slices.Insert(v.details, at, text)
	if len(v.details) > maxDetails {
		v.details = v.details[:maxDetails]
	}
}

// message returns the check's message with the details. It does not depend on the order of the rows.
func (v *violation) message(c config.ProductCheck) string {
	if len(v.details) == 0 {
		return c.Message
	}
	text := c.Message + ": " + strings.Join(v.details, "; ")
	if more := v.rows - len(v.details); more > 0 && len(v.details) == maxDetails {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// clip returns at most limit bytes of a text, with "..." if it was cut. Characters are not split.
func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	end := limit
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "..."
}

// checkResult is the result of one check for the products of a part.
type checkResult struct {
	check *productCheck
	sql   string
	// refused is why the check cannot run. It has no query then.
	refused error
	// violations by the id that the check returned, as Postgres writes values of the products' id type.
	violations map[string]*violation
	// failed has the products for which the check failed, with the failures.
	failed   map[string]error
	failures []CheckFailure
}

func (r *checkResult) add(id string, detail *string) {
	v := r.violations[id]
	if v == nil {
		v = &violation{}
		r.violations[id] = v
	}
	v.add(detail)
}

func (r *checkResult) fail(ids []string, all bool, err error) {
	message, code := describeFailure(err)
	for _, id := range ids {
		r.failed[id] = err
	}
	r.failures = append(r.failures, CheckFailure{
		Check:    r.check.Name,
		Product:  ids[0],
		Products: len(ids),
		All:      all,
		Message:  message,
		Code:     code,
	})
}

// prepareChecks returns the checks to run, before a transaction begins. Those that cannot run have no query.
func (s *session) prepareChecks(ctx context.Context) ([]*checkResult, error) {
	out := make([]*checkResult, 0, len(s.m.checks))
	for _, c := range s.m.checks {
		r := &checkResult{check: c, violations: map[string]*violation{}, failed: map[string]error{}}
		if r.sql, r.refused = c.query(ctx, s.conn); isConnectionError(ctx, s.conn, r.refused) {
			return nil, r.refused
		}
		out = append(out, r)
	}
	return out, nil
}

// CheckViolations returns what a change says of the checks that its product violates.
func CheckViolations(violated []Violated) []*catalogv1.CheckViolation {
	var out []*catalogv1.CheckViolation
	for _, v := range violated {
		out = append(out, &catalogv1.CheckViolation{Check: v.Check.Name, Message: v.Message})
	}
	return out
}

// checksSavepoint is set after the products were read. A check that fails is undone to it, and the snapshot stays.
const checksSavepoint = "driftless_checks"

// runChecks runs the checks for products of an open transaction, after its savepoint, and ends the transaction. It
// takes one round trip if no check fails.
func (s *session) runChecks(ctx context.Context, results []*checkResult, ids []string) error {
	batch := &pgx.Batch{}
	for _, r := range results {
		switch {
		case len(ids) == 0:
		case r.refused != nil:
			r.fail(ids, true, r.refused)
		default:
			batch.Queue(r.sql, ids).Query(r.collect)
		}
	}
	for _, statement := range s.conn.abandon() {
		batch.Queue(statement)
	}
	err := s.conn.SendBatch(ctx, batch).Close()
	if err == nil || code(err) == "" || isConnectionError(ctx, s.conn, err) {
		return err
	}
	for _, r := range results {
		if r.refused != nil || len(ids) == 0 {
			continue
		}
		clear(r.violations)
		if err := s.rollBack(ctx); err != nil {
			return err
		}
		if err := s.runAlone(ctx, r, ids); err != nil {
			return err
		}
	}
	s.conn.undo(ctx)
	return nil
}

func (r *checkResult) collect(rows pgx.Rows) error {
	var id string
	var detail *string
	_, err := pgx.ForEachRow(rows, []any{&id, &detail}, func() error {
		r.add(id, detail)
		return nil
	})
	return err
}

func (s *session) rollBack(ctx context.Context) error {
	_, err := s.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT "+checksSavepoint)
	return err
}

// try runs a check for some products. A failure is undone.
func (s *session) try(ctx context.Context, r *checkResult, ids []string) (failure, err error) {
	before := r.violations
	r.violations = map[string]*violation{}
	rows, err := s.conn.Query(ctx, r.sql, ids)
	if err == nil {
		err = r.collect(rows)
	}
	found := r.violations
	r.violations = before
	if err == nil {
		maps.Copy(r.violations, found)
		return nil, nil
	}
	if isConnectionError(ctx, s.conn, err) {
		return nil, err
	}
	return err, s.rollBack(ctx)
}

// runAlone runs one check, and finds the products for which it fails. The others keep their result: it must not depend
// on the products that are read together, or a comparison would find other violations than a change.
func (s *session) runAlone(ctx context.Context, r *checkResult, ids []string) error {
	failure, err := s.try(ctx, r, ids)
	if failure == nil || err != nil {
		return err
	}
	// An error without any product does not come from a row.
	probe, err := s.try(ctx, r, []string{})
	if err != nil {
		return err
	}
	if probe != nil || !isRowError(failure) || code(failure) == codeQueryCanceled {
		r.check.rest(failure)
		r.fail(ids, true, failure)
		return nil //nolint:nilerr // the failure is the check's, and the result has it
	}
	deadline := time.Now().Add(checkQueryTimeout)
	if err := s.splitCheck(ctx, r, ids, failure, deadline); err != nil {
		return err
	}
	// Few failing products do not make it rest, because no product is checked then.
	if time.Now().After(deadline) {
		r.check.rest(failure)
	}
	return nil
}

// splitCheck halves products for which a check fails until it has found the failing ones. When the time is exceeded,
// all that are left count as failing.
func (s *session) splitCheck(ctx context.Context, r *checkResult, ids []string, failure error, deadline time.Time,
) error {
	if len(ids) == 1 || time.Now().After(deadline) {
		r.fail(ids, false, failure)
		return nil
	}
	for half := range slices.Chunk(ids, (len(ids)+1)/2) {
		cause, err := s.try(ctx, r, half)
		if err != nil {
			return err
		}
		if cause == nil {
			continue
		}
		if err := s.splitCheck(ctx, r, half, cause, deadline); err != nil {
			return err
		}
	}
	return nil
}

// addViolations adds the results of the checks to the states of a part.
func (s *session) addViolations(ctx context.Context, results []*checkResult, states map[string]State) error {
	for _, r := range results {
		if err := s.respell(ctx, r, states); err != nil {
			return err
		}
		s.out.CheckFailures = append(s.out.CheckFailures, r.failures...)
		if len(r.failures) == 0 && len(states) > 0 {
			s.out.Checked = append(s.out.Checked, r.check.Name)
		}
		for id, state := range states {
			if failure := r.failed[id]; failure != nil && r.check.HoldsOnError() {
				message, _ := describeFailure(failure)
				state.Violated = append(state.Violated, Violated{
					Check:   r.check.ProductCheck,
					Message: "the check could not run: " + message,
				})
			} else if failure != nil {
				state.Unchecked = append(state.Unchecked, r.check.Name)
			} else if v := r.violations[id]; v != nil {
				state.Violated = append(state.Violated, Violated{
					Check: r.check.ProductCheck, Message: v.message(r.check.ProductCheck),
				})
			}
			states[id] = state
		}
	}
	return nil
}

// respell gives violations the ids of their products, where the check spells a value in another way.
func (s *session) respell(ctx context.Context, r *checkResult, states map[string]State) error {
	var others []string
	for id := range r.violations {
		if _, ok := states[id]; !ok {
			others = append(others, id)
		}
	}
	if len(others) == 0 {
		return nil
	}
	ids := make([]string, 0, len(states))
	for id := range states {
		ids = append(ids, id)
	}
	slices.Sort(others)
	pairs, err := r.check.id.matches(ctx, s.conn, others, ids)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		into := r.violations[p.b]
		if into == nil {
			into = &violation{}
			r.violations[p.b] = into
		}
		from := r.violations[p.a]
		into.rows += from.rows - len(from.details)
		for _, d := range from.details {
			into.add(&d)
		}
	}
	return nil
}
