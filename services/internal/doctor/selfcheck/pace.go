package selfcheck

import (
	"slices"
	"time"

	"github.com/driftless-sync/driftless/services/internal/doctor"
)

const (
	// rareInterval is the time between two looks that cost reads of Stripe.
	rareInterval = 12 * time.Hour
	// rareRetryInterval is the time until the next look after one that came to no result. It doubles from look to look,
	// up to rareInterval.
	rareRetryInterval = 10 * time.Minute
	// loggedInterval is the time between two questions that the NATS server refuses and logs.
	loggedInterval = time.Hour
	// faultyInterval and faultyRareInterval are the times until the next look after one that found something. A fault
	// that was fixed should not be shown for long.
	faultyInterval     = time.Minute
	faultyRareInterval = 3 * time.Hour
	// heavyShare bounds the time that heavy probes take: one part in so many.
	heavyShare = 20
)

// look is a look at a part.
type look struct {
	report doctor.Report
	took   time.Duration
	// open is how many looks in a row may come to more the next time, this one included.
	open int
}

// isOpen reports whether another look may come to a result that this one did not come to.
func isOpen(report doctor.Report) bool {
	return slices.ContainsFunc(report.Findings,
		func(f doctor.Finding) bool { return f.ID == doctor.StripeReachable }) ||
		slices.ContainsFunc(report.NotLooked, func(n doctor.NotLooked) bool { return !report.IsSettled(n.ID) })
}

// pace returns the time until the next look.
type pace func(look) time.Duration

// steady looks at every interval, after faulty if something was found, and after blind if a check came to no result.
func steady(interval, faulty, blind time.Duration) pace {
	return func(l look) time.Duration {
		switch {
		case len(l.report.Findings) > 0:
			return faulty
		case len(l.report.NotLooked) > 0:
			return blind
		}
		return interval
	}
}

// heavy is the pace of probes that cost much. An operator may live with a warning for ever, so only an error has it
// look again sooner.
func heavy(interval time.Duration) pace {
	return func(l look) time.Duration {
		next := interval
		if slices.ContainsFunc(l.report.Findings, func(f doctor.Finding) bool { return f.Severity == doctor.Error }) {
			next = min(interval, faultyInterval)
		}
		return max(next, heavyShare*l.took)
	}
}

// rare is the pace of probes that cost reads of Stripe.
func rare(l look) time.Duration {
	next := rareInterval
	if len(l.report.Findings) > 0 && !isOnlyUnreachable(l.report) {
		next = faultyRareInterval
	}
	if l.open == 0 {
		return next
	}
	retry := rareRetryInterval
	for i := 1; i < l.open && retry < next; i++ {
		retry *= 2
	}
	return min(retry, next)
}

// isOnlyUnreachable reports whether the only fault is that Stripe did not answer.
func isOnlyUnreachable(report doctor.Report) bool {
	return !slices.ContainsFunc(report.Findings, func(f doctor.Finding) bool { return f.ID != doctor.StripeReachable })
}
