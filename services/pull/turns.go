package pull

import (
	"context"
	"sync"
)

// turns lets one goroutine at a time work on a product: parallel reads of the same product would be wasted. The zero
// value is ready. It is safe for concurrent use.
type turns struct {
	mu sync.Mutex
	of map[string]*turn
}

// turn is the lock of one product. Who has put the token has the lock. It is deleted with its last user.
type turn struct {
	token chan struct{}
	users int
}

// take waits for the product's lock, or for ctx to end.
func (t *turns) take(ctx context.Context, product string) (release func(), err error) {
	t.mu.Lock()
	if t.of == nil {
		t.of = map[string]*turn{}
	}
	x := t.of[product]
	if x == nil {
		x = &turn{token: make(chan struct{}, 1)}
		t.of[product] = x
	}
	x.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if x.users--; x.users == 0 {
			delete(t.of, product)
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
