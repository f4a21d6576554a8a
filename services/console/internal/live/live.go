// Package live tells pages when to read themselves again. While visitors look at pages, it watches the control API with
// a visitor's own rights: the history of all products, and the status of the mesh.
package live

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
)

// Events of the stream.
const (
	// Status tells that the status of the mesh has changed, or can no longer be read.
	Status = "status"
	// Activity tells that the history has new entries.
	Activity = "activity"
)

const (
	// statusPeriod is the time between readings of the status.
	statusPeriod = 2 * time.Second
	// activityWait is how long a call waits for new entries. The control API allows 30 s.
	activityWait = 20 * time.Second
	// retryPeriod is the time after a call that failed.
	retryPeriod = 2 * time.Second
	// maxFeeds bounds the number of visitors whose pages are live at the same time.
	maxFeeds = 64
)

// ErrBusy reports that too many visitors have live pages.
var ErrBusy = errors.New("too many visitors have live pages: this page does not read itself again")

// Hub has a feed for each visitor with live pages. It is safe for concurrent use.
type Hub struct {
	ctx    context.Context //nolint:containedctx // feeds end with the process, not with the request that began them
	logger *slog.Logger
	mu     sync.Mutex
	feeds  map[string]*feed
}

// New returns a hub whose feeds end with ctx.
func New(ctx context.Context, logger *slog.Logger) *Hub {
	return &Hub{ctx: ctx, logger: logger, feeds: map[string]*feed{}}
}

// feed watches for one visitor, as long as the visitor has live pages.
type feed struct {
	stop      context.CancelFunc
	listeners map[chan string]struct{}
}

// Subscribe returns a channel of events for a visitor, who is the same for the same key, and a function that ends the
// subscription. The channel is closed when the hub ends. Events of one kind that are not read are one event.
func (h *Hub) Subscribe(key string, control controlv1connect.ControlServiceClient) (<-chan string, func(), error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.feeds[key]
	if f == nil {
		if len(h.feeds) >= maxFeeds {
			return nil, nil, ErrBusy
		}
		ctx, stop := context.WithCancel(h.ctx)
		f = &feed{stop: stop, listeners: map[chan string]struct{}{}}
		h.feeds[key] = f
		go h.watchStatus(ctx, f, control)
		go h.watchActivity(ctx, f, control)
	}
	// One place for each kind of event.
	events := make(chan string, 2)
	f.listeners[events] = struct{}{}
	return events, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(f.listeners, events)
		if len(f.listeners) == 0 {
			f.stop()
			delete(h.feeds, key)
		}
	}, nil
}

// Feeds returns the number of visitors with live pages.
func (h *Hub) Feeds() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.feeds)
}

func (h *Hub) tell(f *feed, event string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for events := range f.listeners {
		select {
		case events <- event:
		default: // a listener that has not read its events reads everything anyway
		}
	}
}

// watchStatus tells when the status changes. Times that only move on are no change.
func (h *Hub) watchStatus(ctx context.Context, f *feed, control controlv1connect.ControlServiceClient) {
	var last [sha256.Size]byte
	first := true
	for {
		now := [sha256.Size]byte{}
		answer, err := control.GetStatus(ctx, connect.NewRequest(&controlv1.GetStatusRequest{}))
		if err == nil {
			now = fingerprint(answer.Msg)
		}
		// A page that was read before the first answer may have missed a change.
		if first || now != last {
			h.tell(f, Status)
		}
		last, first = now, false
		if !sleep(ctx, statusPeriod) {
			return
		}
	}
}

// fingerprint returns a hash of what a page shows of the status, without the times of reading.
func fingerprint(s *controlv1.GetStatusResponse) [sha256.Size]byte {
	s, _ = proto.Clone(s).(*controlv1.GetStatusResponse)
	if e := s.GetEquality(); e != nil {
		e.At, e.AsOf, e.StripeAsOf = nil, nil, nil
		e.Capture = nil
	}
	for _, service := range s.GetServices() {
		service.Processes = nil
	}
	for _, flow := range s.GetFlow() {
		if flow.GetWaiting() == 0 {
			flow.OldestAt = nil
		}
		flow.PerSecond, flow.Left = nil, nil
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
	if err != nil {
		// A message that was read can be written.
		return [sha256.Size]byte{}
	}
	return sha256.Sum256(data)
}

// watchActivity tells when the history has new entries.
func (h *Hub) watchActivity(ctx context.Context, f *feed, control controlv1connect.ControlServiceClient) {
	var after uint64
	begun := false
	for {
		request := &controlv1.ListActivityRequest{After: after, Wait: durationpb.New(activityWait)}
		if !begun {
			request = &controlv1.ListActivityRequest{Latest: 1}
		}
		answer, err := control.ListActivity(ctx, connect.NewRequest(request))
		if err != nil {
			if connect.CodeOf(err) == connect.CodeUnauthenticated {
				h.logger.InfoContext(ctx, "live pages of a visitor ended: the token is no longer accepted")
				return
			}
			if !sleep(ctx, retryPeriod) {
				return
			}
			continue
		}
		after = max(after, answer.Msg.GetLastId())
		for _, e := range answer.Msg.GetEntries() {
			after = max(after, e.GetId())
		}
		// A page that was read before the first answer may have missed entries.
		if !begun || len(answer.Msg.GetEntries()) > 0 {
			h.tell(f, Activity)
		}
		begun = true
	}
}

// sleep waits. It reports false if ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
