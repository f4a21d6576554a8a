package pull

import (
	"context"
	"sync"
)

// productLocks lets one goroutine at a time work on a product: parallel reads of the same product would be wasted. The
// zero value is ready. It is safe for concurrent use.
type productLocks struct {
	mu        sync.Mutex
	byProduct map[string]*productLock
}

// productLock is the lock of one product. Who has put the token has the lock. It is deleted with its last user.
type productLock struct {
	token chan struct{}
	users int
}

// lock waits for the product's lock, or for ctx to end.
func (l *productLocks) lock(ctx context.Context, product string) (release func(), err error) {
	l.mu.Lock()
	if l.byProduct == nil {
		l.byProduct = map[string]*productLock{}
	}
	x := l.byProduct[product]
	if x == nil {
		x = &productLock{token: make(chan struct{}, 1)}
		l.byProduct[product] = x
	}
	x.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if x.users--; x.users == 0 {
			delete(l.byProduct, product)
		}
	}
	select {
	case x.token <- struct{}{}:
		return func() { <-x.token; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}
