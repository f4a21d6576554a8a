package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/encoding/protojson"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

// Failure is the last recorded attempt of push that failed, of those since the last success.
type Failure struct {
	// Version is the catalog version that push tried to apply.
	Version uint64
	// First is when the first of them failed, and At when the recorded one did.
	First, At time.Time
	// Attempts failed up to then. Next is when the following one was due.
	Attempts uint64
	Next     time.Time
	// Message is the error, in Stripe's words where Stripe refused.
	Message string
	// RequestID is Stripe's id of the request, if any.
	RequestID string
	// Class is a value of the label failure. Empty if an earlier version recorded the attempt.
	Class string
}

// Failure returns the last recorded failure of a product since a version was applied, given up or held. It returns nil
// if there is none.
func (l *Ledger) Failure(ctx context.Context, product string) (*Failure, error) {
	var f Failure
	var data []byte
	var version string
	err := l.pool.QueryRow(ctx, `WITH failed AS (SELECT id, at, version, detail, data FROM driftless_ledger.history
			WHERE account = $1 AND product_id = $2 AND kind = 'failed' AND at > coalesce((
				SELECT max(at) FROM driftless_ledger.history WHERE account = $1 AND product_id = $2 AND kind IN ('applied', 'dead', 'held')), '-infinity'))
		SELECT (SELECT min(at) FROM failed), at, version::text, detail, data FROM failed ORDER BY at DESC, id DESC LIMIT 1`,
		l.account, product).Scan(&f.First, &f.At, &version, &f.Message, &data)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the failed attempts of product %s: %w", product, err)
	}
	if f.Version, err = strconv.ParseUint(version, 10, 64); err != nil {
		return nil, fmt.Errorf("read the failed attempts of product %s: %w", product, err)
	}
	entry := &controlv1.HistoryEntry{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, entry); err != nil {
		return nil, fmt.Errorf("decode a failed attempt of product %s: %w", product, err)
	}
	f.Attempts, f.RequestID, f.Class = entry.GetAttempts(), entry.GetStripeRequestId(), entry.GetFailure()
	if entry.GetNextAttemptAt() != nil {
		f.Next = entry.GetNextAttemptAt().AsTime()
	}
	return &f, nil
}

// LatestTrace returns the trace of the product's latest entry that has one, "" if none has.
func (l *Ledger) LatestTrace(ctx context.Context, product string) (id string, err error) {
	err = l.pool.QueryRow(ctx, `SELECT trace_id FROM driftless_ledger.history
		WHERE account = $1 AND product_id = $2 AND trace_id <> '' AND kind NOT IN ('stripe_event', 'confirmed')
		ORDER BY at DESC, id DESC LIMIT 1`, l.account, product).Scan(&id)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("read the latest trace of product %s: %w", product, err)
	}
	return id, nil
}
