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

// ErrFenced: another process has raised the fence since, and what is published through this one is refused.
var ErrFenced = errors.New("another process has taken over")

// inFlightPause is how long a publish waits for the one before it to be applied by the replicas of the stream.
const inFlightPause = 10 * time.Millisecond

// Fence keeps a process that was overtaken from storing anything on CATALOG. That nobody else does its work a process
// may know of a moment ago only: it, or its machine, may be paused between the reading of a state and its publishing,
// and come back when another has long published newer ones.
//
// The newest message on fence.<account>.<lane> says who may publish in a lane. To raise the fence is to store one
// there, and every publish through it has JetStream check, where it stores, that this is the newest still. Safe for
// concurrent use.
type Fence struct {
	m     *Mesh
	lanes map[topology.Lane]*fencedLane
}

type fencedLane struct {
	subject string
	// mu is held while something is on its way: JetStream refuses a check of what another publish in flight checks too.
	mu       sync.Mutex
	sequence uint64
}

// Fence reads how an account's fence stands. Whoever means to raise it does so before it takes what makes it the only
// one.
func (m *Mesh) Fence(ctx context.Context, account string) (*Fence, error) {
	f := &Fence{m: m, lanes: map[topology.Lane]*fencedLane{}}
	for _, lane := range []topology.Lane{topology.Live, topology.Bulk} {
		l := &fencedLane{subject: topology.FenceSubject(account, lane)}
		var err error
		if l.sequence, err = m.fenceAt(ctx, l.subject); err != nil {
			return nil, err
		}
		f.lanes[lane] = l
	}
	return f, nil
}

func (m *Mesh) fenceAt(ctx context.Context, subject string) (uint64, error) {
	stream, err := m.stream(ctx, topology.StreamCatalog)
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

// Raise shuts everybody else out. It returns ErrFenced if somebody else has raised the fence since it was read.
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
				"no stream takes %s: if that lasts, run `driftless topology apply`, which lets %s take it", l.subject,
				topology.StreamCatalog)
		case wrongSequence(err):
			return fmt.Errorf("raise %s: %w", l.subject, ErrFenced)
		case !inFlight(err):
			return fmt.Errorf("raise %s: %w", l.subject, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(inFlightPause):
		}
	}
}

// IsHeld returns ErrFenced if somebody else has raised the fence of a lane: for what is about to be stored in another
// stream, which cannot check it.
func (f *Fence) IsHeld(ctx context.Context, lane topology.Lane) error {
	l := f.lanes[lane]
	sequence, err := f.m.fenceAt(ctx, l.subject)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if sequence != l.sequence {
		return fmt.Errorf("look at %s: %w", l.subject, ErrFenced)
	}
	return nil
}

// Publish publishes messages of a lane as PublishBatch does, and tries again, every half second, until it succeeds or
// ctx ends: for callers that have nowhere else to put them. ErrFenced, and what the server would refuse again, a
// message over MaxBody among it, it returns at once.
func (f *Fence) Publish(ctx context.Context, lane topology.Lane, out []Outgoing) error {
	l := f.lanes[lane]
	// The id of a batch, the same in all attempts.
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
		case wrongSequence(err):
			return fmt.Errorf("publish %d messages in lane %s: %w", len(out), lane, ErrFenced)
		case inFlight(err):
			pause = inFlightPause
		case refused(err):
			return err
		default:
			f.m.logger.Warn("publishing failed; trying again", "error", err)
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

// wrongSequence: a message was not what the stream has, compared with, as the newest of the subject.
func wrongSequence(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// inFlight: another message that is about the same subject is stored already and not yet applied, in a replicated
// stream.
func inFlight(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant
}

// refused: the server would refuse the same again.
func refused(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.Code == 400 || errors.Is(err, nats.ErrMaxPayload)
}
