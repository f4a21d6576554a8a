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

// lookForLoss is how often a client checks whether its consumers and buckets exist.
const lookForLoss = 2 * time.Second

// presence tracks which of a client's consumers and buckets exist. An operator may delete them while services run, and
// create them again with `driftless topology apply`. The services then continue without a restart.
type presence struct {
	mu     sync.Mutex
	things map[thing]*whereabouts
}

// thing is a durable consumer of a stream or, without a consumer, the stream of a bucket.
type thing struct{ stream, consumer string }

func (t thing) String() string {
	if t.consumer != "" {
		return "consumer " + t.consumer + " of stream " + t.stream
	}
	return "bucket " + strings.TrimPrefix(t.stream, "KV_")
}

type whereabouts struct {
	gone    bool
	created time.Time
	// turned is closed when the resource is deleted, found, or created again.
	turned chan struct{}
}

func (w *whereabouts) turn() {
	close(w.turned)
	w.turned = make(chan struct{})
}

func (m *Mesh) consumer(c topology.Consumer) thing { return thing{c.Stream, c.Durable(m.account)} }

func bucketThing(bucket string) thing { return thing{stream: "KV_" + bucket} }

// track monitors a resource from now on; created is when it was created.
func (m *Mesh) track(t thing, created time.Time) {
	p := &m.presence
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.things[t] != nil {
		return
	}
	if p.things == nil {
		p.things = map[thing]*whereabouts{}
		m.senders.Go(m.lookAfter)
	}
	p.things[t] = &whereabouts{created: created, turned: make(chan struct{})}
}

// present reports whether a tracked resource exists, and returns a channel that is closed when that changes.
func (m *Mesh) present(t thing) (there bool, turned <-chan struct{}) {
	m.presence.mu.Lock()
	defer m.presence.mu.Unlock()
	w := m.presence.things[t]
	if w == nil {
		return true, nil
	}
	return !w.gone, w.turned
}

// lost notes that a resource does not exist.
func (m *Mesh) lost(t thing) {
	m.presence.mu.Lock()
	defer m.presence.mu.Unlock()
	w := m.presence.things[t]
	if w == nil || w.gone {
		return
	}
	w.gone = true
	w.turn()
	m.logger.Error("consumer or bucket deleted: run `driftless topology apply` to create it again",
		"name", t.String(), "account", m.account)
}

// found notes that a resource exists, and when it was created.
func (m *Mesh) found(t thing, created time.Time) {
	m.presence.mu.Lock()
	defer m.presence.mu.Unlock()
	w := m.presence.things[t]
	if w == nil || !w.gone && w.created.Equal(created) {
		return
	}
	w.gone, w.created = false, created
	w.turn()
	m.logger.Warn("consumer or bucket created again; continuing", "name", t.String(), "account", m.account)
}

// missing returns the names of the resources that do not exist.
func (m *Mesh) missing() []string {
	m.presence.mu.Lock()
	defer m.presence.mu.Unlock()
	var names []string
	for t, w := range m.presence.things {
		if w.gone {
			names = append(names, t.String())
		}
	}
	slices.Sort(names)
	return names
}

// lookAfter polls the tracked resources until the connection is closed.
func (m *Mesh) lookAfter() {
	ticker := time.NewTicker(lookForLoss)
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
			created, err := m.look(ctx, t)
			switch {
			case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
				m.lost(t)
			case err == nil:
				m.found(t, created)
			}
			// Any other error proves nothing: a server is away, or a leader is being elected.
		}
	}
}

func (m *Mesh) tracked() []thing {
	m.presence.mu.Lock()
	defer m.presence.mu.Unlock()
	out := make([]thing, 0, len(m.presence.things))
	for t := range m.presence.things {
		out = append(out, t)
	}
	return out
}

// look asks the server when a resource was created.
func (m *Mesh) look(ctx context.Context, t thing) (created time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
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

// deleted reports whether an error means that the consumer, or its stream, does not exist.
func deleted(err error) bool {
	return errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) ||
		errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerDoesNotExist)
}
