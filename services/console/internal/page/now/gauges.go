package now

import (
	"math"
	"strconv"
	"time"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/view"
)

// gauge shows how much of a limit is used.
type gauge struct {
	name, text string
	// parts are the used parts of the bar. It has no bar without a limit, or if the use is not known.
	parts []part
	// mark is where something stops, in percent of the bar. 0 for none.
	mark float64
	// lines say more. unknown says what is not known.
	lines   []string
	unknown string
	// tone is that of the text.
	tone string
	// asOf is when it was so. Zero if nothing is known.
	asOf time.Time
}

// part is a part of a bar, from a place on and as wide as it says, in percent.
type part struct {
	tone        string
	from, width float64
}

// gauges are the limits of Stripe, and how much of them is used.
func gauges(s *controlv1.GetStatusResponse) []gauge {
	return []gauge{callsGauge(s.GetStripeRate()), readsGauge(s)}
}

func callsGauge(r *controlv1.StripeRate) gauge {
	g := gauge{name: "Calls a second"}
	switch {
	case r == nil:
		g.text, g.unknown = "not known", "Reconciliation is of an earlier version."
		return g
	case r.Live == nil:
		g.text, g.unknown = "not known", r.GetUnknown()
		return g
	}
	rate := r.GetLive() + r.GetBulk()
	g.text, g.asOf = oneDigit(rate)+of(r.PerSecond), r.GetAsOf().AsTime()
	if limit := r.GetPerSecond(); limit > 0 {
		g.parts = bar(limit, part{tone: "live", width: r.GetLive()}, part{tone: "bulk", width: r.GetBulk()})
	}
	g.lines = append(g.lines, oneDigit(r.GetLive())+" in the live lane, "+oneDigit(r.GetBulk())+" in bulk.")
	if r.GetBusiestEndpoint() != "" {
		g.lines = append(g.lines, "Most to "+r.GetBusiestEndpoint()+": "+oneDigit(r.GetBusiest())+of(r.PerEndpoint)+".")
	}
	if r.SlowedPermille != nil {
		what := "all calls"
		if r.GetSlowedEndpoint() != "" {
			what = "calls of " + r.GetSlowedEndpoint()
		}
		g.tone = "held"
		g.lines = append(g.lines, "Stripe refused calls as too many: "+what+" go at "+
			strconv.Itoa(int(r.GetSlowedPermille()/10))+"% of the rate, which recovers.")
	}
	if r.GetUnknown() != "" {
		g.unknown = "Not all is known: " + r.GetUnknown() + "."
	}
	return g
}

// soon is how near the end of the reads is a reason to look.
const soon = 7 * 24 * time.Hour

func readsGauge(s *controlv1.GetStatusResponse) gauge {
	a := s.GetReadAllowance()
	g := gauge{name: "Reads within 30 days", text: view.Count(s.GetReads()), asOf: at(s)}
	switch {
	case a == nil:
		g.unknown = "It is not known how many Stripe allows: reconciliation is of an earlier version."
	case a.Allowed == nil:
		g.unknown = a.GetForecast()
	case a.GetAllowed() == 0:
		g.lines = []string{a.GetForecast()}
	default:
		limit := float64(a.GetAllowed())
		g.text += " of " + view.Count(a.GetAllowed())
		g.parts = bar(limit, part{tone: "reads", width: float64(a.GetUsed())})
		g.mark = 100 * float64(a.GetStopsAt()) / limit
		g.lines = []string{"Scans stop at " + view.Count(a.GetStopsAt()) + ". " + a.GetForecast()}
		switch on := a.GetStopsOn(); {
		case a.GetUsed() >= a.GetStopsAt():
			g.tone = "bad"
		case on != nil && on.AsTime().Sub(at(s)) < soon:
			g.tone = "held"
		}
	}
	return g
}

// bar places parts one after the other on a bar, whose end is a limit.
func bar(limit float64, parts ...part) []part {
	from := 0.0
	for i, p := range parts {
		width := min(100*p.width/limit, 100-from)
		parts[i].from, parts[i].width = from, width
		from += width
	}
	return parts
}

// of returns a limit in words. It is nil if it is not known, and 0 if there is none.
func of(limit *float64) string {
	switch {
	case limit == nil:
		return ""
	case *limit == 0:
		return ", without a limit"
	}
	return " of " + strconv.FormatFloat(*limit, 'f', -1, 64)
}

func oneDigit(n float64) string { return strconv.FormatFloat(n, 'f', 1, 64) }

// svg returns a length in the units of a bar's picture.
func svg(percent float64) string {
	return strconv.FormatFloat(math.Round(percent*100)/100, 'f', -1, 64)
}
