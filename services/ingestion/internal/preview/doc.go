// Package preview runs statements in a transaction on the catalog that is always rolled back, and finds the products
// that they change. The mapping's queries are read before and after the statements, in the same snapshot.
//
// Three walls keep it from committing. Package script refuses statements that end the transaction. Postgres runs each
// statement by EXECUTE within a DO block, where it accepts no command of transactions. After each statement the
// transaction must still be the same one.
package preview

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/script"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/config"
)

// Config says what to preview.
type Config struct {
	// Connect opens a connection to the catalog database that caches no statements.
	Connect func(ctx context.Context) (*pgx.Conn, error)
	// Statements are run between the two reads. There may be none.
	Statements []script.Statement
	// Before and After are the mappings of the two reads.
	Before, After *config.Mapping
	// ArchiveAfterBefore and ArchiveAfter are how long replaced prices stay active, before and after the change, unless
	// a query says it for the product.
	ArchiveAfterBefore, ArchiveAfter time.Duration
	// LockTimeout is how long a statement waits for a lock, and StatementTimeout how long it may run. 0 means no limit.
	LockTimeout, StatementTimeout time.Duration
	// All yields every product, not only those that differ.
	All bool
	// Validate returns the rules of Stripe that a product breaks.
	Validate func(*catalogv1.Product) []catalog.Violation
	// Describe writes violations in one sentence.
	Describe func([]catalog.Violation) string
	// Progress is called after each page of products. It may be nil.
	Progress func(Progress)
}

// Progress is how far a preview is.
type Progress struct {
	// Phase is "before", "statements" or "after".
	Phase string
	// Done and Expected are products, or statements. More products than expected may follow.
	Done, Expected int
}

// State is a product as the mapping returns it.
type State struct {
	// Change is the state that ingestion would publish, without version and times. Its operation is DELETE if there is
	// no such product.
	Change *catalogv1.ProductChange
	// Refused says why ingestion would not publish it. Change then has what could be read.
	Refused string
}

// Exists reports whether the mapping returns the product.
func (s State) Exists() bool { return s.Change.GetProduct() != nil || s.Refused != "" }

// Change is a product before and after the statements.
type Change struct {
	ProductID     string
	Before, After State
	// Differs reports whether the two are different.
	Differs bool
}

// Ran is a statement that was run.
type Ran struct {
	At string `json:"at"`
	// Rows is the number of rows that it returned or changed.
	Rows int64 `json:"rows"`
}

// Lock is a table that the statements keep others from using until they end.
type Lock struct {
	Table string `json:"table"`
	// Mode is Postgres' name of the lock, and Blocks what it keeps others from: "reads and writes" or "writes".
	Mode   string `json:"mode"`
	Blocks string `json:"blocks"`
}
