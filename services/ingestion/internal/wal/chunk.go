package wal

import (
	"time"

	"github.com/jackc/pglogrepl"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// chunkProducts is how many products a chunk holds at most: transactions of any size pass through in bounded memory.
const chunkProducts = 1000

// imagesPerProduct bounds what is kept of the rows that a transaction changed for one product.
const imagesPerProduct = 32

// Chunk is a committed transaction, or a part of a large one.
type Chunk struct {
	Xid       uint32
	CommitLSN pglogrepl.LSN
	// EndLSN is set on a transaction's last chunk: the position to confirm once it is captured.
	EndLSN      pglogrepl.LSN
	CommittedAt time.Time
	// Traceparent that the application left in the transaction; "" if it has come so far without one.
	Traceparent string
	// Products that the transaction touched, in the order in which it did, with what it did to their rows.
	Products []Touched
	// Lookups are rows whose products have yet to be found.
	Lookups []Lookup
	// Uncertain says why the transaction may concern products that it does not name: the tables have to be read as a
	// whole.
	Uncertain []string
	// Unwatched is a table of the publication that nobody watches, with rows in the transaction; empty if there is
	// none.
	Unwatched string
	// Barriers are the marks of those who wait for this transaction to be captured.
	Barriers []string
}

// Size is how many products and rows the chunk names.
func (c *Chunk) Size() int { return len(c.Products) + len(c.Lookups) }

// Touched is a product of a chunk.
type Touched struct {
	ID   string
	Rows []*catalogv1.RowImage
}

// Prefixes of logical messages in the log.
const (
	// TraceparentPrefix: the application's trace context, in the transaction that changes the catalog.
	TraceparentPrefix = "traceparent"
	// BarrierPrefix: a mark to wait for.
	BarrierPrefix = "driftless.barrier"
)
