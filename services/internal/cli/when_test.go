package cli

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseWhen_ReadsTimesAndDurations(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	local := func(hour, minute, second, nano int) time.Time {
		return time.Date(2026, 11, 26, hour, minute, second, nano, time.Local)
	}
	for text, want := range map[string]time.Time{
		"2h":                        now.Add(-2 * time.Hour),
		"1h30m":                     now.Add(-90 * time.Minute),
		"3d":                        now.Add(-72 * time.Hour),
		"0s":                        now,
		"2026-11-26T10:00:00Z":      time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC),
		"2026-11-26T10:00:00+02:00": time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC),
		"2026-11-26 10:00":          local(10, 0, 0, 0),
		" 2026-11-26 10:00:07 ":     local(10, 0, 7, 0),
		"2026-11-26":                local(0, 0, 0, 0),
		"2026-11-26 10:00:07 UTC":   time.Date(2026, 11, 26, 10, 0, 7, 0, time.UTC),
		"2026-11-26 10:00 " + zoneName(local(10, 0, 0, 0)): local(10, 0, 0, 0),
		formatWhen(local(10, 0, 7, 0), time.DateTime):      local(10, 0, 7, 0),
		// As it is printed, cut to the millisecond: what began within it is included.
		"2026-11-26 10:00:07.123":  local(10, 0, 7, 123_999_000),
		"2026-11-26T10:00:07.123Z": time.Date(2026, 11, 26, 10, 0, 7, 123_999_000, time.UTC),
		// With more places it is meant exactly.
		"2026-11-26T10:00:07.123456Z": time.Date(2026, 11, 26, 10, 0, 7, 123_456_000, time.UTC),
	} {
		got, err := parseWhen(text, now)
		require.NoError(t, err, text)
		require.True(t, want.Equal(got), "%s: %s", text, got)
	}
	for _, text := range []string{"", "yesterday", "-2h", "2026-13-01", "12345", "d", "-1d", "2026-11-26 10:00 XYZ"} {
		_, err := parseWhen(text, now)
		require.ErrorContains(t, err, "is not a time", text)
	}
}

func TestRollbackRequest_TellsVersionsFromTimes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	request, err := (&rollbackCmd{Product: "mug", To: "24692080"}).request(now)
	require.NoError(t, err)
	require.Equal(t, uint64(24692080), request.GetVersion())
	request, err = (&rollbackCmd{Product: "mug", To: "2h"}).request(now)
	require.NoError(t, err)
	require.True(t, now.Add(-2*time.Hour).Equal(request.GetAt().AsTime()))
	_, err = (&rollbackCmd{Product: "mug", To: "soon"}).request(now)
	require.ErrorContains(t, err, `"soon" is neither a version of the product nor a time`)
}
