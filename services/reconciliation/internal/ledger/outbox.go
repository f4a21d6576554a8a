package ledger

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// Message is a message that is stored with a change of the ledger, and published after the transaction.
type Message struct {
	Product string
	Body    Body
	// Traceparent is the trace that the message continues. Empty for none.
	Traceparent string

	row int64
	// broken is why a stored message cannot be decoded.
	broken error
}

// Body is an Outcome or a Command. Its id is unique: JetStream stores a message that is published twice once.
type Body interface {
	proto.Message
	GetId() string
}

// The kinds of messages in the outbox.
const (
	kindOutcome = "outcome"
	kindCommand = "command"
)

const (
	// outboxPage is how many messages are read at once.
	outboxPage = 500
	// outboxConcurrency is how many products' messages are published at once.
	outboxConcurrency = 16
	// publishTimeout bounds one attempt to publish the messages that were read. It is far below the duplicate window of
	// the streams, so a process that was suspended does not publish what another has published long ago.
	publishTimeout = 30 * time.Second
	// deleteTimeout bounds the deletion of messages after the service was told to stop.
	deleteTimeout = 5 * time.Second
)

// queueMessages adds to a batch the statements that store a product's messages.
func (l *Ledger) queueMessages(batch *pgx.Batch, p *Product) error {
	for _, m := range p.messages {
		kind := kindOutcome
		if _, ok := m.Body.(*meshv1.Command); ok {
			kind = kindCommand
		}
		payload, err := proto.Marshal(m.Body)
		if err != nil {
			return fmt.Errorf("encode the %s %s about product %s: %w", kind, m.Body.GetId(), p.ID, err)
		}
		batch.Queue(`INSERT INTO driftless_ledger.outbox (account, product_id, kind, payload, traceparent)
			VALUES ($1, $2, $3, $4, $5)`, l.account, p.ID, kind, payload, m.Traceparent)
	}
	return nil
}

// PublishOutbox publishes the messages that transactions have stored, and deletes those for which publish returns nil.
// It publishes a product's messages in their order, and messages of other products at the same time. After an error it
// continues with other products, and returns the first error at the end.
//
// A process that dies leaves its messages to the next call, by any process. So a message may be published twice. Its id
// makes JetStream store it once.
func (l *Ledger) PublishOutbox(ctx context.Context, publish func(context.Context, Message) error) error {
	run := outboxRun{publish: publish, failed: map[string]bool{}}
	for after := int64(0); ctx.Err() == nil; {
		page, err := l.readOutbox(ctx, after)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		// An older copy has messages that were published long ago.
		if _, err := l.Continuity(ctx); err != nil {
			return err
		}
		after = page[len(page)-1].row
		run.publishPage(ctx, page)
		if err := l.deletePublished(ctx, &run); err != nil {
			return err
		}
	}
	return run.err
}

// outboxRun is one run over the outbox.
type outboxRun struct {
	publish func(context.Context, Message) error

	mu sync.Mutex
	// published are the rows to delete.
	published []int64
	// failed are the products whose remaining messages wait for the next run.
	failed map[string]bool
	err    error
}

// publishPage publishes the messages of a page, except those of products that have failed.
func (r *outboxRun) publishPage(ctx context.Context, page []Message) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	products := map[string][]Message{}
	for _, m := range page {
		if !r.failed[m.Product] {
			products[m.Product] = append(products[m.Product], m)
		}
	}
	var g errgroup.Group
	g.SetLimit(outboxConcurrency)
	for _, messages := range products {
		g.Go(func() error {
			for _, m := range messages {
				if !r.publishOne(ctx, m) {
					break
				}
			}
			return nil
		})
	}
	_ = g.Wait()
}

// publishOne publishes a message and reports whether the next one of its product may follow.
func (r *outboxRun) publishOne(ctx context.Context, m Message) bool {
	err := m.broken
	if err == nil {
		err = r.publish(ctx, m)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.published = append(r.published, m.row)
		return true
	}
	r.failed[m.Product] = true
	if r.err == nil {
		r.err = fmt.Errorf("publish %s about product %s: %w", m.Body.GetId(), m.Product, err)
	}
	return false
}

// readOutbox reads the messages after a row.
func (l *Ledger) readOutbox(ctx context.Context, after int64) ([]Message, error) {
	rows, err := l.pool.Query(ctx,
		`SELECT id, product_id, kind, payload, traceparent FROM driftless_ledger.outbox
		WHERE account = $1 AND id > $2 ORDER BY id LIMIT $3`, l.account, after, outboxPage)
	if err != nil {
		return nil, fmt.Errorf("read the messages to publish: %w", err)
	}
	page, err := pgx.CollectRows(rows, scanMessage)
	if err != nil {
		return nil, fmt.Errorf("read the messages to publish: %w", err)
	}
	return page, nil
}

func scanMessage(row pgx.CollectableRow) (m Message, err error) {
	var kind string
	var payload []byte
	if err := row.Scan(&m.row, &m.Product, &kind, &payload, &m.Traceparent); err != nil {
		return m, err
	}
	m.Body = &meshv1.Outcome{}
	if kind == kindCommand {
		m.Body = &meshv1.Command{}
	}
	m.broken = proto.Unmarshal(payload, m.Body)
	return m, nil
}

// deletePublished deletes messages that were published, also while the service stops.
func (l *Ledger) deletePublished(ctx context.Context, run *outboxRun) error {
	if len(run.published) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
	defer cancel()
	if _, err := l.pool.Exec(ctx, `DELETE FROM driftless_ledger.outbox WHERE id = ANY($1)`, run.published); err != nil {
		return fmt.Errorf("delete %d published messages: %w", len(run.published), err)
	}
	run.published = nil
	return nil
}
