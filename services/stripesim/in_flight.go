package stripesim

import "sync"

// flights are the running writes, by object.
type flights struct {
	mu            sync.Mutex
	running       map[flight]int
	maxConcurrent map[string]int // by kind of object
	contended     map[flight]int // objects with more than one concurrent write
	limit         int
}

// flight is an object that is being written. A product is also busy while its prices are.
type flight struct{ kind, account, id string }

// String returns the object's name in Stats.
func (f flight) String() string { return f.kind + " " + f.id }

func newFlights() *flights {
	return &flights{
		running:       map[flight]int{},
		maxConcurrent: map[string]int{},
		contended:     map[flight]int{},
		limit:         1000,
	}
}

// enter records that writes to the objects begin. With exclusive it refuses, and returns false, if the first object is
// busy.
func (f *flights) enter(objects []flight, exclusive bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if exclusive && len(objects) > 0 && f.running[objects[0]] > 0 {
		return false
	}
	for _, o := range objects {
		f.running[o]++
		n := f.running[o]
		f.maxConcurrent[o.kind] = max(f.maxConcurrent[o.kind], n)
		if n > 1 && (len(f.contended) < f.limit || f.contended[o] > 0) {
			f.contended[o] = max(f.contended[o], n)
		}
	}
	return true
}

func (f *flights) leave(objects []flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range objects {
		if f.running[o]--; f.running[o] == 0 {
			delete(f.running, o)
		}
	}
}

func (f *flights) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.maxConcurrent, f.contended = map[string]int{}, map[flight]int{}
}
