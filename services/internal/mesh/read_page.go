package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

const (
	// pageMessages and pageBytes limit a page of messages. For each page the server counts all messages that are left.
	// By default it buffers at most 64 MB for a slow client.
	pageMessages = 8192
	pageBytes    = 8 << 20
	// maxAnswers is how many answers a subscription holds that nobody has read yet: a page and what the server says
	// about it. The client allocates room for all of them with each subscription. Its default needs 512 KiB.
	maxAnswers = pageMessages + 16
	// lagDelay is how long a reader waits for a replica that lags behind the leader of a stream.
	lagDelay = 50 * time.Millisecond
)

// page is a part of a stream's messages, in the order of their sequences.
type page struct {
	messages []*jetstream.RawStreamMsg
	// left is how many messages follow, as far as the answering replica knows.
	left uint64
	// cut: the end of the page did not come. Then left only says that more may follow.
	cut bool
}

// pageRequest is a request for messages of a stream with direct get.
type pageRequest struct {
	Sequence uint64 `json:"seq"`
	Filter   string `json:"next_by_subj,omitempty"`
	Batch    int    `json:"batch,omitempty"`
	MaxBytes int    `json:"max_bytes,omitempty"`
}

// Each yields the messages that match a filter, from a sequence on, until yield returns false or none is left. It reads
// at least what the leader of the stream had at the start.
func (s Stream) Each(
	ctx context.Context, filter string, from uint64, yield func(*jetstream.RawStreamMsg) bool,
) error {
	asked, err := s.chooseFilter(ctx, filter)
	if err != nil {
		return err
	}
	for from = max(from, 1); ; {
		p, err := s.page(ctx, pageRequest{from, asked, pageMessages, pageBytes})
		if err != nil {
			return err
		}
		for _, msg := range p.messages {
			if topology.Matches(filter, msg.Subject) && !yield(msg) {
				return nil
			}
			from = msg.Sequence + 1
		}
		if p.left > 0 {
			continue
		}
		// Any replica may have answered, even one that lags.
		more, err := s.leaderHas(ctx, pageRequest{Sequence: from, Filter: filter})
		if err != nil || !more {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lagDelay):
		}
	}
}

// chooseFilter returns the filter to request, none if many messages match it. For each match of a pattern the server
// searches the subjects of a block of its store, which costs more than sending all messages.
func (s Stream) chooseFilter(ctx context.Context, filter string) (string, error) {
	const share = 10
	fit, err := s.Count(ctx, filter)
	if err != nil {
		return "", err
	}
	all, err := s.Count(ctx, "")
	if err != nil || fit*share < all {
		return filter, err
	}
	return "", nil
}

// Page returns a part of the messages that match a filter, from a sequence on, and how many may follow. Unlike Each it
// is content with what one replica has.
func (s Stream) Page(
	ctx context.Context, filter string, from uint64,
) (messages []*jetstream.RawStreamMsg, left uint64, err error) {
	p, err := s.page(ctx, pageRequest{from, filter, pageMessages, pageBytes})
	return p.messages, p.left, err
}

// page reads one page. A replica that hangs does not answer, and the next attempt may reach another one.
func (s Stream) page(ctx context.Context, request pageRequest) (page, error) {
	for began := time.Now(); ; {
		p, err := s.pageOnce(ctx, request)
		switch {
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && len(p.messages) > 0:
			// The messages so far are in order. More may follow.
			p.left, p.cut = 1, true
			return p, nil
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && time.Since(began) < electionTimeout:
			continue
		case errors.Is(err, nats.ErrNoResponders):
			return p, fmt.Errorf("stream %s does not exist, or no server has it now: %w", s.name, err)
		}
		return p, err
	}
}

func (s Stream) pageOnce(ctx context.Context, request pageRequest) (p page, err error) {
	ask, err := json.Marshal(request)
	if err != nil {
		return p, err
	}
	sub, err := s.m.nc.SubscribeSync(s.m.nc.NewInbox())
	if err != nil {
		return p, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return p, err
	}
	if err := s.m.nc.PublishRequest("$JS.API.DIRECT.GET."+s.name, sub.Subject, ask); err != nil {
		return p, err
	}
	for {
		msg, err := nextWithin(ctx, sub, readRetryInterval)
		if err != nil {
			return p, err
		}
		if follows(msg.Header, p.last()) == gap {
			// The connection was lost for a moment, and answers with it.
			if len(p.messages) == 0 {
				return p, context.DeadlineExceeded
			}
			p.left, p.cut = 1, true
			return p, nil
		}
		if isStored(msg.Header) {
			stored, err := storedMessage(msg)
			if err != nil {
				return p, err
			}
			p.messages = append(p.messages, stored)
			continue
		}
		switch status := msg.Header.Get("Status"); status {
		case "404": // nothing is left
			return p, nil
		case "204": // the end of the page
			p.left, err = strconv.ParseUint(msg.Header.Get("Nats-Num-Pending"), 10, 64)
			return p, err
		default:
			return p, fmt.Errorf("JetStream: %s %s", status, msg.Header.Get("Description"))
		}
	}
}

// last is the sequence of the page's last message, 0 if it has none.
func (p page) last() uint64 {
	if len(p.messages) == 0 {
		return 0
	}
	return p.messages[len(p.messages)-1].Sequence
}

// succession is what an answer to a request for many messages says of the one before it.
type succession int

const (
	// untold: it says nothing.
	untold succession = iota
	adjacent
	gap
)

// follows reports whether an answer comes right after the message with a sequence, 0 for the first answer. The server
// writes into each message, and into the end of the answer, which message it has sent before.
func follows(h nats.Header, sequence uint64) succession {
	before, err := strconv.ParseUint(answered(h, "Nats-Last-Sequence"), 10, 64)
	switch {
	case err != nil:
		return untold
	case before == sequence:
		return adjacent
	default:
		return gap
	}
}

func nextWithin(ctx context.Context, sub *nats.Subscription, wait time.Duration) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return sub.NextMsgWithContext(ctx)
}

// leaderHas reports whether the leader of a stream has a message that matches a request.
func (s Stream) leaderHas(ctx context.Context, request pageRequest) (bool, error) {
	ask, err := json.Marshal(request)
	if err != nil {
		return false, err
	}
	msg, err := read(ctx, s.m, func(ctx context.Context) (*nats.Msg, error) {
		return s.m.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+s.name, ask)
	})
	if err != nil {
		return false, fmt.Errorf("ask the leader of stream %s for more messages: %w", s.name, err)
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return false, fmt.Errorf("the answer of the leader of stream %s cannot be read: %w", s.name, err)
	}
	switch {
	case answer.Error == nil:
		return true, nil
	case answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return false, nil
	default:
		return false, fmt.Errorf("ask the leader of stream %s for more messages: %w", s.name, answer.Error)
	}
}

// isStored reports whether the answer to a direct get is a stored message. Any other answer is a status.
func isStored(h nats.Header) bool { return len(h[jetstream.StreamHeader]) > 0 }

// answered returns a header of the server in the answer to a direct get. The server appends its headers. Earlier ones
// with the same name are the message's own: it is an answer that was published again.
func answered(h nats.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[len(values)-1]
	}
	return ""
}

// storedMessage returns the message of an answer to a direct get.
func storedMessage(msg *nats.Msg) (*jetstream.RawStreamMsg, error) {
	sequence, err := sequenceOf(msg)
	if err != nil {
		return nil, err
	}
	at, err := time.Parse(time.RFC3339Nano, answered(msg.Header, jetstream.TimeStampHeaer))
	if err != nil {
		return nil, fmt.Errorf("the answer has no time: %w", err)
	}
	return &jetstream.RawStreamMsg{
		Subject:  answered(msg.Header, jetstream.SubjectHeader),
		Sequence: sequence,
		Header:   msg.Header,
		Data:     msg.Data,
		Time:     at,
	}, nil
}

// Count returns how many messages match a filter.
func (s Stream) Count(ctx context.Context, filter string) (uint64, error) {
	for {
		p, err := s.page(ctx, pageRequest{1, filter, 1, 0})
		if err != nil || !p.cut {
			return uint64(len(p.messages)) + p.left, err
		}
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
	}
}
