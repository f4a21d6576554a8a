package mesh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// outageTold is how long requests fail until that is worth a line in the log. The loss of a node of a cluster passes
// sooner, and the connections that it ended are logged in any case.
const outageTold = 15 * time.Second

// notListedError: the list of a stream's consumers lacks one. It was deleted, or a leader is being elected for it.
type notListedError struct{ stream, consumer, account string }

func (e *notListedError) Error() string {
	return fmt.Sprintf("stream %s lists no consumer %s: run `driftless topology apply --account %s` if that persists",
		e.stream, e.consumer, e.account)
}

// Outage decides for something that is done again and again whether a failure is to be logged: once, and not at all if
// the cluster was electing a leader. The zero value is ready. Not safe for concurrent use.
type Outage struct {
	since time.Time
	told  bool
}

// Tell reports whether the result of an attempt is to be logged; nil, a success, is not.
func (o *Outage) Tell(err error) bool { return o.tell(err, time.Now()) }

func (o *Outage) tell(err error, now time.Time) bool {
	if err == nil {
		*o = Outage{}
		return false
	}
	if o.since.IsZero() {
		o.since = now
	}
	if o.told || passing(err) && now.Sub(o.since) < outageTold {
		return false
	}
	o.told = true
	return true
}

// passing reports whether an error may be due to a leader that is being elected.
func passing(err error) bool {
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
