package mapping_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRead_ReadsHowLongReplacedPricesStay(t *testing.T) {
	s := newShop(t, "SELECT")
	for column, want := range map[string]time.Duration{
		"interval '2 days 1 hour'":   49 * time.Hour,
		"interval '0'":               0,
		"interval '1.5 seconds'":     1500 * time.Millisecond,
		"'24h'":                      24 * time.Hour,
		"'90m'::varchar":             90 * time.Minute,
		"make_interval(mins => 10)":  10 * time.Minute,
		"interval '1 year'":          time.Duration(365.25 * 24 * float64(time.Hour)),
		"coalesce(NULL, '0s'::text)": 0,
	} {
		state := readOne(t, s, "'Mug' AS name, "+column+" AS archive_after", "")
		require.Empty(t, state.Faults, column)
		require.NotNil(t, state.ArchiveAfter, column)
		require.Equal(t, want, *state.ArchiveAfter, column)
	}
	for _, column := range []string{"NULL::interval", "NULL::text", "''"} {
		state := readOne(t, s, "'Mug' AS name, "+column+" AS archive_after", "")
		require.Empty(t, state.Faults, column)
		require.Nil(t, state.ArchiveAfter, "%s leaves it to the setting", column)
	}
	for column, want := range map[string]string{
		"'tomorrow'":           "must be an interval, or text such as 24h or 30m",
		"'86400'":              "must be an interval, or text such as 24h or 30m",
		"interval '-1 hour'":   "must be between 0 and 366 days",
		"interval '400 days'":  "must be between 0 and 366 days",
		"interval '999 years'": "must be an interval",
	} {
		state := readOne(t, s, "'Mug' AS name, "+column+" AS archive_after", "")
		require.Len(t, state.Faults, 1, column)
		require.Equal(t, "archive_after", state.Faults[0].Field)
		require.Contains(t, state.Faults[0].Message, want, column)
	}
}
