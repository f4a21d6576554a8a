// Package writeback writes Stripe's values to the operator's tables, with the statements of the configuration. A
// write-back is one transaction. It is committed only if the mapping reads the product before as the command expects,
// and after as the command wants it. The package does not decide who is right, and changes only what its statements
// name.
package writeback

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
)

// maxAttempts is the maximum number of attempts of a transaction that conflicts with another.
const maxAttempts = 5

// maxRows is the maximum number of rows that a statement may change. A statement that changes more is not limited to
// one product or price.
const maxRows = 1000

// Config of a Writer.
type Config struct {
	Pool       *pgxpool.Pool
	Mapping    *mapping.Mapping
	Statements config.WriteBack
	// BuiltIn reports whether the statements are those of the built-in tables. New then does not check the role's
	// rights, because an installation may edit the tables with another role and need no write-back.
	BuiltIn bool
	// Validate returns why Stripe would refuse a product.
	Validate func(*catalogv1.Product) []catalog.Violation
}

// Writer writes back. Safe for concurrent use.
type Writer struct {
	Config
	columns        columns
	product, price columnStatements
	// A statement that is not configured is nil.
	importProduct, importPrice *statement
}

// New checks the statements against the database. Its errors name the statement's key in the configuration and say how
// to fix it.
func New(ctx context.Context, cfg Config) (*Writer, error) {
	w := &Writer{Config: cfg}
	w.columns.products, w.columns.prices = cfg.Mapping.Columns()
	products, prices := mapping.KnownColumns()
	conn, err := cfg.Pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("check the statements of catalog.write_back: %w", err)
	}
	defer conn.Release()
	tx, err := conn.Begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("check the statements of catalog.write_back: %w", err)
	}
	defer func() {
		_ = tx.Rollback(context.WithoutCancel(ctx))
		// A rollback keeps prepared statements.
		_ = conn.Conn().PgConn().Deallocate(context.WithoutCancel(ctx), checkedName)
	}()
	check := func(u statementUse, source string) (*statement, error) {
		if strings.TrimSpace(source) == "" {
			return nil, nil
		}
		s, err := newStatement(ctx, tx, u, source)
		if err != nil {
			return nil, err
		}
		if !cfg.BuiltIn {
			if err := s.checkRights(ctx, tx); err != nil {
				return nil, err
			}
		}
		if err := tx.Conn().PgConn().Deallocate(ctx, checkedName); err != nil {
			return nil, fmt.Errorf("check %s: %w", u.key, err)
		}
		return s, nil
	}
	given := cfg.Statements
	ofProducts := statementUse{"catalog.write_back.product", "products", w.columns.products, products, []string{"id"}}
	ofPrices := statementUse{"catalog.write_back.price", "prices", w.columns.prices, prices, []string{"id"}}
	if w.product, err = newColumnStatements(check, ofProducts, given.Product, given.ProductFields); err != nil {
		return nil, err
	}
	if w.price, err = newColumnStatements(check, ofPrices, given.Price, given.PriceFields); err != nil {
		return nil, err
	}
	ofProducts.key, ofPrices.key = "catalog.write_back.import_product", "catalog.write_back.import_price"
	ofPrices.required = []string{"id", "product"}
	if w.importProduct, err = check(ofProducts, given.ImportProduct); err != nil {
		return nil, err
	}
	if w.importPrice, err = check(ofPrices, given.ImportPrice); err != nil {
		return nil, err
	}
	return w, nil
}

// Command is a write-back command.
type Command struct {
	ProductID string
	// Base is the product in the catalog's version that the command rests on, nil if that version has none.
	Base *catalogv1.Product
	// Desired is the product with Stripe's values. Only Fields of it are written, unless Import is set.
	Desired *catalogv1.Product
	Fields  []string
	// Import inserts the product.
	Import bool
	// Actor is who ordered the write-back, for the log. Empty for nobody.
	Actor string
}

// Result is the result of a write-back that did not fail.
type Result string

const (
	// Written means that the tables were changed.
	Written Result = "written"
	// Done means that the tables already had the values, for example because the command came twice.
	Done Result = "done"
	// Superseded means that the product was changed since the version that the command rests on. Nothing was written.
	Superseded Result = "superseded"
)

// Failure is why a write-back fails on every attempt, until an operator fixes the cause.
type Failure struct {
	// Field that could not be written, in Stripe's names. It is "" if the failure concerns no single field.
	Field   string
	Message string
	cause   error
}

func (f *Failure) Error() string { return f.Message }

func (f *Failure) Unwrap() error { return f.cause }

// Write carries out a command. A permanent failure is a *Failure. Any other error may be temporary. A command may be
// repeated after success.
func (w *Writer) Write(ctx context.Context, command Command) (result Result, err error) {
	for range maxAttempts {
		// If another session commits a change of the same rows after this snapshot, Postgres refuses the statement. The
		// next attempt reads the product again and detects the change.
		err = pgx.BeginTxFunc(ctx, w.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
			result, err = w.attempt(ctx, tx, command)
			return err
		})
		pg, ok := errors.AsType[*pgconn.PgError](err)
		// The next snapshot sees a product that was inserted since this one.
		again := ok &&
			(pg.Code == codeSerializationFailure || pg.Code == codeDeadlock ||
				command.Import && pg.Code == codeUniqueViolation)
		if !again {
			break
		}
	}
	if err != nil {
		return "", w.classify(command, err)
	}
	return result, nil
}

// setTimeouts bound the time for which a locked row or a slow statement delays the commands behind this one.
const setTimeouts = "SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s'"

func (w *Writer) attempt(ctx context.Context, tx pgx.Tx, command Command) (Result, error) {
	if _, err := tx.Exec(ctx, setTimeouts); err != nil {
		return "", fmt.Errorf("prepare the transaction: %w", err)
	}
	present, err := w.Mapping.Product(ctx, tx, command.ProductID)
	if err != nil {
		return "", err
	}
	want, diffs, result, err := w.compare(present, command)
	if result != "" || err != nil {
		return result, err
	}
	if trace := telemetry.Traceparent(ctx); trace != "" {
		if _, err := tx.Exec(ctx, "SELECT pg_logical_emit_message(true, $1, $2)", wal.TraceparentPrefix,
			trace); err != nil {
			return "", fmt.Errorf("write the trace into the log: %w", err)
		}
	}
	if command.Actor != "" {
		if _, err := tx.Exec(ctx, "SELECT pg_logical_emit_message(true, $1, $2)", wal.ActorPrefix,
			command.Actor); err != nil {
			return "", fmt.Errorf("write the actor into the log: %w", err)
		}
	}
	ran, err := w.run(ctx, tx, present, want, diffs)
	if err != nil {
		return "", err
	}
	return Written, w.verify(ctx, tx, command.ProductID, want, ran)
}

// compare compares the current product with the command. It returns a result if there is nothing to write. Otherwise it
// returns the wanted product and the differences, which are empty for an import.
func (w *Writer) compare(present mapping.Product,
	command Command,
) (want *catalogv1.Product, diffs []difference, result Result, err error) {
	var base *catalogv1.Product
	if len(present.Faults) == 0 {
		base = present.Product
	}
	switch {
	case command.Import:
		want = withoutFields(command.Desired, w.Mapping.Unmanaged())
		switch {
		case present.Product == nil:
		case base != nil && len(differences(base, want)) == 0:
			return nil, nil, Done, nil
		default:
			return nil, nil, Superseded, nil
		}
	case base == nil:
		return nil, nil, Superseded, nil
	default:
		if want, err = withFields(base, command.Desired, command.Fields); err != nil {
			return nil, nil, "",
				&Failure{Message: fmt.Sprintf("product %s cannot be written back: %v", command.ProductID, err)}
		}
		if diffs = differences(base, want); len(diffs) == 0 {
			return nil, nil, Done, nil
		}
		if !equalProducts(base, command.Base) {
			return nil, nil, Superseded, nil
		}
		for _, d := range diffs {
			if err := w.checkProvided(d); err != nil {
				return nil, nil, "",
					&Failure{
						Field:   d.field(),
						Message: fmt.Sprintf("product %s cannot be written back: %v", command.ProductID, err),
					}
			}
		}
	}
	if faults := w.Validate(want); len(faults) > 0 {
		return nil, nil, "", &Failure{
			Field: faults[0].Field,
			Message: fmt.Sprintf("product %s cannot be written back, because it would not be valid in the catalog: %s",
				command.ProductID, faults[0]),
		}
	}
	return want, diffs, "", nil
}

// equalProducts reports whether two states that the mapping has read are equal.
func equalProducts(a, b *catalogv1.Product) bool {
	if b == nil {
		return false
	}
	a, b = proto.CloneOf(a), proto.CloneOf(b)
	for _, p := range []*catalogv1.Product{a, b} {
		slices.SortFunc(p.GetPrices(), func(x, y *catalogv1.Price) int { return strings.Compare(x.GetId(), y.GetId()) })
	}
	return proto.Equal(a, b)
}

// checkProvided returns why a field cannot be written back: the result of a field that the mapping does not read cannot
// be verified.
func (w *Writer) checkProvided(d difference) error {
	query, columns := "products", w.columns.products
	if d.price != "" {
		query, columns = "prices", w.columns.prices
	}
	isAmount := d.column == "unit_amount" || d.column == "unit_amount_decimal"
	if d.column == "" || isAmount || slices.Contains(columns, d.column) {
		return nil
	}
	return fmt.Errorf("the mapping's %s query does not return %s: add that column to it", query, d.column)
}

// ranStatement is a statement that was run, with the number of rows that it changed.
type ranStatement struct {
	key  string
	rows int64
}

// run runs the statements that the differences need. Without differences it inserts the product.
func (w *Writer) run(ctx context.Context, tx pgx.Tx, present mapping.Product, want *catalogv1.Product,
	diffs []difference,
) ([]ranStatement, error) {
	r := &runner{Writer: w, tx: tx, want: want}
	var err error
	if present.Row == nil {
		err = r.insert(ctx)
	} else {
		err = r.change(ctx, present, diffs)
	}
	if err != nil {
		return nil, err
	}
	return r.ran, nil
}

// runner runs the statements of one write-back.
type runner struct {
	*Writer

	tx   pgx.Tx
	want *catalogv1.Product
	ran  []ranStatement
}

// insert inserts the product and its prices.
func (r *runner) insert(ctx context.Context) error {
	row, err := productRow(nil, r.want, nil, r.columns.products)
	if err := r.exec(ctx, r.importProduct, "import_product", "", row, r.columns.products, err); err != nil {
		return err
	}
	for _, p := range r.want.GetPrices() {
		row, err := priceRow(nil, p, r.want.GetId(), nil, r.columns.prices)
		if err := r.exec(ctx, r.importPrice, "import_price", "prices."+p.GetId(), row, r.columns.prices,
			err); err != nil {
			return err
		}
	}
	return nil
}

// change changes the product and the prices that have differences, and inserts prices that the product lacks.
func (r *runner) change(ctx context.Context, present mapping.Product, diffs []difference) error {
	of := map[string][]difference{}
	for _, d := range diffs {
		of[d.price] = append(of[d.price], d)
	}
	if own := of[""]; len(own) > 0 {
		row, err := productRow(present.Row, r.want, own, r.columns.products)
		if err := r.product.forEach("product", own, func(s *statement, key, field string) error {
			return r.exec(ctx, s, key, field, row, changedColumns(own), err)
		}); err != nil {
			return err
		}
	}
	for _, p := range r.want.GetPrices() {
		own := of[p.GetId()]
		if len(own) == 0 {
			continue
		}
		row, err := priceRow(present.Prices[p.GetId()], p, r.want.GetId(), own, r.columns.prices)
		if present.Prices[p.GetId()] == nil {
			err = r.exec(ctx, r.importPrice, "import_price", own[0].field(), row, r.columns.prices, err)
		} else {
			err = r.price.forEach("price", own, func(s *statement, key, field string) error {
				return r.exec(ctx, s, key, field, row, changedColumns(own), err)
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// exec runs a statement, which is nil if the configuration has none. rowErr is the error of making the row.
func (r *runner) exec(ctx context.Context, s *statement, key, field string, row mapping.Row, changed []string,
	rowErr error,
) error {
	switch {
	case rowErr != nil:
		return &Failure{
			Field:   field,
			Message: fmt.Sprintf("product %s cannot be written back: %v", r.want.GetId(), rowErr),
		}
	case s == nil:
		return &Failure{
			Field: field,
			Message: fmt.Sprintf(
				"product %s cannot be written back: set catalog.write_back.%s to the statement that changes your "+
					"tables (see docs/mapping.md)", r.want.GetId(), key),
		}
	}
	rows, err := s.run(ctx, r.tx, row, changed)
	if err != nil {
		return s.explainRefusal(ctx, r.tx, err)
	}
	if rows > maxRows {
		return &Failure{
			Field: field,
			Message: fmt.Sprintf(
				"product %s was not written back: %s would have changed %d rows; check that its WHERE selects one "+
					"row by @id",
				r.want.GetId(), s.key, rows),
		}
	}
	r.ran = append(r.ran, ranStatement{s.key, rows})
	return nil
}

// verify reads the product after the statements, and checks that it is as wanted.
func (w *Writer) verify(ctx context.Context, tx pgx.Tx, id string, want *catalogv1.Product, ran []ranStatement) error {
	did := make([]string, len(ran))
	for i, r := range ran {
		did[i] = fmt.Sprintf("%s changed %d rows", r.key, r.rows)
	}
	read, err := w.Mapping.Product(ctx, tx, id)
	if err != nil {
		return err
	}
	failed := func(field, what string) error {
		return &Failure{
			Field: field,
			Message: fmt.Sprintf("product %s was not written back: %s, and then %s; the transaction was rolled back",
				id,
				strings.Join(did, ", "), what),
		}
	}
	switch {
	case read.Product == nil:
		return failed("", "the mapping does not read the product")
	case len(read.Faults) > 0:
		return failed(read.Faults[0].Field, "the mapping reads "+read.Faults[0].String())
	}
	diffs := differences(read.Product, want)
	if len(diffs) == 0 {
		return nil
	}
	const most = 5
	words := make([]string, 0, most)
	for _, d := range diffs[:min(len(diffs), most)] {
		words = append(words, d.String())
	}
	return failed(diffs[0].field(), "the mapping reads that "+strings.Join(words, "; "))
}

// temporaryCodes has SQLSTATEs and classes of them that do not depend on the command: the connection, the server's
// resources, a server that shuts down or is read-only, a locked row.
var temporaryCodes = []string{
	"08", "53", "57P", codeSerializationFailure, codeDeadlock, codeLockNotAvailable,
	codeReadOnlyTransaction,
}

// classify returns a *Failure for an error that would occur again.
func (w *Writer) classify(command Command, err error) error {
	if failure, ok := errors.AsType[*Failure](err); ok {
		return failure
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || slices.ContainsFunc(temporaryCodes, func(code string) bool { return strings.HasPrefix(pg.Code, code) }) {
		return fmt.Errorf("write product %s back: %w", command.ProductID, err)
	}
	message := err.Error()
	if _, ok := errors.AsType[*refusal](err); !ok {
		// The error came at the end of the transaction, where deferred constraints are checked.
		message = "the transaction is refused by Postgres: " + pg.Message
		if pg.Detail != "" {
			message += "; " + pg.Detail
		}
	}
	var field string
	if !command.Import && len(command.Fields) == 1 {
		field = command.Fields[0]
	}
	return &Failure{
		Field:   field,
		Message: fmt.Sprintf("product %s was not written back: %s", command.ProductID, message),
		cause:   err,
	}
}
