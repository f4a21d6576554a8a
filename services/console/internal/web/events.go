package web

import (
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	"github.com/driftless-sync/driftless/services/console/internal/live"
)

// beat is the time between signs of life on a quiet stream. Proxies keep a connection on which something is sent, and a
// page that gets none says that it may be out of date: see console.js.
const beat = 15 * time.Second

// watcher returns the API with the rights of a visitor who watches. A page that shows that the APIs are away watches,
// too, so a visitor is refused only if they refuse the session. If so, it answers, and returns false.
func (a *App) watcher(w http.ResponseWriter, r *http.Request) (controlv1connect.ControlServiceClient, bool) {
	s, err := a.Sessions.Read(r)
	if err != nil {
		http.Error(w, "sign in", http.StatusUnauthorized)
		return nil, false
	}
	client, _ := a.APIs.For(s)
	if _, err := a.APIs.Identify(r.Context(), s, client); connect.CodeOf(err) == connect.CodeUnauthenticated {
		http.Error(w, "sign in again", http.StatusUnauthorized)
		return nil, false
	}
	return client, true
}

// serveLive streams the names of events (server-sent events): see live.Hub. A browser that connects gets all of them
// once, because it may have missed some since it read the page. The hub tells the status as soon as it has a reading
// that all new pages can share.
func (a *App) serveLive(w http.ResponseWriter, r *http.Request) {
	client, ok := a.watcher(w, r)
	if !ok {
		return
	}
	events, end, err := a.hub.Subscribe(client)
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
		told := ""
		if event == live.Status {
			// The page sends it when it reads itself again: see readStatus.
			told = a.hub.Told()
		}
		_, err := fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", number, event, told)
		return err == nil && control.Flush() == nil
	}
	if _, err := fmt.Fprint(w, ": the names of what has changed\n\n"); err != nil || control.Flush() != nil {
		return
	}
	batch := newBatch(time.Now(), live.Activity)
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
		case <-events.Status:
			due.Reset(batch.add(live.Status, time.Now()))
		case <-events.Activity:
			due.Reset(batch.add(live.Activity, time.Now()))
		case <-due.C:
			for _, event := range batch.take(time.Now()) {
				if !send(event) {
					return
				}
			}
		case <-ticker.C:
			if _, err := fmt.Fprint(w, "event: beat\ndata:\n\n"); err != nil || control.Flush() != nil {
				return
			}
		}
	}
}
