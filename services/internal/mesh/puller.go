package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

const (
	// pullExpiry is how long one request for messages is valid at the server.
	pullExpiry = 30 * time.Second
	// pullHeartbeat is how often the server sends a heartbeat while a consumer has no messages. After two intervals
	// without one, the request may be lost: its server may be gone, or hang.
	pullHeartbeat = time.Second
	// probeInterval is the first interval at which a puller in doubt asks again.
	probeInterval = 100 * time.Millisecond
	// maxProbeInterval is the maximum interval.
	maxProbeInterval = 400 * time.Millisecond
)

// puller fetches one message at a time from a durable consumer. The iterator of nats.go waits two heartbeats whenever a
// consumer has no leader. This one asks again within maxProbeInterval, so it uses a new leader at once. Not safe for
// concurrent use.
type puller struct {
	m       *Mesh
	subject string
	sub     *nats.Subscription
	// requestOpen reports whether a request is open at the server, as far as the puller knows.
	requestOpen bool
	// probes counts the requests since the consumer's leader last answered; 0 means no doubt.
	probes int
}

func (m *Mesh) puller(c topology.Consumer) *puller {
	return &puller{m: m, subject: "$JS.API.CONSUMER.MSG.NEXT." + c.Stream + "." + c.Durable(m.account)}
}

// pullRequest is the body of a request for messages (ADR-13).
type pullRequest struct {
	Batch     int           `json:"batch"`
	Expires   time.Duration `json:"expires,omitempty"`
	NoWait    bool          `json:"no_wait,omitempty"`
	Heartbeat time.Duration `json:"idle_heartbeat,omitempty"`
}

// next waits for a message. Once ctx has ended it returns the cause.
func (p *puller) next(ctx context.Context) (jetstream.Msg, error) {
	for ctx.Err() == nil {
		wait, err := p.ask()
		if err != nil {
			return nil, fmt.Errorf("ask for messages: %w", err)
		}
		msg, err := p.answer(ctx, wait)
		switch {
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			p.doubt()
		case errors.Is(err, nats.ErrNoResponders):
			// The consumer has no leader.
			p.doubtAndWait(ctx)
		case err != nil:
			return nil, err
		case msg.Header.Get("Status") == "":
			p.noteAnswer()
			return received{msg, p.m.nc}, nil
		default:
			if err := p.status(ctx, msg); err != nil {
				return nil, err
			}
		}
	}
	return nil, context.Cause(ctx)
}

// ask sends a request unless one is open, and returns how long to wait for an answer or a heartbeat.
func (p *puller) ask() (wait time.Duration, err error) {
	if p.sub == nil {
		if p.sub, err = p.m.nc.SubscribeSync(p.m.nc.NewInbox()); err != nil {
			return 0, err
		}
		p.requestOpen = false
	}
	if p.probes == 0 {
		wait = 2 * pullHeartbeat
		if p.requestOpen {
			return wait, nil
		}
		return wait, p.request(pullRequest{Batch: 1, Expires: pullExpiry, Heartbeat: pullHeartbeat})
	}
	wait = p.probeWait()
	if !p.m.nc.IsConnected() {
		if p.m.nc.IsClosed() {
			return 0, nats.ErrConnectionClosed
		}
		// The client would buffer the request, and the answers would come in a burst later.
		return wait, nil
	}
	// A leader answers this at once. So silence does not look like a consumer without messages.
	return wait, p.request(pullRequest{Batch: 1, NoWait: true})
}

func (p *puller) request(r pullRequest) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	p.requestOpen = true
	return p.m.nc.PublishRequest(p.subject, p.sub.Subject, body)
}

func (p *puller) answer(ctx context.Context, wait time.Duration) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return p.sub.NextMsgWithContext(ctx)
}

// status processes an answer that is not a message. It returns an error if asking again does not help.
func (p *puller) status(ctx context.Context, msg *nats.Msg) error {
	status, why := msg.Header.Get("Status"), msg.Header.Get("Description")
	switch status {
	case "100":
		// A heartbeat.
		return nil
	case "404", "408":
		// No messages, or expired: the leader has answered.
		p.noteAnswer()
		return nil
	case "400":
		return fmt.Errorf("ask for messages: %w: %s", jetstream.ErrBadRequest, why)
	case "409":
		if strings.Contains(strings.ToLower(why), "consumer deleted") {
			return fmt.Errorf("ask for messages: %w", jetstream.ErrConsumerDeleted)
		}
	}
	// The leader has changed, its server is stopping, or it has too many requests.
	p.doubtAndWait(ctx)
	return nil
}

// doubtAndWait is doubt for an answer that came at once. It waits before the next probe.
func (p *puller) doubtAndWait(ctx context.Context) {
	p.doubt()
	select {
	case <-ctx.Done():
	case <-time.After(p.probeWait()):
	}
}

// probeWait returns how long to wait for an answer before the next probe.
func (p *puller) probeWait() time.Duration {
	return min(probeInterval<<min(p.probes-1, 8), maxProbeInterval)
}

// doubt notes that the request may be lost. The first time it drops the inbox: a server that hangs may have the
// request, and must find no subscriber when it recovers. All probes share an inbox, so the round trip may be longer
// than the interval between them.
func (p *puller) doubt() {
	if p.probes == 0 {
		p.drop()
	}
	p.probes++
}

// noteAnswer notes that the request was answered. Late answers to probes arrive in an inbox that is dropped.
func (p *puller) noteAnswer() {
	if p.probes > 0 {
		p.drop()
	}
	p.probes, p.requestOpen = 0, false
}

// drop ends the subscription, and returns late messages to the server. A message that is still in flight is redelivered
// after the ack wait.
func (p *puller) drop() {
	if p.sub == nil {
		return
	}
	for {
		msg, err := p.sub.NextMsg(time.Nanosecond)
		if errors.Is(err, nats.ErrNoResponders) {
			continue
		}
		if err != nil {
			break
		}
		if msg.Header.Get("Status") == "" {
			_ = received{msg, p.m.nc}.Nak()
		}
	}
	_ = p.sub.Unsubscribe()
	p.sub = nil
}

// received implements jetstream.Msg for a message of a puller. Its inbox may be gone when it is acknowledged.
type received struct {
	msg *nats.Msg
	nc  *nats.Conn
}

func (r received) Metadata() (*jetstream.MsgMetadata, error) {
	meta, err := r.msg.Metadata()
	if err != nil {
		return nil, err
	}
	return &jetstream.MsgMetadata{
		Sequence:     jetstream.SequencePair{Consumer: meta.Sequence.Consumer, Stream: meta.Sequence.Stream},
		NumDelivered: meta.NumDelivered,
		NumPending:   meta.NumPending,
		Timestamp:    meta.Timestamp,
		Stream:       meta.Stream,
		Consumer:     meta.Consumer,
		Domain:       meta.Domain,
	}, nil
}

func (r received) Data() []byte         { return r.msg.Data }
func (r received) Headers() nats.Header { return r.msg.Header }
func (r received) Subject() string      { return r.msg.Subject }
func (r received) Reply() string        { return r.msg.Reply }
func (r received) Ack() error           { return r.reply("+ACK") }
func (r received) Nak() error           { return r.reply("-NAK") }
func (r received) InProgress() error    { return r.reply("+WPI") }
func (r received) Term() error          { return r.reply("+TERM") }

func (r received) DoubleAck(ctx context.Context) error {
	_, err := r.nc.RequestWithContext(ctx, r.msg.Reply, []byte("+ACK"))
	return err
}

func (r received) NakWithDelay(delay time.Duration) error {
	return r.reply(fmt.Sprintf(`-NAK {"delay": %d}`, delay.Nanoseconds()))
}

func (r received) TermWithReason(reason string) error { return r.reply("+TERM " + reason) }

func (r received) reply(word string) error { return r.nc.Publish(r.msg.Reply, []byte(word)) }
