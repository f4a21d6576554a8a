package mesh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// outageLogDelay is how long requests must fail before a transient failure is logged. A cluster that loses a node
// elects new leaders in less. Lost connections are logged in any case.
const outageLogDelay = 15 * time.Second

// notListedError means that a stream's list of consumers lacks a consumer. It was deleted, or its leader is being
// elected.
type notListedError struct{ stream, consumer, account string }

func (e *notListedError) Error() string {
	return fmt.Sprintf("stream %s has no consumer %s: if this persists, run `driftless topology apply --account %s`",
		e.stream, e.consumer, e.account)
}

// Outage decides whether a repeated operation should log its failure: once per outage. A transient failure is logged
// only after 15 s. The zero value is ready to use. Not safe for concurrent use.
type Outage struct {
	since  time.Time
	logged bool
}

// ShouldLog reports whether the result of an attempt should be logged. nil means success and is never logged.
func (o *Outage) ShouldLog(err error) bool { return o.shouldLog(err, time.Now()) }

func (o *Outage) shouldLog(err error, now time.Time) bool {
	if err == nil {
		*o = Outage{}
		return false
	}
	if o.since.IsZero() {
		o.since = now
	}
	if o.logged || isTransient(err) && now.Sub(o.since) < outageLogDelay {
		return false
	}
	o.logged = true
	return true
}

// isTransient reports whether an error may come from a leader election.
func isTransient(err error) bool {
	for _, e := range []error{
		context.DeadlineExceeded,
		nats.ErrTimeout,
		nats.ErrNoResponders,
		nats.ErrDisconnected,
		jetstream.ErrNoStreamResponse,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	if _, ok := errors.AsType[*notListedError](err); ok {
		return true
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.Code == unavailable
}
