package budget

import (
	"context"
	"slices"
	"time"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

const (
	// readWindow is for how many days reads count.
	readWindow = 30
	// maxBasis is how many of the latest whole days a forecast takes as an example, and minBasis how many it needs.
	maxBasis, minBasis = 7, 2
	day                = 24 * time.Hour
)

// ReadForecast says when reads reach a limit if the next days are as the latest ones were. Days are in UTC.
type ReadForecast struct {
	// Days is how many whole days are the example. 0 means that too few are known, and that there is no forecast.
	Days int
	// PerDay is the average of their reads. Least and Most are the reads of the days with least and most.
	PerDay      float64
	Least, Most uint64
	// On is the day on which the limit is reached at the average, Earliest at the most, and Latest at the least. Zero
	// if it is not reached: after 30 days as many reads stop counting as are made.
	On, Earliest, Latest time.Time
}

// ForecastReads returns when the reads of all processes reach a limit. A limit of 0 is never reached.
func ForecastReads(b *meshv1.Budget, now time.Time, limit uint64) ReadForecast {
	today := now.UTC().Truncate(day)
	reads := map[time.Time]uint64{}
	first := today
	for text, n := range b.GetReads() {
		if d, err := time.Parse(time.DateOnly, text); err == nil {
			reads[d] = n
			if d.Before(first) {
				first = d
			}
		}
	}
	var basis []uint64
	// The first day that was counted may not have been counted from its beginning.
	for d := today.Add(-day); d.After(first) && len(basis) < maxBasis; d = d.Add(-day) {
		basis = append(basis, reads[d])
	}
	if len(basis) < minBasis {
		return ReadForecast{}
	}
	out := ReadForecast{Days: len(basis), Least: slices.Min(basis), Most: slices.Max(basis)}
	for _, n := range basis {
		out.PerDay += float64(n) / float64(len(basis))
	}
	if limit > 0 {
		left := 1 - now.UTC().Sub(today).Hours()/day.Hours()
		reached := func(rate float64) time.Time { return reachedOn(reads, today, left, rate, float64(limit)) }
		out.On, out.Earliest, out.Latest = reached(out.PerDay), reached(float64(out.Most)), reached(float64(out.Least))
	}
	return out
}

// reachedOn returns the day on which the reads of 30 days reach a limit at a rate per day. left is how much of today is
// still to come. It returns the zero time if they do not.
func reachedOn(reads map[time.Time]uint64, today time.Time, left, rate, limit float64) time.Time {
	for ahead := range readWindow + 1 {
		d := today.Add(time.Duration(ahead) * day)
		sum := float64(reads[today]) + rate*left + rate*float64(ahead)
		if ahead >= readWindow {
			// Today does not count any more.
			sum = rate * readWindow
		}
		for past := d.Add(-(readWindow - 1) * day); past.Before(today); past = past.Add(day) {
			sum += float64(reads[past])
		}
		if sum >= limit {
			return d
		}
	}
	return time.Time{}
}

// Record returns the record of an account's rates and reads, as all processes have it.
func Record(ctx context.Context, store Store) (*meshv1.Budget, error) {
	record := &meshv1.Budget{}
	_, err := store.GetAt(ctx, record)
	return record, err
}

// ScansStopAt returns the number of reads at which scans and other reads that can wait stop: nine tenths of the
// allowance. The rest is for reads that cannot wait. It returns 0 if there is no allowance.
func ScansStopAt(allowance uint64) uint64 { return allowance / 10 * 9 }
