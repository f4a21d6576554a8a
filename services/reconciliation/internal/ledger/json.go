package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// productJSON encodes both sides of a product as the JSON that the views show. It returns nil for a side that holds
// nothing.
func productJSON(p *Product) (desired, observed []byte, err error) {
	if product := p.Desired.GetProduct(); product != nil {
		if desired, err = encodeJSON(&catalogv1.ProductChange{Product: product}); err != nil {
			return nil, nil, fmt.Errorf("encode product %s: %w", p.ID, err)
		}
	}
	if o := p.Observed; o.GetProduct() != nil {
		shown := proto.CloneOf(o)
		shown.Intents, shown.RecentEvents, shown.Claim, shown.Agreed = nil, nil, nil, nil
		if observed, err = encodeJSON(shown); err != nil {
			return nil, nil, fmt.Errorf("encode product %s: %w", p.ID, err)
		}
	}
	return desired, observed, nil
}

func encodeJSON(m proto.Message) ([]byte, error) {
	data, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	return data, err
}

const updateJSON = `UPDATE driftless_ledger.product SET desired_json = $3, desired_json_of = desired_sequence, observed_json = $4,
	observed_json_of = observed_revision, gone = $5, identified_desired = desired_sequence, identified_observed = observed_revision
	WHERE account = $1 AND product_id = $2`

// BackfillJSON updates the JSON of one batch of products with ids after the given one. Rows that an older program
// stored have none, or an outdated one. It returns the last id of the batch, "" if there are no more.
func (l *Ledger) BackfillJSON(ctx context.Context, after string) (last string, err error) {
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, selectProducts+` WHERE account = $1 AND product_id > $2
			AND (desired IS NOT NULL AND desired_json_of <> desired_sequence OR observed IS NOT NULL AND observed_json_of <> observed_revision)
			ORDER BY product_id LIMIT $3 FOR UPDATE`, l.account, after, productPageSize)
		if err != nil {
			return fmt.Errorf("find products without JSON: %w", err)
		}
		products, err := pgx.CollectRows(rows, scanProduct)
		if err != nil {
			return fmt.Errorf("find products without JSON: %w", err)
		}
		batch := &pgx.Batch{}
		for _, p := range products {
			desired, observed, err := productJSON(p)
			if err != nil {
				return err
			}
			batch.Queue(updateJSON, l.account, p.ID, desired, observed, p.IsGone())
			l.queueIdentifiers(batch, p)
			last = p.ID
		}
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return fmt.Errorf("store the JSON of products up to %s: %w", last, err)
		}
		return nil
	})
	return last, err
}
