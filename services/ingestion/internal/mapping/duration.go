package mapping

import (
	"strings"
	"time"

	"github.com/driftless-sync/driftless/services/internal/config"
)

// duration returns a length of time, or nil if the text is empty. Intervals are read as seconds.
func (v value) duration() *time.Duration {
	text := strings.TrimSpace(string(v.raw))
	if text == "" {
		return nil
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		v.faultf("must be an interval, or text such as 24h or 30m, not %s", v.shown())
	case d < 0 || d > config.MaxArchiveAfter:
		v.faultf("must be between 0 and %d days, not %s", config.MaxArchiveAfter/(24*time.Hour), v.shown())
	default:
		return &d
	}
	return nil
}
