package mesh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func retrySubject(service, account, product string) string {
	return "retry." + service + "." + account + "." + topology.Token(product)
}

// dueSubject returns the subject on which a retry arrives when it is due.
func dueSubject(service, account, product string) string {
	return "retry.due." + service + "." + account + "." + topology.Token(product)
}

// overlapSubject returns the subject of the schedule that ends an overlap of prices.
func overlapSubject(account, product string) string {
	return "retry." + topology.RetryOverlap + "." + account + "." + topology.Token(product)
}

// SyncAt schedules a sync of a product on push's consumer of RETRY. It arrives as a retry does, at the given time by
// the server's clock or up to two seconds later. It replaces the sync of the product that was scheduled before, but no
// retry. Nothing that reads, counts or cancels retries concerns it: the product did not fail.
func (m *Mesh) SyncAt(ctx context.Context, retry *meshv1.Retry, at time.Time) error {
	now, err := m.clock.Now(ctx)
	if err != nil {
		return err
	}
	// Schedules have whole seconds. An early sync would find nothing to do.
	due := at.Truncate(time.Second).Add(time.Second)
	if soon := now.Add(time.Second); due.Before(soon) {
		due = soon
	}
	return m.schedule(ctx, overlapSubject(retry.GetAccount(), retry.GetProductId()), topology.Push, retry, now, due)
}

// RetryLater schedules a retry of a product after a delay, on the service's consumer of RETRY. It replaces an earlier
// retry of the same product, but keeps its request to reread. JetStream keeps the schedule, so it survives every
// process and blocks no other message. It is accurate to the second, by the server's clock.
func (m *Mesh) RetryLater(ctx context.Context, service string, retry *meshv1.Retry, delay time.Duration) error {
	earlier, _, err := m.retryOf(ctx, service, retry.GetAccount(), retry.GetProductId())
	if err != nil {
		return err
	}
	retry.Look = retry.GetLook() || earlier.GetLook()
	// A success cancels the retry. So the product has failed since the earlier one, whatever process made that.
	if at := earlier.GetFailingSince(); at != nil && at.AsTime().Before(retry.GetFailingSince().AsTime()) {
		retry.FailingSince = at
	}
	if earlier.GetVersion() == retry.GetVersion() {
		retry.Overwrite, retry.Leave = union(earlier.GetOverwrite(), retry.GetOverwrite()),
			union(earlier.GetLeave(), retry.GetLeave())
	}
	now, err := m.clock.Now(ctx)
	if err != nil {
		return err
	}
	return m.schedule(ctx, retrySubject(service, retry.GetAccount(), retry.GetProductId()), service, retry, now,
		now.Add(delay))
}

// schedule stores a schedule on a subject. When it is due, the retry arrives on the service's consumer.
func (m *Mesh) schedule(ctx context.Context, subject, service string, retry *meshv1.Retry,
	now, due time.Time,
) error {
	retry.DueAt = timestamppb.New(due)
	msg, span, err := m.outgoing(ctx, Outgoing{
		Subject: subject,
		Body:    retry,
		Version: retry.GetVersion(),
	})
	if err != nil {
		return err
	}
	defer span.End()
	span.SetAttributes(telemetry.RetryDelayKey.Int64(due.Sub(now).Milliseconds()))
	target := dueSubject(service, retry.GetAccount(), retry.GetProductId())
	if _, err := read(ctx, m, func(ctx context.Context) (*jetstream.PubAck, error) {
		// Copy the message, since the options write headers. A second, equal schedule replaces the first.
		attempt := &nats.Msg{Subject: msg.Subject, Data: msg.Data, Header: maps.Clone(msg.Header)}
		return m.js.PublishMsg(ctx, attempt, jetstream.WithScheduleAt(due), jetstream.WithScheduleTarget(target))
	}); err != nil {
		telemetry.Fail(span, err)
		return fmt.Errorf("schedule a retry of product %s: %w", retry.GetProductId(), err)
	}
	return nil
}

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// retryOf returns the scheduled retry of a product and its sequence; nil if there is none.
func (m *Mesh) retryOf(ctx context.Context, service, account, product string) (*meshv1.Retry, uint64, error) {
	stream, err := m.boundStream(ctx, topology.StreamRetry)
	if err != nil {
		return nil, 0, err
	}
	msg, err := m.lastOf(ctx, stream, retrySubject(service, account, product))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, 0, nil
	case err != nil:
		return nil, 0, fmt.Errorf("read the retry of product %s: %w", product, err)
	}
	if err := cmp.Or(checkRepublished(msg.Header),
		m.authentic(msg.Subject, msg.Header, msg.Data, msg.Time)); err != nil {
		m.CountRefusal(ctx, topology.StreamRetry, msg.Subject, err)
		return nil, 0, nil
	}
	retry := &meshv1.Retry{}
	if err := proto.Unmarshal(msg.Data, retry); err != nil {
		return nil, 0, fmt.Errorf("decode the retry of product %s: %w", product, err)
	}
	return retry, msg.Sequence, nil
}

// CancelRetry removes the retry of a product if it is about at most the given version. It keeps a retry that requests a
// reread, unless looked reports that the product was reread.
func (m *Mesh) CancelRetry(ctx context.Context, service, account, product string, version uint64, looked bool) error {
	retry, sequence, err := m.retryOf(ctx, service, account, product)
	if err != nil || retry == nil || retry.GetVersion() > version || retry.GetLook() && !looked {
		return err
	}
	stream, err := m.boundStream(ctx, topology.StreamRetry)
	if err != nil {
		return err
	}
	// Delete this message only: a later retry may have been stored meanwhile.
	if err := m.deleteMessage(ctx, stream, sequence); err != nil {
		return fmt.Errorf("cancel the retry of product %s: %w", product, err)
	}
	return nil
}

// Retrying reports whether a retry of a product is scheduled.
func (m *Mesh) Retrying(ctx context.Context, service, account, product string) (bool, error) {
	retry, _, err := m.retryOf(ctx, service, account, product)
	return retry != nil, err
}

// RetryOf returns the scheduled retry of a product; nil if there is none.
func (m *Mesh) RetryOf(ctx context.Context, service, account, product string) (*meshv1.Retry, error) {
	retry, _, err := m.retryOf(ctx, service, account, product)
	if retry != nil {
		retry.Error = cmp.Or(retry.GetError(), "it has failed")
	}
	return retry, err
}

// Retries returns at most limit scheduled retries of a service, and reports whether there are more. A retry that is due
// is not among them. Each takes a round trip.
func (m *Mesh) Retries(ctx context.Context, service, account string,
	limit int,
) (retries []*meshv1.Retry, more bool, err error) {
	retries, next, err := m.RetriesAfter(ctx, service, account, 0, limit)
	return retries, next > 0, err
}

// RetriesAfter is Retries for the retries that were scheduled after a position. It returns the position to continue
// after, 0 if there are no more.
func (m *Mesh) RetriesAfter(ctx context.Context, service, account string, after uint64,
	limit int,
) (retries []*meshv1.Retry, next uint64, err error) {
	stream, err := m.boundStream(ctx, topology.StreamRetry)
	if err != nil {
		return nil, 0, err
	}
	filter := "retry." + service + "." + account + ".*"
	for sequence := after + 1; ; {
		msg, err := stream.GetMsg(ctx, sequence, jetstream.WithGetMsgSubject(filter))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return retries, 0, nil
		case err != nil:
			return nil, 0, fmt.Errorf("list the retries: %w", err)
		case len(retries) == limit:
			return retries, sequence - 1, nil
		}
		if err := m.authentic(msg.Subject, msg.Header, msg.Data, msg.Time); err != nil {
			m.CountRefusal(ctx, topology.StreamRetry, msg.Subject, err)
			sequence = msg.Sequence + 1
			continue
		}
		retry := &meshv1.Retry{}
		if err := proto.Unmarshal(msg.Data, retry); err != nil {
			return nil, 0, fmt.Errorf("read the retry on %s: %w", msg.Subject, err)
		}
		retry.Error = cmp.Or(retry.GetError(), "it has failed")
		retries, sequence = append(retries, retry), msg.Sequence+1
	}
}

// RetryingCount returns how many retries of a service are scheduled.
func (m *Mesh) RetryingCount(ctx context.Context, service, account string) (uint64, error) {
	stream, err := m.boundStream(ctx, topology.StreamRetry)
	if err != nil {
		return 0, err
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter("retry."+service+"."+account+".*"))
	if err != nil {
		return 0, fmt.Errorf("count the retries: %w", err)
	}
	return uint64(len(info.State.Subjects)), nil
}

// Pause stops consumers from delivering to any process, for a time. Resume ends it early.
func (m *Mesh) Pause(ctx context.Context, d time.Duration, consumers ...topology.Consumer) error {
	now, err := m.clock.Now(ctx)
	if err != nil {
		return err
	}
	until := now.Add(d)
	for _, c := range consumers {
		if err := idempotently(ctx, m, func(ctx context.Context) error {
			_, err := m.js.PauseConsumer(ctx, c.Stream, c.Durable(m.account), until)
			return err
		}); err != nil {
			return fmt.Errorf("pause consumer %s of stream %s: %w", c.Durable(m.account), c.Stream, err)
		}
	}
	return nil
}

// Resume ends a pause of consumers.
func (m *Mesh) Resume(ctx context.Context, consumers ...topology.Consumer) error {
	for _, c := range consumers {
		if err := idempotently(ctx, m, func(ctx context.Context) error {
			_, err := m.js.ResumeConsumer(ctx, c.Stream, c.Durable(m.account))
			return err
		}); err != nil {
			return fmt.Errorf("resume consumer %s of stream %s: %w", c.Durable(m.account), c.Stream, err)
		}
	}
	return nil
}
