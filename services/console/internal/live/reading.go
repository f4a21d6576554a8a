package live

import (
	"context"
	"crypto/rand"
	"strconv"
	"strings"
	"time"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

// maxShared is how old the hub's reading of the status may be for a page that shows it. The hub reads it every
// statusPeriod.
const maxShared = statusPeriod + time.Second

// clock makes marks. A mark is a moment in the time of this process: readings are compared with what a page has shown
// without the clock of another machine. A mark of another process, or of one before a restart, is never reached.
type clock struct {
	process string
	begun   time.Time
}

func newClock() clock { return clock{process: rand.Text(), begun: time.Now()} }

func (c clock) now() time.Duration { return time.Since(c.begun) }

func (c clock) mark(at time.Duration) string {
	return c.process + "." + strconv.FormatInt(int64(at), 10)
}

// parse returns the moment of a mark. ok is false if this process did not make it.
func (c clock) parse(mark string) (at time.Duration, ok bool) {
	process, text, _ := strings.Cut(mark, ".")
	n, err := strconv.ParseInt(text, 10, 64)
	return time.Duration(n), err == nil && process == c.process
}

// reading is a reading of the status by the hub.
type reading struct {
	status *controlv1.GetStatusResponse
	// asked is when the hub asked for it, and since is the moment after which it began.
	asked, since time.Duration
}

// keep keeps the latest reading of the watch whose context is ctx. nil is for one that failed. A page may have missed a
// change between its own reading and its first event, so it is told about the first reading after that.
func (h *Hub) keep(ctx context.Context, r *reading) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	h.latest = r
	for _, p := range h.pages {
		if r != nil && !p.current && r.since >= p.begun {
			p.current = true
			p.tell(Status)
		}
	}
}

// Mark returns a mark of now: what is read from the API afterwards is later.
func (h *Hub) Mark() string { return h.clock.mark(h.clock.now()) }

// Told returns the mark of the latest reading that the hub has told about, "" if there is none.
func (h *Hub) Told() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.latest == nil {
		return ""
	}
	return h.clock.mark(h.latest.since)
}

// Status returns the hub's latest reading of the status, and its mark. It returns nil unless the reading is of the last
// seconds and at or after all marks, and there is a mark at least. The status is the same for every visitor who may
// read it. Callers share it, so they must not change it.
func (h *Hub) Status(marks ...string) (status *controlv1.GetStatusResponse, mark string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.latest == nil || len(marks) == 0 || h.clock.now()-h.latest.asked > maxShared {
		return nil, ""
	}
	for _, m := range marks {
		if at, ok := h.clock.parse(m); !ok || h.latest.since < at {
			return nil, ""
		}
	}
	return h.latest.status, h.clock.mark(h.latest.since)
}
