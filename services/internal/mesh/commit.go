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

// worthBatching is the size from which one atomic batch is cheaper than single publishes. A server that keeps a stream
// without replicas stages each batch in a file before it stores it. That costs it about as much as a dozen writes.
const worthBatching = 16

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
	// singlyUntil is when batches are tried again with a stream that does not allow them. Owned by the sender
	// goroutine.
	singlyUntil time.Time
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

// batchPatience is how long a batch waits for the server's answer. After that its messages go one by one, and each of
// them can be repeated. A large batch gets more time, see batchRate.
const batchPatience = time.Second

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
		group, c.waiting = gather(c.waiting)
		if len(group) == 0 {
			c.sending = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		if len(group) < worthBatching || time.Now().Before(c.singlyUntil) || !c.together(group) {
			c.singly(group)
		}
	}
}

// gather returns the waiting messages that fit into one batch, and the rest. A batch has at most one message of a
// subject: within a batch the server cannot check what a second one expects.
func gather(waiting []*commit) (group, rest []*commit) {
	subjects, bytes := make(map[string]bool, len(waiting)), 0
	for _, w := range waiting {
		if len(group) == MaxBatch || bytes >= batchBytes || subjects[w.msg.Subject] {
			rest = append(rest, w)
			continue
		}
		subjects[w.msg.Subject] = true
		bytes += len(w.msg.Data)
		group = append(group, w)
	}
	return group, rest
}

// together stores a group as one atomic batch. It returns false if the server refused the batch because one of the
// messages did not meet its expectation. Then none was stored.
func (c *committer) together(group []*commit) bool {
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
	ctx, cancel := context.WithTimeout(context.Background(), batchPatience+time.Duration(bytes)*time.Second/batchRate)
	defer cancel()
	// Do not ask for an ack of the first message: a server that does not allow batches says so at the commit.
	ack, err := jetstreamext.PublishMsgBatch(ctx, c.m.js, msgs, jetstreamext.BatchFlowControl{})
	refused, isRefused := errors.AsType[*jetstream.APIError](err)
	switch {
	case isRefused:
		if refused.ErrorCode == jetstreamext.JSErrCodeBatchPublishNotEnabled {
			// The topology is of an earlier version.
			c.singlyUntil = time.Now().Add(time.Minute)
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

// singly stores each message of a group on its own, all at the same time.
func (c *committer) singly(group []*commit) {
	if len(group) == 1 {
		group[0].done <- c.single(group[0])
		return
	}
	var wg sync.WaitGroup
	for _, w := range group {
		wg.Go(func() { w.done <- c.single(w) })
	}
	wg.Wait()
}

func (c *committer) single(w *commit) stored {
	return c.m.storeIn(context.Background(), c.stream, w.msg, w.inDoubt)
}
