package mesh

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// ErrFenced means that another process has raised the fence since. JetStream refuses what is published through this
// one.
var ErrFenced = errors.New("another process has taken over")

// sequencePendingDelay is how long a publish waits for the replicas of the stream to apply the one before it.
const sequencePendingDelay = 10 * time.Millisecond

// Fence prevents a process that was overtaken from storing anything on CATALOG. A process can only know that it was the
// sole publisher a moment ago. It, or its machine, may be paused between reading a state and publishing it, and
// continue after another process has published later states.
//
// The latest message on fence.<account>.<lane> decides who may publish in a lane. A process raises the fence by storing
// a message there. Every publish through the fence then requires that this is still the latest message, and JetStream
// checks that when it stores. Safe for concurrent use.
type Fence struct {
	m     *Mesh
	lanes map[topology.Lane]*fencedLane
}

type fencedLane struct {
	subject string
	// mu is held during each publish: JetStream refuses a check of a subject that a publish in flight also checks.
	mu       sync.Mutex
	sequence uint64
}

// Fence reads the state of an account's fence. A caller that wants to raise it must call Fence before it acquires what
// makes it the leader.
func (m *Mesh) Fence(ctx context.Context, account string) (*Fence, error) {
	f := &Fence{m: m, lanes: map[topology.Lane]*fencedLane{}}
	for _, lane := range []topology.Lane{topology.Live, topology.Bulk} {
		l := &fencedLane{subject: topology.FenceSubject(account, lane)}
		var err error
		if l.sequence, err = m.fenceSequence(ctx, l.subject); err != nil {
			return nil, err
		}
		f.lanes[lane] = l
	}
	return f, nil
}

func (m *Mesh) fenceSequence(ctx context.Context, subject string) (uint64, error) {
	stream, err := m.boundStream(ctx, topology.StreamCatalog)
	if err != nil {
		return 0, err
	}
	msg, err := m.lastOf(ctx, stream, subject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read %s: %w", subject, err)
	}
	m.catalogEnd.Store(msg.Sequence)
	return msg.Sequence, nil
}

// Raise prevents all other processes from publishing. It returns ErrFenced if another process has raised the fence
// since it was read.
func (f *Fence) Raise(ctx context.Context) error {
	for _, l := range f.lanes {
		if err := l.raise(ctx, f.m); err != nil {
			return err
		}
	}
	return nil
}

func (l *fencedLane) raise(ctx context.Context, m *Mesh) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		msg := &nats.Msg{Subject: l.subject, Header: nats.Header{
			jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(l.sequence, 10)},
		}}
		repeatable(msg)
		s := m.storeIn(ctx, topology.StreamCatalog, msg, false)
		err := s.err
		switch {
		case err == nil:
			l.sequence = s.sequence
			m.catalogEnd.Store(s.sequence)
			return nil
		case errors.Is(err, jetstream.ErrNoStreamResponse):
			return fmt.Errorf(
				"no stream accepts %s: if this persists, run `driftless topology apply`, which adds it to %s",
				l.subject,
				topology.StreamCatalog)
		case isStaleSequence(err):
			return fmt.Errorf("raise %s: %w", l.subject, ErrFenced)
		case !isSequencePending(err):
			return fmt.Errorf("raise %s: %w", l.subject, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(sequencePendingDelay):
		}
	}
}

// IsHeld returns ErrFenced if another process has raised the fence of a lane. It is for messages on other streams,
// which cannot check the fence.
func (f *Fence) IsHeld(ctx context.Context, lane topology.Lane) error {
	l := f.lanes[lane]
	sequence, err := f.m.fenceSequence(ctx, l.subject)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if sequence != l.sequence {
		return fmt.Errorf("check %s: %w", l.subject, ErrFenced)
	}
	return nil
}

// Publish publishes messages of a lane as PublishBatch does. It retries every half second until it succeeds or ctx
// ends, for callers that cannot keep the messages elsewhere. It returns at once with ErrFenced, and with errors that
// the server would repeat, such as a message over MaxBody.
func (f *Fence) Publish(ctx context.Context, lane topology.Lane, out []Outgoing) error {
	l := f.lanes[lane]
	// The id of a batch is the same in all attempts.
	id := nuid.Next()
	for len(out) > 0 {
		n, err := l.publish(ctx, f.m, out, id)
		pause := 500 * time.Millisecond
		switch {
		case err == nil:
			out, id = out[n:], nuid.Next()
			continue
		case ctx.Err() != nil:
			return err
		case isStaleSequence(err):
			return fmt.Errorf("publish %d messages in lane %s: %w", len(out), lane, ErrFenced)
		case isSequencePending(err):
			pause = sequencePendingDelay
		case isPermanent(err):
			return err
		default:
			f.m.logger.Warn("publish failed; retrying", "error", err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
	return nil
}

func (l *fencedLane) publish(ctx context.Context, m *Mesh, out []Outgoing, id string) (n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return m.publishBatch(ctx, out, nats.Header{
		jetstream.MsgIDHeader:                   {id},
		jetstream.ExpectedLastSubjSeqHeader:     {strconv.FormatUint(l.sequence, 10)},
		jetstream.ExpectedLastSubjSeqSubjHeader: {l.subject},
	})
}

// isStaleSequence reports whether the latest message of the subject is not the one that the publish expected.
func isStaleSequence(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// isSequencePending reports whether a message of the same subject is stored and not yet applied, in a replicated
// stream.
func isSequencePending(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant
}

// isPermanent reports whether the server would refuse the same message again.
func isPermanent(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.Code == 400 || errors.Is(err, nats.ErrMaxPayload)
}
