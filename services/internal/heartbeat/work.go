package heartbeat

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// maxWork is how many products a record names.
const maxWork = 10

// Work is what a process works on: products, one at a time each. The zero value is ready to use. Safe for concurrent
// use.
type Work struct {
	mu   sync.Mutex
	busy map[string]task
	done atomic.Uint64
}

type task struct {
	lane  string
	began time.Time
}

// Begin notes that work on a product begins. It returns false if there is work on the product already. The caller calls
// end when the work ends.
func (w *Work) Begin(product, lane string) (end func(), ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy == nil {
		w.busy = map[string]task{}
	}
	if _, is := w.busy[product]; is {
		return nil, false
	}
	w.busy[product] = task{lane, time.Now()}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.busy, product)
		w.done.Add(1)
	}, true
}

// Done returns how many times work has ended.
func (w *Work) Done() uint64 { return w.done.Load() }

// Describe adds the work to a record: the number of products, and those that have taken longest.
func (w *Work) Describe(p *meshv1.Process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	products := slices.SortedFunc(maps.Keys(w.busy), func(a, b string) int {
		return w.busy[a].began.Compare(w.busy[b].began)
	})
	p.Working = uint64(len(products))
	for _, product := range products[:min(len(products), maxWork)] {
		t := w.busy[product]
		p.Work = append(p.Work, &meshv1.ProductWork{
			ProductId: product,
			Lane:      t.lane,
			Took:      durationpb.New(time.Since(t.began)),
		})
	}
}
