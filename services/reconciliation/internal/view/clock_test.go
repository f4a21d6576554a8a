package view

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFormatClock_HasDateOfOtherDays(t *testing.T) {
	cet := time.FixedZone("CET", 3600)
	for want, at := range map[string]time.Time{
		"11:02:31 UTC":            time.Date(2026, 11, 26, 12, 2, 31, 0, cet),
		"00:00:00 UTC":            time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC),
		"2026-11-25 23:10:02 UTC": time.Date(2026, 11, 26, 0, 10, 2, 0, cet),
		"2026-11-27 09:00:00 UTC": time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC),
	} {
		require.Equal(t, want, FormatClock(at, noon.In(cet)))
	}
}
