package mesh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrLinked is the error of Link when Stripe's product stands for another product of the catalog.
var ErrLinked = errors.New("stands for another product of the catalog")

// LinkStore is the bucket LINK: which product of the catalog a Stripe product of another id stands for. Its methods may be
// called concurrently, from any number of processes.
type LinkStore struct{ m *Mesh }

// Links gives access to the bucket LINK.
func (m *Mesh) Links() *LinkStore { return &LinkStore{m} }

func linkKey(account, stripeID string) string { return account + "." + Token(stripeID) }

// Product is the catalog's id of the product for which the Stripe product stands; "" if it stands for none, or for that
// of its own id. In a cluster a replica may answer that lags by a moment.
func (s *LinkStore) Product(ctx context.Context, account, stripeID string) (string, error) {
	stream, err := s.m.stream(ctx, "KV_"+BucketLink)
	if err != nil {
		return "", err
	}
	msg, err := s.m.lastOf(ctx, stream, "$KV."+BucketLink+"."+linkKey(account, stripeID))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read the link of %s: %w", stripeID, err)
	case msg.Header.Get("KV-Operation") != "":
		return "", nil
	}
	return string(msg.Data), nil
}

// Link lets a Stripe product stand for a product of the catalog; ErrLinked if it stands for another. To store a link
// twice is no error.
func (s *LinkStore) Link(ctx context.Context, account, stripeID, product string) error {
	kv, err := s.m.bucket(ctx, BucketLink)
	if err != nil {
		return err
	}
	_, err = kv.Create(ctx, linkKey(account, stripeID), []byte(product))
	if !errors.Is(err, jetstream.ErrKeyExists) {
		if err != nil {
			return fmt.Errorf("link %s to product %s: %w", stripeID, product, err)
		}
		return nil
	}
	held, err := s.Product(ctx, account, stripeID)
	switch {
	case err != nil:
		return err
	case held != product:
		return fmt.Errorf("%s %w: %s", stripeID, ErrLinked, held)
	}
	return nil
}

// Unlink takes back what Link has stored; nothing if the Stripe product stands for another.
func (s *LinkStore) Unlink(ctx context.Context, account, stripeID, product string) error {
	held, err := s.Product(ctx, account, stripeID)
	if err != nil || held != product {
		return err
	}
	kv, err := s.m.bucket(ctx, BucketLink)
	if err != nil {
		return err
	}
	if err := kv.Purge(ctx, linkKey(account, stripeID)); err != nil {
		return fmt.Errorf("unlink %s from product %s: %w", stripeID, product, err)
	}
	return nil
}

// Links are an account's links, held in memory. Safe for concurrent use.
type Links struct {
	m       *Mesh
	account string
	watcher jetstream.KeyWatcher
	// turned is closed when the bucket is not what it was.
	turned <-chan struct{}

	mu       sync.RWMutex
	products map[string]string // by the last token of the key
}

// Product is the catalog's id of the product for which the Stripe product stands: its own if no link says otherwise.
func (l *Links) Product(stripeID string) string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if product, ok := l.products[Token(stripeID)]; ok {
		return product
	}
	return stripeID
}

// Watch returns the account's links, all that the bucket holds. Follow keeps them up to date, and must be called.
func (s *LinkStore) Watch(ctx context.Context, account string) (*Links, error) {
	l := &Links{m: s.m, account: account}
	_, l.turned = s.m.present(bucketThing(BucketLink))
	if err := l.watch(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// watch reads what the bucket holds, and what is written to it from then on.
func (l *Links) watch(ctx context.Context) error {
	kv, err := l.m.bucket(ctx, BucketLink)
	if err != nil {
		return err
	}
	// Follow ends the watch: one that ended with this context could look, for a moment, like a lost connection.
	watcher, err := kv.Watch(context.WithoutCancel(ctx), l.account+".*")
	if err != nil {
		return fmt.Errorf("watch bucket %s: %w", BucketLink, err)
	}
	l.mu.Lock()
	l.watcher, l.products = watcher, map[string]string{}
	l.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			_ = watcher.Stop()
			return context.Cause(ctx)
		case entry, ok := <-watcher.Updates():
			switch {
			case !ok:
				return l.m.closedError()
			case entry == nil:
				// That ends what the bucket held when the watch began.
				return nil
			default:
				l.take(entry)
			}
		}
	}
}

// Follow keeps the links up to date, within a moment, until ctx ends. When the bucket was deleted and made again, it
// reads it again.
func (l *Links) Follow(ctx context.Context) error {
	defer func() { _ = l.watcher.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.turned:
			if err := l.again(ctx); err != nil {
				return err
			}
		case entry, ok := <-l.watcher.Updates():
			switch {
			case !ok && ctx.Err() != nil:
				return nil
			case !ok && l.m.nc.IsClosed():
				return l.m.closedError()
			case !ok:
				if err := l.again(ctx); err != nil {
					return err
				}
			case entry != nil:
				l.take(entry)
			}
		}
	}
}

// again watches the bucket again once it is there. The links that are known stay until then.
func (l *Links) again(ctx context.Context) error {
	for ctx.Err() == nil {
		var there bool
		if there, l.turned = l.m.present(bucketThing(BucketLink)); there {
			old := l.watcher
			if err := l.watch(ctx); err == nil {
				_ = old.Stop()
				return nil
			} else if l.m.nc.IsClosed() {
				return err
			}
		}
		select {
		case <-ctx.Done():
		case <-l.m.closed:
			return l.m.Closed(ctx)
		case <-l.turned:
		case <-time.After(lookForLoss):
		}
	}
	return nil
}

func (l *Links) take(entry jetstream.KeyValueEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	token := lastToken(entry.Key())
	if entry.Operation() == jetstream.KeyValuePut {
		l.products[token] = string(entry.Value())
	} else {
		delete(l.products, token)
	}
}
