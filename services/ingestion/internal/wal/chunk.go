package wal

import (
	"time"

	"github.com/jackc/pglogrepl"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// maxChunkProducts is the maximum number of products of a chunk, so that a transaction of any size needs bounded
// memory.
const maxChunkProducts = 1000

// maxImagesPerProduct is the maximum number of row images that a chunk keeps for a product.
const maxImagesPerProduct = 32

// Chunk is a committed transaction, or a part of a large one.
type Chunk struct {
	Xid       uint32
	CommitLSN pglogrepl.LSN
	// EndLSN is the position to confirm once the transaction is captured. It is set on a transaction's last chunk.
	EndLSN      pglogrepl.LSN
	CommittedAt time.Time
	// Traceparent that the application wrote into the transaction, empty if none has come so far.
	Traceparent string
	// Actor is who makes the change, as the transaction says. It is harmless text of at most maxActor bytes, and empty
	// if none has come so far.
	Actor string
	// IsOwn reports whether ingestion wrote Stripe's ids in the transaction. Its products need no new version unless
	// they differ from CATALOG.
	IsOwn bool
	// Products that the transaction touched, in order, with the changes of their rows.
	Products []TouchedProduct
	// Lookups are rows whose products must be looked up.
	Lookups []Lookup
	// Uncertain has the reasons why the transaction may concern products that it does not name. Each reason requires a
	// comparison of the tables.
	Uncertain []string
	// Unwatched is a published table with rows in the transaction that catalog.watch does not name. It is empty if
	// there is none.
	Unwatched string
	// Barriers are the marks of calls that wait for this transaction to be captured.
	Barriers []string
}

// Size returns the number of products and rows of the chunk.
func (c *Chunk) Size() int { return len(c.Products) + len(c.Lookups) }

// TouchedProduct is a product of a chunk.
type TouchedProduct struct {
	ID   string
	Rows []*catalogv1.RowImage
}

// Prefixes of logical messages in the log.
const (
	// TraceparentPrefix is the prefix of the application's trace context, in the transaction that changes the catalog.
	TraceparentPrefix = "traceparent"
	// ActorPrefix is the prefix of the name of who makes the change, in the transaction that changes the catalog.
	ActorPrefix = "driftless.actor"
	// BarrierPrefix is the prefix of a mark to wait for.
	BarrierPrefix = "driftless.barrier"
	// OwnPrefix is the prefix of the mark of a transaction in which ingestion writes Stripe's ids. Others may forge it:
	// it only saves versions that change nothing.
	OwnPrefix = "driftless.ids"
)
