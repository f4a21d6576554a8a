package mesh

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// followEvery is how often Follow asks for new links.
const followEvery = 250 * time.Millisecond

// LinkCache are an account's links, held in memory. Safe for concurrent use.
type LinkCache struct {
	m       *Mesh
	account string
	// turned is closed when the bucket is not what it was.
	turned <-chan struct{}
	// read is the sequence up to which the bucket was read; of the goroutine that watches or follows.
	read uint64

	mu       sync.RWMutex
	products map[string]string // by the last token of the key
}

// Product is the catalog's id of the product for which the Stripe product stands: its own if no link says otherwise.
func (l *LinkCache) Product(stripeID string) string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if product, ok := l.products[topology.Token(stripeID)]; ok {
		return product
	}
	return stripeID
}

// Watch returns the account's links, all that the bucket holds. Follow keeps them up to date, and must be called.
func (s *LinkStore) Watch(ctx context.Context, account string) (*LinkCache, error) {
	l := &LinkCache{m: s.m, account: account}
	_, l.turned = s.m.present(bucketThing(topology.BucketLink))
	if err := l.reread(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// reread reads all that the bucket holds. It asks by direct get, as does Follow: a consumer would need the right to
// make consumers, and JetStream's permissions cannot tell those of a service from those of others.
func (l *LinkCache) reread(ctx context.Context) error {
	products, read := map[string]string{}, uint64(0)
	err := l.m.eachMessage(ctx, "KV_"+topology.BucketLink, l.filter(), 1, func(msg *jetstream.RawStreamMsg) bool {
		takeLink(products, msg)
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

// Follow keeps the links up to date, within a moment, until ctx ends. When the bucket was deleted and made again, it
// reads it again.
func (l *LinkCache) Follow(ctx context.Context) error {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.m.closed:
			return l.m.Closed(ctx)
		case <-l.turned:
			l.again(ctx)
		case <-ticker.C:
			l.poll(ctx)
		}
	}
}

// poll takes what was written since the bucket was read. What fails is tried again at the next tick, and presence
// tells of a bucket that is gone.
func (l *LinkCache) poll(ctx context.Context) {
	for ctx.Err() == nil {
		p, err := l.m.page(ctx, "KV_"+topology.BucketLink, next{l.read + 1, l.filter(), pageMessages, pageBytes})
		if err != nil || len(p.messages) == 0 {
			return
		}
		l.mu.Lock()
		for _, msg := range p.messages {
			takeLink(l.products, msg)
			l.read = msg.Sequence
		}
		l.mu.Unlock()
		if p.left == 0 {
			return
		}
	}
}

// again reads the bucket again once it is there. The links that are known stay until then.
func (l *LinkCache) again(ctx context.Context) {
	for ctx.Err() == nil {
		var there bool
		if there, l.turned = l.m.present(bucketThing(topology.BucketLink)); there && l.reread(ctx) == nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-l.m.closed:
			return
		case <-l.turned:
		case <-time.After(lookForLoss):
		}
	}
}

func (l *LinkCache) filter() string { return "$KV." + topology.BucketLink + "." + l.account + ".*" }

// takeLink puts a message of the bucket into the links.
func takeLink(products map[string]string, msg *jetstream.RawStreamMsg) {
	token := topology.LastToken(msg.Subject)
	if msg.Header.Get("KV-Operation") == "" {
		products[token] = string(msg.Data)
	} else {
		delete(products, token)
	}
}
