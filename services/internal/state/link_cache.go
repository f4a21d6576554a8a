package state

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// followInterval is how often Follow asks for new links.
const followInterval = 250 * time.Millisecond

// rereadInterval is how often Follow tries to read a bucket that was created again.
const rereadInterval = 2 * time.Second

// LinkCache is an account's links in memory. Safe for concurrent use.
type LinkCache struct {
	m       *mesh.Mesh
	account string
	// changed is closed when the bucket is deleted or created again.
	changed <-chan struct{}
	// read is the sequence up to which the bucket was read. Owned by the goroutine that calls Watch or Follow.
	read uint64

	mu       sync.RWMutex
	products map[string]string // by the last token of the key
}

// Product returns the catalog's id of the product that the Stripe product is linked to; the Stripe id if there is no
// link.
func (l *LinkCache) Product(stripeID string) string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if product, ok := l.products[topology.Token(stripeID)]; ok {
		return product
	}
	return stripeID
}

// Watch returns all links of the account. The caller must call Follow, which keeps them up to date.
func (s *LinkStore) Watch(ctx context.Context, account string) (*LinkCache, error) {
	l := &LinkCache{m: s.m, account: account}
	_, l.changed = s.m.BucketStream(topology.BucketLink).Presence()
	if err := l.reread(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// reread reads the whole bucket. Like Follow it uses direct get: a consumer would need the right to create consumers,
// and JetStream's permissions cannot distinguish a service's consumers from others.
func (l *LinkCache) reread(ctx context.Context) error {
	products, read := map[string]string{}, uint64(0)
	err := l.bucket().Each(ctx, l.filter(), 1, func(msg *jetstream.RawStreamMsg) bool {
		applyLink(products, msg)
		read = msg.Sequence
		return true
	})
	if err != nil {
		return fmt.Errorf("read bucket %s: %w", topology.BucketLink, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.products, l.read = products, read
	return nil
}

// Follow keeps the links up to date until ctx ends. If the bucket is deleted and created again, it rereads it.
func (l *LinkCache) Follow(ctx context.Context) error {
	ticker := time.NewTicker(followInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.m.Done():
			return l.m.Closed(ctx)
		case <-l.changed:
			l.rereadWhenPresent(ctx)
		case <-ticker.C:
			l.poll(ctx)
		}
	}
}

// poll reads what was written since the last read. Errors are retried at the next tick. Presence detects a bucket
// that is gone.
func (l *LinkCache) poll(ctx context.Context) {
	for ctx.Err() == nil {
		messages, left, err := l.bucket().Page(ctx, l.filter(), l.read+1)
		if err != nil || len(messages) == 0 {
			return
		}
		l.mu.Lock()
		for _, msg := range messages {
			applyLink(l.products, msg)
			l.read = msg.Sequence
		}
		l.mu.Unlock()
		if left == 0 {
			return
		}
	}
}

// rereadWhenPresent rereads the bucket once it exists. The current links stay valid until then.
func (l *LinkCache) rereadWhenPresent(ctx context.Context) {
	for ctx.Err() == nil {
		var there bool
		if there, l.changed = l.bucket().Presence(); there && l.reread(ctx) == nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-l.m.Done():
			return
		case <-l.changed:
		case <-time.After(rereadInterval):
		}
	}
}

func (l *LinkCache) bucket() mesh.Stream { return l.m.BucketStream(topology.BucketLink) }

func (l *LinkCache) filter() string { return "$KV." + topology.BucketLink + "." + l.account + ".*" }

// applyLink applies a message of the bucket to the links.
func applyLink(products map[string]string, msg *jetstream.RawStreamMsg) {
	token := topology.LastToken(msg.Subject)
	if msg.Header.Get("KV-Operation") == "" {
		products[token] = string(msg.Data)
	} else {
		delete(products, token)
	}
}
