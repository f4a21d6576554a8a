package cli

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

func TestColour_OnlyWhereWanted(t *testing.T) {
	t.Parallel()
	require.Equal(t, raw("DEAD"), bad.in("DEAD", false))
	require.Equal(t, raw("\x1b[31mDEAD\x1b[0m"), bad.in("DEAD", true))
	require.Equal(t, raw(`\x1b[2J`), colour("").in("\x1b[2J", true), "a text of a stranger changes nothing")
}

func TestColour_Flag(t *testing.T) {
	defer func() { colourMode = "auto" }()
	status := busyStatus()
	url := (&stub{status: func() (*controlv1.GetStatusResponse, error) { return status, nil }}).serve(t)
	out, _ := outputOf(t, "status", "--control", url)
	require.NotContains(t, out, "\x1b", "a file has no colours")
	out, _ = outputOf(t, "status", "--control", url, "--color", "always")
	require.Contains(t, out, "\x1b[31mDOWN\x1b[0m: pull does not run")
	require.Regexp(t, `^\x1b\[1;31m12 products differ`, out)
	out, _ = outputOf(t, "status", "--control", url, "--color", "always", "-o", "json")
	require.NotContains(t, out, "\x1b")
	require.NotContains(t, out, "\\u001b")

	// A verdict is green only if everything is known.
	status.Equality.Unknown = "capture is 21 s behind"
	require.Equal(t, careful, verdictColour(status))
	status = &controlv1.GetStatusResponse{InSync: 1, Equality: &controlv1.Equality{AsOf: status.GetEquality().GetAt()}}
	require.NotEqual(t, goodBig, verdictColour(status), "nobody said which services run")
	status.Services = busyStatus().GetServices()[:1]
	require.Equal(t, goodBig, verdictColour(status))
}

func TestTimes_NameTheirZone(t *testing.T) {
	defer func() { zone = time.Local }()
	at := time.Date(2026, 1, 5, 23, 30, 0, 0, time.UTC)
	zone = time.UTC
	require.Equal(t, "2026-01-05 23:30 UTC", formatWhen(at, dateMinutes))
	zone = time.FixedZone("CET", 3600)
	require.Equal(t, "2026-01-06 00:30 CET", formatWhen(at, dateMinutes))
	zone = time.FixedZone("", -3*3600)
	require.Equal(t, "2026-01-05 20:30 UTC-0300", formatWhen(at, dateMinutes))
	for _, form := range []string{dateMinutes, time.DateTime} {
		got, err := parseWhen(formatWhen(at, form), at)
		require.NoError(t, err)
		require.True(t, at.Equal(got), "what is printed can be given")
	}
	require.Equal(t, "2026-01-05 20:30:00 UTC-0300", formatClock(at, time.TimeOnly))
	require.Regexp(t, `^\d\d:\d\d:\d\d UTC-0300$`, formatClock(time.Now(), time.TimeOnly))

	url := (&stub{status: func() (*controlv1.GetStatusResponse, error) { return busyStatus(), nil }}).serve(t)
	out, _ := outputOf(t, "status", "--control", url, "--utc")
	require.Regexp(t, `^12 products differ as of \d\d:\d\d:\d\d UTC, `, out)
}
