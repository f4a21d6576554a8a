package ingestion

import (
	"slices"
	"time"

	"github.com/jackc/pglogrepl"
)

// keptMoments bounds the memory of a horizon while the capture stands still.
const keptMoments = 512

// horizon tells up to which time everything committed is captured, from moments at which the end of the log was looked
// at: what was committed before a moment is in the log below its end. It knows no clock and no database. Not safe for
// concurrent use.
type horizon struct {
	// turn is the one that the moments are of.
	turn    *turn
	moments []moment
	reached time.Time
}

type moment struct {
	at  time.Time
	end pglogrepl.LSN
}

// saw adds a moment: at that time or later, the log ended at end.
func (h *horizon) saw(at time.Time, end pglogrepl.LSN) {
	h.moments = append(h.moments, moment{at, end})
	if len(h.moments) > keptMoments {
		// Every second one goes; the oldest and the latest stay.
		kept := h.moments[:0]
		for i, m := range h.moments {
			if i%2 == 0 || i == len(h.moments)-1 {
				kept = append(kept, m)
			}
		}
		h.moments = kept
	}
}

// captured takes into account that the log is captured up to a position, and returns the time up to which everything
// is.
func (h *horizon) captured(to pglogrepl.LSN) time.Time {
	i := slices.IndexFunc(h.moments, func(m moment) bool { return m.end > to })
	if i < 0 {
		i = len(h.moments)
	}
	if i > 0 {
		h.reached = h.moments[i-1].at
		h.moments = slices.Delete(h.moments, 0, i)
	}
	return h.reached
}

// forget drops the moments: what was looked at before says nothing any more.
func (h *horizon) forget() { h.moments = nil }

// pageHeaders are the sizes of headers of a page of the log
// (https://www.postgresql.org/docs/current/wal-internals.html). The end of the log is told as where the next record
// would begin, behind the header of a page that is not there yet.
var pageHeaders = []pglogrepl.LSN{24, 40}

// walPage is the size of a page of the log, unless Postgres was compiled with another.
const walPage = 8192

// endOfLog is the end of what is in the log.
func endOfLog(next pglogrepl.LSN) pglogrepl.LSN {
	if rest := next % walPage; slices.Contains(pageHeaders, rest) {
		return next - rest
	}
	return next
}
