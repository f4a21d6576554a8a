package pull

import (
	"context"
	"sync"
)

// turns lets one at a time work on a product: all but one of several reads of the same thing would be in vain. The zero
// value is ready. Safe for concurrent use.
type turns struct {
	mu sync.Mutex
	of map[string]*turn
}

// turn is held by whoever has taken the token, and is kept while anybody uses it.
type turn struct {
	token chan struct{}
	users int
}

// take waits for the product, or for ctx to end.
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
