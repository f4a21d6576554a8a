package mesh

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// minAtomicBatch is the size from which one atomic batch is cheaper than single publishes. A server that keeps a stream
// without replicas stages each batch in a file before it stores it. The staging costs it about as much as a dozen
// writes.
const minAtomicBatch = 16

// committer is the group commit of a stream. It gathers the messages of this process's goroutines while a write is in
// progress. They then go as one atomic batch, with one write to disk. A message that comes alone goes at once; no
// message waits for others. Safe for concurrent use.
type committer struct {
	m      *Mesh
	stream string

	// senders is waited for when the connection is closed.
	senders *sync.WaitGroup

	mu      sync.Mutex
	waiting []*commit
	sending bool
	// batchingDisabledUntil is when batches are tried again with a stream that does not allow them. Owned by the sender
	// goroutine.
	batchingDisabledUntil time.Time
}

// commit is a message that is being stored in a stream.
type commit struct {
	msg  *nats.Msg
	done chan stored
	// inDoubt reports whether an unanswered batch may have stored the message.
	inDoubt bool
}

// stored is the result of a commit.
type stored struct {
	sequence uint64
	// duplicate reports whether the stream already had a message with the same id.
	duplicate bool
	err       error
}

// committer returns the committer of a stream. Each stream has one.
func (m *Mesh) committer(stream string) *committer {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.committers[stream]
	if !ok {
		c = &committer{m: m, stream: stream, senders: &m.senders}
		m.committers[stream] = c
	}
	return c
}

// batchTimeout is how long a batch waits for the server's answer. After that its messages go one by one, and each of
// them can be repeated. A large batch gets more time, see minBatchRate.
const batchTimeout = time.Second

// put stores a message. Its headers may carry expectations. An error of the server is about this message alone. If ctx
// ends first, the message may still be stored, as with any publish.
func (c *committer) put(ctx context.Context, msg *nats.Msg) stored {
	repeatable(msg)
	waiting := &commit{msg: msg, done: make(chan stored, 1)}
	c.mu.Lock()
	c.waiting = append(c.waiting, waiting)
	if !c.sending {
		c.sending = true
		c.senders.Go(c.send)
	}
	c.mu.Unlock()
	select {
	case s := <-waiting.done:
		return s
	case <-ctx.Done():
		return stored{err: context.Cause(ctx)}
	}
}

// send stores waiting messages until none is left.
func (c *committer) send() {
	for {
		c.mu.Lock()
		var group []*commit
		group, c.waiting = nextGroup(c.waiting)
		if len(group) == 0 {
			c.sending = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		if len(group) < minAtomicBatch || time.Now().Before(c.batchingDisabledUntil) || !c.storeAtomic(group) {
			c.storeEach(group)
		}
	}
}

// nextGroup returns the waiting messages that fit into one batch, and the rest. A batch has at most one message of a
// subject: within a batch the server cannot check what a second one expects.
func nextGroup(waiting []*commit) (group, rest []*commit) {
	subjects, bytes := make(map[string]bool, len(waiting)), 0
	for _, w := range waiting {
		if len(group) == MaxBatch || bytes >= maxBatchBytes || subjects[w.msg.Subject] {
			rest = append(rest, w)
			continue
		}
		subjects[w.msg.Subject] = true
		bytes += len(w.msg.Data)
		group = append(group, w)
	}
	return group, rest
}

// storeAtomic stores a group as one atomic batch. It returns false if the server refused the batch because one of the
// messages did not meet its expectation. Then none was stored.
func (c *committer) storeAtomic(group []*commit) bool {
	msgs := make([]*nats.Msg, len(group))
	for i, w := range group {
		// Copy the message: if it is sent on its own later, it must not carry the headers of a batch.
		msgs[i] = &nats.Msg{Subject: w.msg.Subject, Data: w.msg.Data, Header: nats.Header{}}
		maps.Copy(msgs[i].Header, w.msg.Header)
	}
	bytes := 0
	for _, w := range group {
		bytes += len(w.msg.Data)
	}
	ctx, cancel := context.WithTimeout(context.Background(), batchTimeout+time.Duration(bytes)*time.Second/minBatchRate)
	defer cancel()
	// Do not ask for an ack of the first message: a server that does not allow batches says so at the commit.
	ack, err := jetstreamext.PublishMsgBatch(ctx, c.m.js, msgs, jetstreamext.BatchFlowControl{})
	refused, isRefused := errors.AsType[*jetstream.APIError](err)
	switch {
	case isRefused:
		if refused.ErrorCode == jetstreamext.JSErrCodeBatchPublishNotEnabled {
			// The topology is of an earlier version.
			c.batchingDisabledUntil = time.Now().Add(time.Minute)
		}
		return false
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrNoResponders):
		// The commit was not sent, or no server received it.
		return false
	case err != nil:
		// It may have been stored.
		for _, w := range group {
			w.inDoubt = true
		}
		return false
	}
	for i, w := range group {
		w.done <- stored{sequence: ack.Sequence - uint64(len(group)-1-i)}
	}
	return true
}

// storeEach stores each message of a group on its own, all at the same time.
func (c *committer) storeEach(group []*commit) {
	if len(group) == 1 {
		group[0].done <- c.storeOne(group[0])
		return
	}
	var wg sync.WaitGroup
	for _, w := range group {
		wg.Go(func() { w.done <- c.storeOne(w) })
	}
	wg.Wait()
}

func (c *committer) storeOne(w *commit) stored {
	return c.m.storeIn(context.Background(), c.stream, w.msg, w.inDoubt)
}
