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
	// repeatInterval is how long an attempt may go without an answer before another one starts beside it. The server
	// that was asked may hang, and its successor does not know the request. The answer of an earlier attempt still
	// counts.
	repeatInterval = 500 * time.Millisecond
	// maxRepeatInterval is the maximum interval. It grows so that a slow server does not get ever more requests.
	maxRepeatInterval = time.Second
	// repeatDelay is the delay after an answer that asks for a retry.
	repeatDelay = 100 * time.Millisecond
	// electionTimeout is how long a request waits for an answer in total. A cluster takes 4 to 9 s to elect another
	// leader, by the constants of nats-server.
	electionTimeout = 12 * time.Second
)

// repeat makes attempts, beside each other, until one of them is answered, and returns that answer. It gives up when
// ctx ends. The operation must be idempotent. Attempts are numbered from 1.
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
			if !m.isUnanswered(a.err) {
				return a.value, a.err
			}
			last = a.err
			timer.Reset(repeatDelay)
		case <-timer.C:
			timer.Reset(min(repeatInterval+time.Duration(attempt)*repeatInterval/8, maxRepeatInterval))
			if attempt > 0 && !m.nc.IsConnected() && !m.nc.IsClosed() {
				// The client would buffer the request, and send it with all others when the connection is back.
				timer.Reset(repeatDelay)
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

// isUnanswered reports whether an error says nothing about the request itself: no server accepted it, or it was lost.
func (m *Mesh) isUnanswered(err error) bool {
	switch {
	case err == nil:
		return false
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse):
		// On a single server this means that the stream does not exist.
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
	case codeNoLeader, codeDuplicatePending:
		return true
	case jetstreamext.JSErrCodeBatchPublishIncomplete, jetstreamext.JSErrCodeBatchPublishTooManyInflight:
		// A new leader does not know the messages that the old one took, and nothing of the batch is stored.
		return true
	default:
		return false
	}
}
