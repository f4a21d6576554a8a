// Package live tells pages when to read themselves again. While visitors look at pages, it watches the control API: the
// history of all products, and the status of the mesh. All visitors share one watch, so twenty cost as much as one.
package live

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	"github.com/driftless-sync/driftless/services/internal/wait"
)

// Events of the stream.
const (
	// Status tells that the status of the mesh has changed, or can no longer be read.
	Status = "status"
	// Activity tells that the history has new entries, or can no longer be read.
	Activity = "activity"
)

const (
	// statusPeriod is the time between readings of the status.
	statusPeriod = 2 * time.Second
	// activityWait is how long a call waits for new entries. The control API allows 30 s.
	activityWait = 20 * time.Second
	// retryPeriod is the time after a call that failed.
	retryPeriod = 2 * time.Second
	// statusAge is how old a reading of the status may be. Several consoles then share the readings of reconciliation.
	statusAge = time.Second
	// maxPages bounds the pages that are live at the same time.
	maxPages = 1024
)

// ErrBusy reports that too many pages are live.
var ErrBusy = errors.New("too many pages are live: this page does not read itself again")

// Hub tells all live pages. It is safe for concurrent use.
type Hub struct {
	ctx    context.Context //nolint:containedctx // the watch ends with the process, not with the request that began it
	logger *slog.Logger
	clock  clock

	mu sync.Mutex
	// pages are the live pages, oldest first.
	pages []*page
	// stop ends the watch. It is nil while no page is live.
	stop context.CancelFunc
	// latest is the latest reading of the status, nil if the latest has failed or no page is live.
	latest *reading
}

// page is a live page.
type page struct {
	// status and activity have one place each, so that events of one kind do not push out those of the other.
	status, activity chan struct{}

	control controlv1connect.ControlServiceClient
	// begun is when it became live, and current reports that it was told about a reading that began later.
	begun   time.Duration
	current bool
	// refused reports that the API no longer accepts the visitor. The page then reads nothing, and notices by itself.
	refused bool
}

// New returns a hub whose watch ends with ctx.
func New(ctx context.Context, logger *slog.Logger) *Hub {
	return &Hub{ctx: ctx, logger: logger, clock: newClock()}
}

// Events are those of a page. Events of one kind that are not read are one event.
type Events struct{ Status, Activity <-chan struct{} }

func newPage(control controlv1connect.ControlServiceClient, begun time.Duration) *page {
	return &page{
		status:   make(chan struct{}, 1),
		activity: make(chan struct{}, 1),
		control:  control,
		begun:    begun,
	}
}

// Subscribe returns the events of a page, and a function that ends the subscription. The page is told Status once about
// a reading that began after the call.
//
// The hub may watch for all pages with the rights of any visitor: an event has a name and at most a mark of time, and
// each page reads itself with the rights of its own visitor.
func (h *Hub) Subscribe(control controlv1connect.ControlServiceClient) (Events, func(), error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.pages) >= maxPages {
		return Events{}, nil, ErrBusy
	}
	p := newPage(control, h.clock.now())
	h.pages = append(h.pages, p)
	if h.stop == nil {
		var ctx context.Context
		ctx, h.stop = context.WithCancel(h.ctx)
		go h.watchStatus(ctx)
		go h.watchActivity(ctx)
	}
	return Events{Status: p.status, Activity: p.activity}, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.pages = slices.DeleteFunc(h.pages, func(x *page) bool { return x == p })
		if len(h.pages) == 0 && h.stop != nil {
			h.stop()
			h.stop, h.latest = nil, nil
		}
	}, nil
}

// reader returns a page with whose rights to watch, nil if the API accepts none of the visitors.
func (h *Hub) reader() *page {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.pages {
		if !p.refused {
			return p
		}
	}
	return nil
}

// isRefused reports whether the API refused a page's visitor, and then watches with another one's rights.
func (h *Hub) isRefused(ctx context.Context, p *page, err error) bool {
	code := connect.CodeOf(err)
	if err == nil || code != connect.CodeUnauthenticated && code != connect.CodePermissionDenied {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !p.refused {
		p.refused = true
		h.logger.InfoContext(ctx, "a visitor with a live page is no longer accepted", "error", err)
	}
	return true
}

func (h *Hub) tell(event string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.pages {
		p.tell(event)
	}
}

func (p *page) tell(event string) {
	events := p.status
	if event == Activity {
		events = p.activity
	}
	select {
	case events <- struct{}{}:
	default: // the page has not read the last event of this kind
	}
}

// watchStatus tells when the status changes. Times that only move on are no change.
func (h *Hub) watchStatus(ctx context.Context) {
	var last [sha256.Size]byte
	request := &controlv1.GetStatusRequest{MaxAge: durationpb.New(statusAge)}
	for first := true; ; first = false {
		now := [sha256.Size]byte{}
		failed := false
		var latest *reading
		if p := h.reader(); p != nil {
			asked := h.clock.now()
			answer, err := p.control.GetStatus(ctx, connect.NewRequest(request))
			if h.isRefused(ctx, p, err) {
				continue
			}
			if failed = err != nil; !failed {
				now = fingerprint(answer.Msg)
				latest = &reading{status: answer.Msg, asked: asked, since: asked - statusAge}
			}
		}
		h.keep(ctx, latest)
		// While the status cannot be read, no page may go on showing it, also none that has read it since the last
		// failure. Pages that have become live are told when they are kept up to date: see keep.
		if !first && now != last || failed || first && latest == nil {
			h.tell(Status)
		}
		last = now
		if wait.For(ctx, statusPeriod) != nil {
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
	if r := s.GetStripeRate(); r != nil {
		r.AsOf = nil
		for _, rate := range []*float64{r.Live, r.Bulk, &r.Busiest} {
			if rate != nil {
				// Pages show one digit.
				*rate = math.Round(*rate * 10)
			}
		}
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
	if err != nil {
		// A message that was read can be written.
		return [sha256.Size]byte{}
	}
	return sha256.Sum256(data)
}

// watchActivity tells when the history has new entries, and when it can no longer be read.
func (h *Hub) watchActivity(ctx context.Context) {
	var after uint64
	begun := false
	for {
		p := h.reader()
		if p == nil {
			if wait.For(ctx, retryPeriod) != nil {
				return
			}
			continue
		}
		request := &controlv1.ListActivityRequest{After: after, Wait: durationpb.New(activityWait)}
		if !begun {
			request = &controlv1.ListActivityRequest{Latest: 1}
		}
		answer, err := p.control.ListActivity(ctx, connect.NewRequest(request))
		switch {
		case h.isRefused(ctx, p, err):
			continue
		case err != nil:
			h.tell(Activity)
			if wait.For(ctx, retryPeriod) != nil {
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
			h.tell(Activity)
		}
		begun = true
	}
}
