package ingestion

import (
	"slices"
	"time"

	"github.com/jackc/pglogrepl"
)

// maxMoments bounds the memory of a horizon while capture makes no progress.
const maxMoments = 512

// horizon computes the time up to which every commit is captured. Its input are moments: times with the end of the log
// at that time. Everything that was committed before a moment is in the log below its end. It uses no clock and no
// database. Not safe for concurrent use.
type horizon struct {
	// turn is the turn in which the moments were added.
	turn         *turn
	moments      []moment
	capturedUpTo time.Time
}

type moment struct {
	at  time.Time
	end pglogrepl.LSN
}

// addMoment adds a moment: at that time or later, the log ended at end.
func (h *horizon) addMoment(at time.Time, end pglogrepl.LSN) {
	h.moments = append(h.moments, moment{at, end})
	if len(h.moments) > maxMoments {
		// Drop every second one, but keep the oldest and the latest.
		kept := h.moments[:0]
		for i, m := range h.moments {
			if i%2 == 0 || i == len(h.moments)-1 {
				kept = append(kept, m)
			}
		}
		h.moments = kept
	}
}

// advance drops the moments up to a captured position. It returns the time up to which every commit is captured.
func (h *horizon) advance(to pglogrepl.LSN) time.Time {
	i := slices.IndexFunc(h.moments, func(m moment) bool { return m.end > to })
	if i < 0 {
		i = len(h.moments)
	}
	if i > 0 {
		h.capturedUpTo = h.moments[i-1].at
		h.moments = slices.Delete(h.moments, 0, i)
	}
	return h.capturedUpTo
}

// reset drops the moments, when they say nothing about the log any more.
func (h *horizon) reset() { h.moments = nil }

// pageHeaders has the sizes of the headers of a page of the log
// (https://www.postgresql.org/docs/current/wal-internals.html). Postgres reports the end of the log as the start of the
// next record. This start may be behind the header of a page that does not exist yet.
var pageHeaders = []pglogrepl.LSN{24, 40}

// walPage is the size of a page of the log in bytes, unless Postgres was compiled with another size.
const walPage = 8192

// endOfLog returns the end of the log's contents.
func endOfLog(next pglogrepl.LSN) pglogrepl.LSN {
	if rest := next % walPage; slices.Contains(pageHeaders, rest) {
		return next - rest
	}
	return next
}
