package mesh

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
)

// Delivery is one message of a batch.
type Delivery[M proto.Message] struct {
	Message[M]
	// Context belongs to the message's span.
	Context context.Context //nolint:containedctx // each message is of another trace
}

// ConsumeBatches is Consume for a handler that takes several messages at once, at most maxMessages. One transaction
// that stores a hundred messages costs little more than one that stores a single message. It never waits for a batch to
// fill. The handler returns one verdict for each message, in the same order. The worker's concurrency counts batches.
func ConsumeBatches[T any, M interface {
	*T
	proto.Message
}](
	ctx context.Context, m *Mesh, w Worker, maxMessages int,
	handle func(context.Context, []Delivery[M]) []Verdict,
) error {
	return consume(ctx, m, w, func(pulling, handling context.Context, cons jetstream.Consumer) error {
		p := m.puller(w.Consumer)
		defer p.drop()
		for pulling.Err() == nil {
			batch, err := fetch(pulling, p, cons, maxMessages)
			if errors.Is(err, nats.ErrConnectionClosed) || pulling.Err() != nil && err != nil {
				// consume reports a connection that was closed.
				return nil
			}
			if err != nil {
				return err
			}
			if pulling.Err() != nil {
				for _, raw := range batch {
					_ = raw.Nak()
				}
				return nil
			}
			handleBatch(handling, m, w, batch, handle)
		}
		return nil
	})
}

// fetch waits for one message and returns it with those that are available already. It never fetches ahead: the ack
// wait of such messages would run out behind a slow batch.
func fetch(ctx context.Context, p *puller, cons jetstream.Consumer, maxMessages int) ([]jetstream.Msg, error) {
	first, err := p.next(ctx)
	if err != nil {
		return nil, err
	}
	batch := []jetstream.Msg{first}
	if maxMessages > 1 {
		// An error here returns with the next request.
		more, _ := collect(cons.FetchNoWait(maxMessages - 1))
		batch = append(batch, more...)
	}
	return batch, nil
}

// collect returns the messages of a request, and the error that ended it.
func collect(batch jetstream.MessageBatch, err error) (out []jetstream.Msg, _ error) {
	if err != nil {
		return nil, err
	}
	for raw := range batch.Messages() {
		out = append(out, raw)
	}
	return out, batch.Error()
}

func handleBatch[T any, M interface {
	*T
	proto.Message
}](ctx context.Context, m *Mesh, w Worker, batch []jetstream.Msg,
	handle func(context.Context, []Delivery[M]) []Verdict,
) {
	// Before the first is decoded: a letter about a message that cannot be decoded is stored first, which may take as
	// long as an election.
	alive := keepAlive(batch...)
	defer alive()
	deliveries := make([]delivery[M], 0, len(batch))
	decoded := make([]Delivery[M], 0, len(batch))
	for _, raw := range batch {
		d, ok := decode[T, M](ctx, m, w, raw)
		if !ok {
			continue
		}
		if d.undecodable != nil {
			d.finish(m, w, Dead(d.undecodable))
			d.span.End()
			continue
		}
		deliveries, decoded = append(deliveries, d), append(decoded, Delivery[M]{Message: d.msg, Context: d.ctx})
	}
	if len(decoded) == 0 {
		return
	}
	for i, verdict := range handle(ctx, decoded) {
		deliveries[i].finish(m, w, verdict)
		deliveries[i].span.End()
	}
}
