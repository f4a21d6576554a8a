package health

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// callers are the services that call Stripe.
var callers = []string{topology.Push, topology.Pull}

// StripeRate returns how fast the processes of the services call Stripe, and how fast they may. The record has the
// rates that Stripe's refusals have lowered.
func StripeRate(services []*controlv1.ServiceStatus, record *meshv1.Budget, now time.Time) *controlv1.StripeRate {
	out := &controlv1.StripeRate{}
	var unknown []string
	var said []*meshv1.StripeCalls
	endpoints := map[string]float64{}
	for _, s := range services {
		if !slices.Contains(callers, s.GetService()) {
			continue
		}
		if s.GetRunning() == 0 {
			unknown = append(unknown, s.GetService()+" "+cmp.Or(s.GetProblem(), "does not run"))
			continue
		}
		for _, p := range s.GetProcesses() {
			calls := p.GetProcess().GetStripeCalls()
			switch {
			case p.GetState() != running:
			case calls == nil:
				unknown = append(unknown,
					"a process of "+s.GetService()+" does not say its calls: its version is too old")
			default:
				said = append(said, calls)
				if at := p.GetProcess().GetAt(); out.GetAsOf() == nil || at.AsTime().Before(out.GetAsOf().AsTime()) {
					out.AsOf = at
				}
			}
		}
	}
	if len(said) > 0 {
		out.Live, out.Bulk = new(float64), new(float64)
	}
	for _, calls := range said {
		*out.Live += calls.GetLanes()[budget.Live.String()]
		*out.Bulk += calls.GetLanes()[budget.Bulk.String()]
		for endpoint, rate := range calls.GetEndpoints() {
			endpoints[endpoint] += rate
		}
	}
	for _, endpoint := range slices.Sorted(maps.Keys(endpoints)) {
		if endpoints[endpoint] > out.GetBusiest() {
			out.BusiestEndpoint, out.Busiest = endpoint, endpoints[endpoint]
		}
	}
	out.PerSecond = agreed(said, (*meshv1.StripeCalls).GetPerSecond, "calls a second", &unknown)
	out.PerEndpoint = agreed(said, (*meshv1.StripeCalls).GetPerEndpoint, "calls a second to an endpoint", &unknown)
	if endpoint, permille := budget.Slowest(record, now); permille < fullPermille {
		slowed := uint32(permille)
		out.SlowedEndpoint, out.SlowedPermille = endpoint, &slowed
	}
	if len(said)+len(unknown) == 0 {
		unknown = []string{"no process of push or pull is known"}
	}
	slices.Sort(unknown)
	out.Unknown = strings.Join(slices.Compact(unknown), "; ")
	return out
}

// fullPermille is a rate that is not lowered.
const fullPermille = 1000

// agreed returns the limit that all processes have. If they do not agree, it returns nil and adds why.
func agreed(
	said []*meshv1.StripeCalls, limit func(*meshv1.StripeCalls) float64, of string, unknown *[]string,
) *float64 {
	var all []float64
	for _, calls := range said {
		all = append(all, limit(calls))
	}
	slices.Sort(all)
	switch all = slices.Compact(all); len(all) {
	case 0:
		return nil
	case 1:
		return &all[0]
	}
	texts := make([]string, len(all))
	for i, n := range all {
		texts[i] = strconv.FormatFloat(n, 'f', -1, 64)
	}
	*unknown = append(*unknown, "processes have different limits of "+of+": "+strings.Join(texts, ", "))
	return nil
}

// ReadAllowance returns how much of Stripe's read allowance is used, and how long it lasts. Pull has the allowance.
func ReadAllowance(services []*controlv1.ServiceStatus, record *meshv1.Budget,
	now time.Time,
) *controlv1.ReadAllowance {
	out := &controlv1.ReadAllowance{Used: budget.ReadsOf30Days(record, now)}
	allowed := map[uint64]bool{}
	for _, s := range services {
		if s.GetService() != topology.Pull {
			continue
		}
		for _, p := range s.GetProcesses() {
			if calls := p.GetProcess().GetStripeCalls(); calls != nil && p.GetState() == running {
				allowed[calls.GetReadAllowance()] = true
			}
		}
	}
	if len(allowed) != 1 {
		out.Forecast = "It is not known how many reads Stripe allows, since no process of pull says it."
		if len(allowed) > 1 {
			out.Forecast = "It is not known how many reads Stripe allows: the processes of pull have different settings."
		}
		return out
	}
	for n := range allowed {
		out.Allowed, out.StopsAt = &n, budget.ScansStopAt(n)
	}
	f := budget.ForecastReads(record, now, out.GetStopsAt())
	if f.Days > 0 {
		out.PerDay, out.LeastPerDay, out.MostPerDay, out.Days = &f.PerDay, f.Least, f.Most, uint32(f.Days)
	}
	out.StopsOn, out.StopsEarliest, out.StopsLatest = dayOf(f.On), dayOf(f.Earliest), dayOf(f.Latest)
	out.Forecast = forecastText(out, f)
	return out
}

func dayOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// forecastText says how long the reads last, and how uncertain that is.
func forecastText(a *controlv1.ReadAllowance, f budget.ReadForecast) string {
	const date = "2 January"
	rate := fmt.Sprintf("%s reads a day, the average of the latest %d days", formatCount(uint64(f.PerDay+0.5)), f.Days)
	atMost := fmt.Sprintf("%s a day, the most of them", formatCount(f.Most))
	switch {
	case a.GetAllowed() == 0:
		return "No limit is set."
	case a.GetUsed() >= a.GetStopsAt():
		return "Nine tenths are used: scans, imports and reads of products outside the catalog are stopped."
	case f.Days == 0:
		return "There is no forecast yet: it needs the reads of two whole days."
	case f.On.IsZero() && f.Earliest.IsZero():
		return "It lasts with " + rate + ", and with " + atMost + "."
	case f.On.IsZero():
		return "It lasts with " + rate + ". With " + atMost + ", scans stop on " + f.Earliest.Format(date) + "."
	}
	text := "With " + rate + ", scans stop about " + f.On.Format(date) + ": on " + f.Earliest.Format(date) + " with " +
		atMost + ", "
	if f.Latest.IsZero() {
		return text + "and not at all with " + formatCount(f.Least) + ", the least."
	}
	return text + "and on " + f.Latest.Format(date) + " with " + formatCount(f.Least) + ", the least."
}
