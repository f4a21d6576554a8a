package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// historyWindow is how many subjects are requested at a time. Each answer may have MaxStatesPerProduct messages.
const historyWindow = 64

// EachHistory reads the messages of each subject, oldest first. The reads are pipelined. It calls do once for each
// subject, in any order, with the subject's index. from returns the sequence to read from, given the last message of
// the subject; do then gets that message twice. If from is nil, all messages are read. A message whose headers cannot
// be read has the sequence 0.
func (s Stream) EachHistory(
	ctx context.Context, subjects []string,
	from func(i int, last *jetstream.RawStreamMsg) uint64, do func(i int, kept []*jetstream.RawStreamMsg) error,
) error {
	if len(subjects) == 0 {
		return nil
	}
	r := &historyReader{
		m:        s.m,
		stream:   s.name,
		subjects: subjects,
		from:     from,
		inbox:    s.m.nc.NewInbox(),
		waiting:  map[int]*historyAnswer{},
	}
	// A synchronous subscription would interpret a stored message with certain headers as a status of the server.
	answers, done := make(chan *nats.Msg), make(chan struct{})
	sub, err := s.m.nc.Subscribe(r.inbox+".*.*", func(msg *nats.Msg) {
		select {
		case answers <- msg:
		case <-done:
		}
	})
	if err != nil {
		return err
	}
	defer close(done)
	defer func() { _ = sub.Unsubscribe() }()
	// The window is the limit: if the client dropped an answer, it would wait for it until the timeout.
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	return r.run(ctx, answers, do)
}

// historyReader reads with a window of requests.
type historyReader struct {
	m        *Mesh
	stream   string
	subjects []string
	from     func(i int, last *jetstream.RawStreamMsg) uint64
	inbox    string
	// waiting has the subjects that are requested and not answered.
	waiting map[int]*historyAnswer
	next    int
}

// historyAnswer is what was received for one subject.
type historyAnswer struct {
	// attempt counts the requests. Answers to an earlier one are ignored.
	attempt int
	// start is the sequence from which messages are requested. It is 0 while the last message is requested.
	start uint64
	// last is the last message, if it was requested. It counts even if the answer that follows lacks it, because of a
	// replica that lags, or a purge.
	last *jetstream.RawStreamMsg
	msgs []*jetstream.RawStreamMsg
	// previous is the sequence of the last message of this request. It is not known after a message that cannot be
	// read.
	previous uint64
	unsure   bool
}

func (r *historyReader) run(ctx context.Context, answers <-chan *nats.Msg,
	do func(i int, kept []*jetstream.RawStreamMsg) error,
) error {
	silence := time.NewTimer(readRetryInterval)
	defer silence.Stop()
	heard := time.Now()
	for r.next < len(r.subjects) || len(r.waiting) > 0 {
		for ; r.next < len(r.subjects) && len(r.waiting) < historyWindow; r.next++ {
			r.waiting[r.next] = &historyAnswer{}
			if r.from == nil {
				r.waiting[r.next].start = 1
			}
			if err := r.ask(r.next, r.waiting[r.next].start); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-r.m.closed:
			return r.m.closedError()
		case <-silence.C:
			if time.Since(heard) >= electionTimeout {
				return fmt.Errorf("stream %s does not answer: %w", r.stream, context.DeadlineExceeded)
			}
			// The replica that was asked may hang; the next request may reach another one.
			for i, w := range r.waiting {
				w.msgs = nil
				if err := r.ask(i, w.start); err != nil {
					return err
				}
			}
			silence.Reset(readRetryInterval)
		case msg := <-answers:
			heard = time.Now()
			silence.Reset(readRetryInterval)
			if err := r.receive(msg, do); err != nil {
				return err
			}
		}
	}
	return nil
}

// ask requests the messages of a subject from a sequence on, or the last one if that is 0.
func (r *historyReader) ask(i int, from uint64) error {
	w := r.waiting[i]
	w.attempt++
	w.previous, w.unsure = 0, false
	reply := fmt.Sprintf("%s.%d.%d", r.inbox, i, w.attempt)
	if from == 0 {
		last := "$JS.API.DIRECT.GET." + r.stream + "." + r.subjects[i]
		return r.m.nc.PublishMsg(&nats.Msg{Subject: last, Reply: reply})
	}
	request, err := json.Marshal(struct {
		Seq   uint64 `json:"seq"`
		Next  string `json:"next_by_subj"`
		Batch int    `json:"batch"`
	}{from, r.subjects[i], 4 * topology.MaxStatesPerProduct})
	if err != nil {
		return err
	}
	return r.m.nc.PublishMsg(&nats.Msg{
		Subject: "$JS.API.DIRECT.GET." + r.stream,
		Reply:   reply,
		Data:    request,
	})
}

// receive processes one answer: a message, or the server's status that there are no more.
func (r *historyReader) receive(msg *nats.Msg, do func(i int, kept []*jetstream.RawStreamMsg) error) error {
	tokens := strings.Split(msg.Subject, ".")
	i, errI := strconv.Atoi(tokens[len(tokens)-2])
	attempt, errAttempt := strconv.Atoi(tokens[len(tokens)-1])
	if err := errors.Join(errI, errAttempt); err != nil {
		return fmt.Errorf("unexpected answer on %s", msg.Subject)
	}
	w, ok := r.waiting[i]
	if !ok || w.attempt != attempt {
		return nil
	}
	status := msg.Header.Get("Status")
	if w.start != 0 && !w.unsure && follows(msg.Header, w.previous) == gap {
		// The connection was lost for a moment, and answers with it.
		w.msgs = nil
		return r.ask(i, w.start)
	}
	switch {
	case (msg.Header.Get(jetstream.StreamHeader) != "" || status == "") && w.start == 0:
		w.last, _ = storedOrBroken(msg)
		w.start = r.from(i, w.last)
		return r.ask(i, w.start)
	case msg.Header.Get(jetstream.StreamHeader) != "" || status == "":
		// A message without any header is a stored message whose headers cannot be read. Nothing in it is signed.
		stored, ok := storedOrBroken(msg)
		w.msgs = append(w.msgs, stored)
		w.previous, w.unsure = stored.Sequence, !ok
		return nil
	case status == "503":
		return fmt.Errorf("stream %s does not exist, or no server has it now: %w", r.stream,
			nats.ErrNoResponders)
	case status == "204":
		pending, err := strconv.ParseUint(msg.Header.Get("Nats-Num-Pending"), 10, 64)
		last, errLast := strconv.ParseUint(msg.Header.Get("Nats-Last-Sequence"), 10, 64)
		if err := errors.Join(err, errLast); err != nil {
			return fmt.Errorf("the answer about %s cannot be read: %w", r.subjects[i], err)
		}
		if pending > 0 && last > 0 && len(w.msgs) > 0 {
			return r.ask(i, last+1)
		}
	case status == "404":
	default:
		return fmt.Errorf("JetStream: %s %s", status, msg.Header.Get("Description"))
	}
	delete(r.waiting, i)
	if w.last != nil {
		w.msgs = append(w.msgs, w.last)
	}
	return do(i, w.msgs)
}

// storedOrBroken returns the message of an answer to a direct get. ok is false if the server's headers cannot be read.
// The message then has only its own headers and its body.
func storedOrBroken(msg *nats.Msg) (stored *jetstream.RawStreamMsg, ok bool) {
	stored, err := storedMessage(msg)
	if err != nil {
		return &jetstream.RawStreamMsg{Header: msg.Header, Data: msg.Data}, false
	}
	return stored, true
}
