package ledger

import (
	"context"
	"errors"
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

// Body is an Outcome or a Command. Its id is unique. If a message is published twice, JetStream stores it once.
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
		var kind string
		switch m.Body.(type) {
		case *meshv1.Outcome:
			kind = kindOutcome
		case *meshv1.Command:
			kind = kindCommand
		default:
			return fmt.Errorf("message %s about product %s has the unknown type %T", m.Body.GetId(), p.ID, m.Body)
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
// continues with other products, and returns the first error at the end. If there is none but messages that cannot be
// decoded, it returns an *UndecodableError. These messages stay stored, and no other message waits for them.
//
// A process that dies leaves its messages to the next call, by any process. So a message may be published twice. Its id
// makes JetStream store it once.
func (l *Ledger) PublishOutbox(ctx context.Context, publish func(context.Context, Message) error) error {
	run := outboxRun{publish: publish, failed: map[string]bool{}}
	if err := l.runOutbox(ctx, &run); err != nil || run.err != nil {
		return errors.Join(run.err, err)
	}
	if run.undecodable != nil {
		return run.undecodable
	}
	return nil
}

// runOutbox publishes all pages of the outbox. It returns errors of the ledger, and leaves others in run.
func (l *Ledger) runOutbox(ctx context.Context, run *outboxRun) error {
	for after := int64(0); ctx.Err() == nil; {
		page, err := l.readOutbox(ctx, after)
		if err != nil || len(page) == 0 {
			return err
		}
		// A ledger restored from a backup still has messages that were published before. Continuity detects one that
		// was restored while this process ran. A reread under way does not matter: it began by deleting the commands,
		// and outcomes have their own ids.
		if _, err := l.Continuity(ctx); err != nil {
			return err
		}
		after = page[len(page)-1].row
		run.publishPage(ctx, page)
		if err := l.deletePublished(ctx, run); err != nil {
			return err
		}
	}
	return nil
}

// errUnknownKind means that a message is of a kind that this version does not have.
var errUnknownKind = errors.New("its kind is unknown")

// UndecodableError says that stored messages cannot be decoded. They were damaged, or written by another program or a
// later version.
type UndecodableError struct {
	// Rows are the ids of the rows of driftless_ledger.outbox, in ascending order.
	Rows []int64
	// Product and Err are those of the first row.
	Product string
	Err     error
}

func (e *UndecodableError) Error() string {
	others := ""
	if n := len(e.Rows) - 1; n > 0 {
		others = fmt.Sprintf(" (and %d later rows)", n)
	}
	remedy := "save it for a report of the bug, then delete the row"
	if errors.Is(e.Err, errUnknownKind) {
		remedy = "a reconciliation of a later version publishes it; if none runs, " + remedy
	}
	return fmt.Sprintf("row %d of driftless_ledger.outbox, about product %s, cannot be decoded: %v%s; it stays and is "+
		"not published: %s", e.Rows[0], e.Product, e.Err, others, remedy)
}

func (e *UndecodableError) Unwrap() error { return e.Err }

// outboxRun is one run over the outbox.
type outboxRun struct {
	publish func(context.Context, Message) error

	mu sync.Mutex
	// published are the rows to delete.
	published []int64
	// failed are the products whose remaining messages wait for the next run.
	failed      map[string]bool
	undecodable *UndecodableError
	err         error
}

// publishPage publishes the messages of a page, except those of products that have failed.
func (r *outboxRun) publishPage(ctx context.Context, page []Message) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	products := map[string][]Message{}
	for _, m := range page {
		switch {
		case m.broken != nil:
			r.skip(m)
		case !r.failed[m.Product]:
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

// skip leaves a message that cannot be decoded. Waiting for it would not help.
func (r *outboxRun) skip(m Message) {
	if r.undecodable == nil {
		r.undecodable = &UndecodableError{Product: m.Product, Err: m.broken}
	}
	r.undecodable.Rows = append(r.undecodable.Rows, m.row)
}

// publishOne publishes a message and reports whether the next one of its product may follow.
func (r *outboxRun) publishOne(ctx context.Context, m Message) bool {
	err := r.publish(ctx, m)
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
	switch kind {
	case kindOutcome:
		m.Body = &meshv1.Outcome{}
	case kindCommand:
		m.Body = &meshv1.Command{}
	default:
		m.broken = fmt.Errorf("%w: %s", errUnknownKind, kind)
		return m, nil
	}
	if err := proto.Unmarshal(payload, m.Body); err != nil {
		m.broken = fmt.Errorf("%s: %w", kind, err)
	}
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
