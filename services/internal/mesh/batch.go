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
	// Context is that of the message's span.
	Context context.Context //nolint:containedctx // each message is of another trace
}

// ConsumeBatches is Work for a handler that takes at once the messages that have come together, at most so many: what
// one transaction stores costs little more for a hundred than for one. It waits for no batch to fill. The handler
// returns the verdict of each message, in their order. The worker's concurrency counts batches.
func ConsumeBatches[T any, M interface {
	*T
	proto.Message
}](ctx context.Context, m *Mesh, w Worker, most int, handle func(context.Context, []Delivery[M]) []Verdict) error {
	return consume(ctx, m, w, func(pulling, handling context.Context, cons jetstream.Consumer) error {
		p := m.puller(w.Consumer)
		defer p.drop()
		for pulling.Err() == nil {
			batch, err := fetch(pulling, p, cons, most)
			if errors.Is(err, nats.ErrConnectionClosed) || pulling.Err() != nil && err != nil {
				// consume tells of a connection that was closed.
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
			workBatch(handling, m, w, batch, handle)
		}
		return nil
	})
}

// fetch waits for a message and takes with it those that are there already. It fetches nothing ahead: that would run
// out its ack wait behind a slow batch.
func fetch(ctx context.Context, p *puller, cons jetstream.Consumer, most int) ([]jetstream.Msg, error) {
	first, err := p.next(ctx)
	if err != nil {
		return nil, err
	}
	batch := []jetstream.Msg{first}
	if most > 1 {
		// If that fails, the next request tells of it.
		more, _ := messages(cons.FetchNoWait(most - 1))
		batch = append(batch, more...)
	}
	return batch, nil
}

// messages are those of a request, and the error that ended it.
func messages(batch jetstream.MessageBatch, err error) (out []jetstream.Msg, _ error) {
	if err != nil {
		return nil, err
	}
	for raw := range batch.Messages() {
		out = append(out, raw)
	}
	return out, batch.Error()
}

func workBatch[T any, M interface {
	*T
	proto.Message
}](ctx context.Context, m *Mesh, w Worker, batch []jetstream.Msg,
	handle func(context.Context, []Delivery[M]) []Verdict,
) {
	// Before the first is decoded: a letter about one that cannot be is stored first, which may take as long as an election.
	alive := keepAlive(batch...)
	defer alive()
	taken := make([]delivery[M], 0, len(batch))
	handed := make([]Delivery[M], 0, len(batch))
	for _, raw := range batch {
		d, ok := take[T, M](ctx, m, w, raw)
		if !ok {
			continue
		}
		if d.undecodable != nil {
			d.settle(m, w, Dead(d.undecodable))
			d.span.End()
			continue
		}
		taken, handed = append(taken, d), append(handed, Delivery[M]{Message: d.msg, Context: d.ctx})
	}
	if len(handed) == 0 {
		return
	}
	for i, verdict := range handle(ctx, handed) {
		taken[i].settle(m, w, verdict)
		taken[i].span.End()
	}
}
