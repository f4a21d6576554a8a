package cli

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// whenHelp says how a time is given.
const whenHelp = "a time: RFC 3339, 2026-11-26 10:00 in the local zone, or a duration ago such as 2h or 3d"

// Forms of a time for people. The zone follows each.
const (
	dateMillis  = "2006-01-02 15:04:05.000"
	dateMinutes = "2006-01-02 15:04"
	clockMinute = "15:04"
)

// whenLayouts are the forms of a time in the local zone, with or without the zone. The first two are those that
// driftless prints.
var whenLayouts = []string{dateMillis, time.DateTime, dateMinutes, time.DateOnly}

// zone is the zone of times for people: the local one, which TZ can set, or UTC (--utc).
var zone = time.Local

// formatWhen formats a time for people, and names the zone: "2026-11-26 10:00:07 CET".
func formatWhen(at time.Time, layout string) string {
	at = at.In(zone)
	return at.Format(layout) + " " + zoneName(at)
}

// zoneName returns the name of a time's zone: "CET", or "UTC+0530" if it has none.
func zoneName(at time.Time) string {
	name := at.Format("MST")
	if strings.HasPrefix(name, "+") || strings.HasPrefix(name, "-") {
		name = "UTC" + at.Format("-0700")
	}
	return name
}

// formatClock is formatWhen without the date if that is today.
func formatClock(at time.Time, layout string) string {
	if at.In(zone).Format(time.DateOnly) != time.Now().In(zone).Format(time.DateOnly) {
		layout = time.DateOnly + " " + layout
	}
	return formatWhen(at, layout)
}

// milliseconds matches a time with exactly three places of a second.
var milliseconds = regexp.MustCompile(`:\d\d\.\d{3}(\D|$)`)

// parseWhen reads a time of the past.
func parseWhen(text string, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	if ago, err := parseAgo(text); err == nil {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	for _, layout := range whenLayouts {
		if err == nil {
			break
		}
		at, err = parseLocal(layout, text)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not %s", text, whenHelp)
	}
	if milliseconds.MatchString(text) {
		// Printed times are cut to the millisecond, and states begin within it.
		at = at.Add(time.Millisecond - time.Microsecond)
	}
	return at, nil
}

// parseLocal reads a time in the local zone, or one with UTC or the name of the local zone after it.
func parseLocal(layout, text string) (time.Time, error) {
	if utc, ok := strings.CutSuffix(text, " UTC"); ok {
		return time.ParseInLocation(layout, utc, time.UTC)
	}
	// A name alone does not say which zone it is, so it must be that of the local zone at that time.
	cut := strings.LastIndexByte(text, ' ')
	if cut > 0 {
		if at, err := time.ParseInLocation(layout, text[:cut], zone); err == nil && zoneName(at) == text[cut+1:] {
			return at, nil
		}
	}
	return time.ParseInLocation(layout, text, zone)
}

// parseAgo reads a duration, also of days.
func parseAgo(text string) (ago time.Duration, err error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	if ago, err = time.ParseDuration(text); err == nil && ago < 0 {
		err = fmt.Errorf("%s is negative", text)
	}
	return ago, err
}
