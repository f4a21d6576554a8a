package web

import (
	"fmt"
	"net/http"
	"time"

	"github.com/driftless-sync/driftless/services/console/internal/live"
)

// beat is the time between comments on a quiet stream. Proxies keep a connection on which something is sent.
const beat = 15 * time.Second

// serveLive streams the names of events (server-sent events): see live.Hub. A browser that connects gets all of them
// once, because it may have missed some since it read the page.
func (a *App) serveLive(w http.ResponseWriter, r *http.Request) {
	v, ok := a.visit(w, r)
	if !ok {
		return
	}
	events, end, err := a.hub.Subscribe(v.Control)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer end()
	control := http.NewResponseController(w)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	// nginx keeps answers back otherwise.
	h.Set("X-Accel-Buffering", "no")
	number := 0
	send := func(event string) bool {
		number++
		_, err := fmt.Fprintf(w, "id: %d\nevent: %s\ndata:\n\n", number, event)
		return err == nil && control.Flush() == nil
	}
	if _, err := fmt.Fprint(w, ": the names of what has changed\n\n"); err != nil || control.Flush() != nil {
		return
	}
	batch := newBatch(time.Now(), live.Status, live.Activity)
	due := time.NewTimer(batchPeriod)
	defer due.Stop()
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-a.stopping:
			return
		case event := <-events:
			due.Reset(batch.add(event, time.Now()))
		case <-due.C:
			for _, event := range batch.take(time.Now()) {
				if !send(event) {
					return
				}
			}
		case <-ticker.C:
			if _, err := fmt.Fprint(w, ": still here\n\n"); err != nil || control.Flush() != nil {
				return
			}
		}
	}
}
