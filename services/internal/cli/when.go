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

// whenLayouts are the forms of a time in the local zone. The first two are those that driftless prints.
var whenLayouts = []string{"2006-01-02 15:04:05.000", time.DateTime, "2006-01-02 15:04", time.DateOnly}

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
		at, err = time.ParseInLocation(layout, text, time.Local)
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
