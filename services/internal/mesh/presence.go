package mesh

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// presenceInterval is how often a client checks whether its consumers and buckets exist.
const presenceInterval = 2 * time.Second

// presence tracks which of a client's consumers and buckets exist. An operator may delete them while services run, and
// create them again with `driftless topology apply`. The services then continue without a restart.
type presence struct {
	mu        sync.Mutex
	resources map[resource]*resourceState
}

// resource is a durable consumer of a stream or, without a consumer, the stream of a bucket.
type resource struct{ stream, consumer string }

func (t resource) String() string {
	if t.consumer != "" {
		return "consumer " + t.consumer + " of stream " + t.stream
	}
	return "bucket " + strings.TrimPrefix(t.stream, "KV_")
}

type resourceState struct {
	gone    bool
	created time.Time
	// changed is closed when the resource is deleted, found, or created again.
	changed chan struct{}
}

func (w *resourceState) notify() {
	close(w.changed)
	w.changed = make(chan struct{})
}

func (m *Mesh) consumerResource(c topology.Consumer) resource {
	return resource{c.Stream, c.Durable(m.account)}
}

// track monitors a resource from now on; created is when it was created.
func (m *Mesh) track(t resource, created time.Time) {
	p := &m.presence
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.resources[t] != nil {
		return
	}
	if p.resources == nil {
		p.resources = map[resource]*resourceState{}
		m.senders.Go(m.watchPresence)
	}
	p.resources[t] = &resourceState{created: created, changed: make(chan struct{})}
}

// present reports whether a tracked resource exists, and returns a channel that is closed when that changes.
func (m *Mesh) present(t resource) (there bool, changed <-chan struct{}) {
	m.presence.mu.Lock()
	defer m.presence.mu.Unlock()
	w := m.presence.resources[t]
	if w == nil {
		return true, nil
	}
	return !w.gone, w.changed
}

// markGone notes that a resource does not exist.
func (m *Mesh) markGone(t resource) {
	m.presence.mu.Lock()
	defer m.presence.mu.Unlock()
	w := m.presence.resources[t]
	if w == nil || w.gone {
		return
	}
	w.gone = true
	w.notify()
	m.logger.Error("consumer or bucket deleted: run `driftless topology apply` to create it again",
		"name", t.String(), "account", m.account)
}

// markPresent notes that a resource exists, and when it was created.
func (m *Mesh) markPresent(t resource, created time.Time) {
	m.presence.mu.Lock()
	defer m.presence.mu.Unlock()
	w := m.presence.resources[t]
	if w == nil || !w.gone && w.created.Equal(created) {
		return
	}
	w.gone, w.created = false, created
	w.notify()
	m.logger.Warn("consumer or bucket created again; continuing", "name", t.String(), "account", m.account)
}

// missing returns the names of the resources that do not exist.
func (m *Mesh) missing() []string {
	m.presence.mu.Lock()
	defer m.presence.mu.Unlock()
	var names []string
	for t, w := range m.presence.resources {
		if w.gone {
			names = append(names, t.String())
		}
	}
	slices.Sort(names)
	return names
}

// watchPresence polls the tracked resources until the connection is closed.
func (m *Mesh) watchPresence() {
	ticker := time.NewTicker(presenceInterval)
	defer ticker.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-m.closed:
			cancel()
		case <-stop:
		}
	}()
	for {
		select {
		case <-m.closed:
			return
		case <-ticker.C:
		}
		if !m.nc.IsConnected() {
			continue
		}
		for _, t := range m.tracked() {
			created, err := m.createdAt(ctx, t)
			switch {
			case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
				m.markGone(t)
			case err == nil:
				m.markPresent(t, created)
			}
			// Any other error proves nothing: a server is away, or a leader is being elected.
		}
	}
}

func (m *Mesh) tracked() []resource {
	m.presence.mu.Lock()
	defer m.presence.mu.Unlock()
	out := make([]resource, 0, len(m.presence.resources))
	for t := range m.presence.resources {
		out = append(out, t)
	}
	return out
}

// createdAt asks the server when a resource was created.
func (m *Mesh) createdAt(ctx context.Context, t resource) (created time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if t.consumer != "" {
		cons, err := m.js.Consumer(ctx, t.stream, t.consumer)
		if err != nil {
			return time.Time{}, fmt.Errorf("check %s: %w", t, err)
		}
		return cons.CachedInfo().Created, nil
	}
	s, err := m.js.Stream(ctx, t.stream)
	if err != nil {
		return time.Time{}, fmt.Errorf("check %s: %w", t, err)
	}
	return s.CachedInfo().Created, nil
}

// isGone reports whether an error means that the consumer, or its stream, does not exist.
func isGone(err error) bool {
	return errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) ||
		errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerDoesNotExist)
}
