package stripesim

import (
	"container/heap"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// maxDeliveries is the maximum number of concurrent webhooks. Their order is not kept, as at Stripe.
const maxDeliveries = 16

// reorderDelay is how long a webhook that is to be overtaken waits for the next one.
const reorderDelay = 2 * time.Second

// deliveryEnd is the end of the delivery of an event to an endpoint.
type deliveryEnd struct {
	Event    string `json:"event"`
	Endpoint string `json:"endpoint"`
	Failed   bool   `json:"failed,omitempty"`
}

// delivery is an event on its way to an endpoint.
type delivery struct {
	store           *store
	event, endpoint string
	due             time.Time
	begun           time.Time
	attempt         int
	// isFaulted means that a fault has already been applied.
	isFaulted bool
	waiting   time.Time // since when it waits to be overtaken
	place     int       // in the queue
}

// deliverer delivers events to webhook endpoints until each has answered with a 2xx.
type deliverer struct {
	sim  *Sim
	wake chan struct{}

	mu      sync.Mutex
	queue   deliveries
	waiting map[string][]*delivery // by endpoint
}

func newDeliverer(s *Sim) *deliverer {
	return &deliverer{sim: s, wake: make(chan struct{}, 1), waiting: map[string][]*delivery{}}
}

func (d *deliverer) add(store *store, e *event) {
	d.mu.Lock()
	for _, id := range e.To {
		heap.Push(&d.queue, &delivery{store: store, event: e.ID, endpoint: id, due: time.Now()})
	}
	d.mu.Unlock()
	d.nudge()
}

func (d *deliverer) push(x *delivery) {
	d.mu.Lock()
	heap.Push(&d.queue, x)
	if !x.waiting.IsZero() {
		d.waiting[x.endpoint] = append(d.waiting[x.endpoint], x)
	}
	d.mu.Unlock()
	d.nudge()
}

func (d *deliverer) nudge() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *deliverer) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue, d.waiting = nil, map[string][]*delivery{}
}

// next returns a delivery that is due, or how long to wait for one.
func (d *deliverer) next(now time.Time) (*delivery, time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) == 0 {
		return nil, time.Hour
	}
	if wait := d.queue[0].due.Sub(now); wait > 0 {
		return nil, wait
	}
	x, _ := heap.Pop(&d.queue).(*delivery)
	if !x.waiting.IsZero() {
		d.waiting[x.endpoint] = slices.DeleteFunc(d.waiting[x.endpoint], func(w *delivery) bool { return w == x })
		x.waiting = time.Time{}
	}
	return x, 0
}

// releaseWaiting releases the deliveries that a delivery to the endpoint has overtaken. These waited when it was sent.
func (d *deliverer) releaseWaiting(endpoint string, sent time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting[endpoint] = slices.DeleteFunc(d.waiting[endpoint], func(x *delivery) bool {
		if x.waiting.After(sent) {
			return false
		}
		x.due = time.Now()
		heap.Fix(&d.queue, x.place)
		return true
	})
	d.nudge()
}

// run delivers until ctx ends, and waits for the running deliveries.
func (d *deliverer) run(ctx context.Context) {
	transport := &http.Transport{MaxIdleConnsPerHost: maxDeliveries, IdleConnTimeout: time.Minute}
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport: transport, Timeout: d.sim.cfg.WebhookTimeout,
		// Stripe counts a redirect as a failure.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var atWork sync.WaitGroup
	defer atWork.Wait()
	free := make(chan struct{}, maxDeliveries)
	for {
		x, wait := d.next(time.Now())
		if x == nil {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-d.wake:
				timer.Stop()
			case <-timer.C:
			}
			continue
		}
		select {
		case <-ctx.Done():
			d.push(x)
			return
		case free <- struct{}{}:
		}
		atWork.Go(func() {
			defer func() { <-free }()
			d.deliver(ctx, client, x)
		})
	}
}

func (d *deliverer) deliver(ctx context.Context, client *http.Client, x *delivery) {
	if x.begun.IsZero() {
		x.begun = time.Now()
	}
	l := x.store.renderDelivery(x.event, x.endpoint)
	if l == nil {
		d.finish(x, true)
		return
	}
	twice, ok := d.applyFaults(x, l)
	if !ok {
		return
	}
	sent := time.Now()
	err := d.send(ctx, client, l)
	if err == nil && twice {
		err = d.send(ctx, client, l)
	}
	defer d.releaseWaiting(x.endpoint, sent)
	if err == nil {
		d.sim.stats.webhook(func(w *WebhookStats) { w.Delivered++ })
		d.finish(x, false)
		return
	}
	if ctx.Err() != nil {
		x.due = time.Now()
		d.push(x)
		return
	}
	d.sim.stats.webhook(func(w *WebhookStats) { w.FailedAttempts++ })
	if time.Since(x.begun) >= d.sim.cfg.WebhookGiveUp {
		d.sim.log.WarnContext(ctx, "webhook given up", "event", x.event, "url", l.url, "attempts", x.attempt+1,
			"error", err)
		d.finish(x, true)
		return
	}
	pause := min(d.sim.cfg.WebhookFirstRetry<<min(x.attempt, 20), d.sim.cfg.WebhookLongestRetry)
	x.attempt++
	x.due = time.Now().Add(pause)
	d.sim.log.DebugContext(ctx, "webhook failed; it will be retried", "event", x.event, "url", l.url,
		"attempt", x.attempt, "in", pause, "error", err)
	d.push(x)
}

// applyFaults applies the faults of webhooks. It returns ok false if the delivery must not be made now.
func (d *deliverer) applyFaults(x *delivery, l *outgoing) (twice, ok bool) {
	if x.isFaulted {
		return false, true
	}
	x.isFaulted = true
	struck := d.sim.faults.strike(webhookFaults, occasion{event: l.kind, objects: l.objects})
	if len(struck) == 0 {
		return false, true
	}
	switch f := struck[0]; f.Kind {
	case FaultWebhookDuplicated:
		return true, true
	case FaultWebhookLost:
		d.sim.stats.webhook(func(w *WebhookStats) { w.Lost++ })
		d.finish(x, true)
	case FaultWebhookReordered:
		wait := f.Delay
		setDefault(&wait, reorderDelay)
		x.waiting = time.Now()
		x.due = x.waiting.Add(wait)
		d.push(x)
	default:
		x.due = time.Now().Add(f.Delay)
		d.push(x)
	}
	return false, false
}

func (d *deliverer) send(ctx context.Context, client *http.Client, l *outgoing) error {
	r, err := l.request(ctx, d.sim.cfg.Clock())
	if err != nil {
		return err
	}
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("%s answered %s", l.url, response.Status)
	}
	return nil
}

func (d *deliverer) finish(x *delivery, failed bool) {
	if failed {
		d.sim.stats.webhook(func(w *WebhookStats) { w.GivenUp++ })
	}
	d.sim.gate.RLock()
	defer d.sim.gate.RUnlock()
	x.store.mu.Lock()
	defer x.store.mu.Unlock()
	if !x.store.pending[x.event][x.endpoint] {
		return
	}
	s := deliveryEnd{Event: x.event, Endpoint: x.endpoint, Failed: failed}
	x.store.endDelivery(s)
	if err := d.sim.write(&record{
		Account: x.store.account,
		Live:    x.store.live,
		Settled: []deliveryEnd{s},
	}); err != nil {
		d.sim.log.Error(
			"webhook delivered, but not noted: it will be delivered again after a restart", "event", x.event,
			"error", err)
	}
}

// deliveries is a queue by due time, for container/heap.
type deliveries []*delivery

// Len, Less and Swap implement sort.Interface.
func (q *deliveries) Len() int           { return len(*q) }
func (q *deliveries) Less(i, j int) bool { return (*q)[i].due.Before((*q)[j].due) }

func (q *deliveries) Swap(i, j int) {
	all := *q
	all[i], all[j] = all[j], all[i]
	all[i].place, all[j].place = i, j
}

// Push adds a *delivery.
func (q *deliveries) Push(v any) {
	x, _ := v.(*delivery)
	x.place = len(*q)
	*q = append(*q, x)
}

// Pop removes the last delivery.
func (q *deliveries) Pop() any {
	old := *q
	x := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	x.place = -1
	return x
}
