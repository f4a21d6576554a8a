package mesh

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

const (
	// repeatEvery is how long an attempt goes without an answer until the next one is made beside it. The server that
	// was asked may hang, and its successor knows nothing of the request. The answer of an earlier attempt still
	// counts.
	repeatEvery = 500 * time.Millisecond
	// repeatSlowest is the longest interval: a server that is slow is not asked ever more.
	repeatSlowest = time.Second
	// repeatPause is the interval after an answer that says to try again.
	repeatPause = 100 * time.Millisecond
	// electionPatience is how long a request waits for an answer in all: longer than a cluster takes to elect another
	// leader, 4 to 9 s by nats-server's constants.
	electionPatience = 12 * time.Second
)

// repeat makes attempts, beside each other, until one of them is answered, and returns that answer. It gives up when
// ctx ends. What it repeats must be the same whether it is carried out once or twice. Attempts are numbered from 1.
func repeat[T any](ctx context.Context, m *Mesh, once func(ctx context.Context, attempt int) (T, error)) (T, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last error
	for attempt := 0; ; {
		select {
		case <-ctx.Done():
			var none T
			if last == nil {
				last = ctx.Err()
			}
			return none, last
		case a := <-answers:
			if !m.unanswered(a.err) {
				return a.value, a.err
			}
			last = a.err
			timer.Reset(repeatPause)
		case <-timer.C:
			timer.Reset(min(repeatEvery+time.Duration(attempt)*repeatEvery/8, repeatSlowest))
			if attempt > 0 && !m.nc.IsConnected() && !m.nc.IsClosed() {
				// It would be buffered, and sent with all others when the connection is back.
				timer.Reset(repeatPause)
				continue
			}
			attempt++
			go func(attempt int) {
				value, err := once(ctx, attempt)
				select {
				case answers <- answer{value, err}:
				case <-ctx.Done():
				}
			}(attempt)
		}
	}
}

// unanswered reports whether an error says nothing about the request itself: nobody took it, or it was lost.
func (m *Mesh) unanswered(err error) bool {
	switch {
	case err == nil:
		return false
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse):
		// On a single server it means that the stream does not exist.
		return m.clustered()
	case errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, nats.ErrDisconnected):
		return true
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	if !ok {
		return false
	}
	switch api.ErrorCode {
	case codeNoLeader, codeDuplicateInFlight:
		return true
	case jetstreamext.JSErrCodeBatchPublishIncomplete, jetstreamext.JSErrCodeBatchPublishTooManyInflight:
		// A new leader does not know the messages that the old one took, and nothing of the batch is stored.
		return true
	default:
		return false
	}
}
