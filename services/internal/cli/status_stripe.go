package cli

import (
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

// callsLine says how fast Stripe is called, and how fast it may be.
func callsLine(r *controlv1.StripeRate) string {
	const what = "calls to Stripe: "
	switch {
	case r == nil:
		return what + "not known, reconciliation is of an earlier version"
	case r.Live == nil:
		return what + "not known: " + r.GetUnknown()
	}
	line := fmt.Sprintf("%s%s a second (%.1f live, %.1f bulk)", what, ofLimit(r.GetLive()+r.GetBulk(), r.PerSecond),
		r.GetLive(), r.GetBulk())
	if r.GetBusiestEndpoint() != "" {
		line += ", most to " + r.GetBusiestEndpoint() + ": " + ofLimit(r.GetBusiest(), r.PerEndpoint)
	}
	if r.SlowedPermille != nil {
		of := "all calls"
		if r.GetSlowedEndpoint() != "" {
			of = r.GetSlowedEndpoint()
		}
		line += fmt.Sprintf("; slowed to %d%%, because Stripe refused too many: %s", r.GetSlowedPermille()/10, of)
	}
	if r.GetUnknown() != "" {
		line += "; not all is known: " + r.GetUnknown()
	}
	return line
}

// ofLimit returns a rate and its limit: "12.3 of 100". The limit is nil if it is not known, and 0 if there is none.
func ofLimit(rate float64, limit *float64) string {
	text := strconv.FormatFloat(rate, 'f', 1, 64)
	if limit != nil && *limit > 0 {
		text += " of " + strconv.FormatFloat(*limit, 'f', -1, 64)
	}
	return text
}

// readsLine says how much of the read allowance is used.
func readsLine(s *controlv1.GetStatusResponse) string {
	line := fmt.Sprintf("reads of Stripe in the last 30 days: %d%s", s.GetReads(), readsFor(s.GetReadsFor()))
	if a := s.GetReadAllowance(); a.GetAllowed() > 0 {
		line += fmt.Sprintf(", of %s that are allowed", formatCount(a.GetAllowed()))
	}
	return line
}

// watchedAge is how old a status may be that is shown again and again. Those who watch share what reconciliation reads.
const watchedAge = time.Second

// statusRequest returns the request for a status.
func (x watching) statusRequest() *controlv1.GetStatusRequest {
	if !x.Watch {
		return &controlv1.GetStatusRequest{}
	}
	return &controlv1.GetStatusRequest{MaxAge: durationpb.New(watchedAge)}
}
