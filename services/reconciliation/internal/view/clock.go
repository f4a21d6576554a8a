package view

import "time"

// FormatClock returns a time in UTC, with the date unless that is the date of now: "11:02:31 UTC". A reason may be days
// old when it is read.
func FormatClock(at, now time.Time) string {
	at, layout := at.UTC(), time.TimeOnly
	if at.Format(time.DateOnly) != now.UTC().Format(time.DateOnly) {
		layout = time.DateTime
	}
	return at.Format(layout) + " UTC"
}
