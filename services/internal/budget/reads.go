package budget

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// Purpose is what reads of Stripe are for. Reads use up Stripe's monthly read allowance.
type Purpose string

// The purposes. Events are reads for what an event does not show. Imports are reads of a product that is to be
// imported. Pushes are reads before a write. Usages are reads of what uses a price. Others are reads without a purpose:
// see For.
const (
	Events  Purpose = "events"
	Polls   Purpose = "poll"
	Scans   Purpose = "scan"
	Imports Purpose = "import"
	Pushes  Purpose = "push"
	Usages  Purpose = "usage"
	Others  Purpose = "other"
)

type purposeKey struct{}

// For sets the purpose of the reads that are made with the context.
func For(ctx context.Context, p Purpose) context.Context {
	return context.WithValue(ctx, purposeKey{}, p)
}

func purposeOf(ctx context.Context) Purpose {
	p, _ := ctx.Value(purposeKey{}).(Purpose)
	return cmp.Or(p, Others)
}

// tally counts reads by purpose.
type tally map[Purpose]uint64

func (t tally) total() (n uint64) {
	for _, reads := range t {
		n += reads
	}
	return n
}

// remove subtracts what has been recorded.
func (t tally) remove(recorded tally) {
	for p, reads := range recorded {
		if t[p] -= reads; t[p] == 0 {
			delete(t, p)
		}
	}
}

// record adds the reads to today's, in UTC.
func (t tally) record(b *meshv1.Budget, now int64) {
	if b.Reads == nil {
		b.Reads = map[string]uint64{}
	}
	if b.ReadsFor == nil {
		b.ReadsFor = map[string]*meshv1.PurposeReads{}
	}
	day := time.Unix(0, now).UTC().Format(time.DateOnly)
	b.Reads[day] += t.total()
	for p, reads := range t {
		of := b.GetReadsFor()[string(p)]
		if of == nil {
			of = &meshv1.PurposeReads{}
			b.ReadsFor[string(p)] = of
		}
		if of.Days == nil {
			of.Days = map[string]uint64{}
		}
		of.Days[day] += reads
	}
}

// dropDays deletes the days before the oldest that counts.
func dropDays(b *meshv1.Budget, oldest string) {
	before := func(day string, _ uint64) bool { return day < oldest }
	maps.DeleteFunc(b.GetReads(), before)
	for purpose, of := range b.GetReadsFor() {
		if maps.DeleteFunc(of.GetDays(), before); len(of.GetDays()) == 0 {
			delete(b.ReadsFor, purpose)
		}
	}
}

// PurposeReads is how many reads were made for a purpose.
type PurposeReads struct {
	Purpose Purpose
	Reads   uint64
}

// ReadsFor returns the reads of the last 30 days by purpose, most reads first. See Reads.
func ReadsFor(ctx context.Context, store Store) ([]PurposeReads, error) {
	record := &meshv1.Budget{}
	if _, err := store.GetAt(ctx, record); err != nil {
		return nil, err
	}
	var out []PurposeReads
	for purpose, of := range record.GetReadsFor() {
		if n := sumSince(of.GetDays(), time.Now()); n > 0 {
			out = append(out, PurposeReads{Purpose(purpose), n})
		}
	}
	slices.SortFunc(out, func(a, b PurposeReads) int {
		return cmp.Or(cmp.Compare(b.Reads, a.Reads), cmp.Compare(a.Purpose, b.Purpose))
	})
	return out, nil
}

// ReadsOf30Days returns how many reads were made in the last 30 days.
func ReadsOf30Days(b *meshv1.Budget, now time.Time) uint64 { return sumSince(b.GetReads(), now) }

func sumSince(days map[string]uint64, now time.Time) (n uint64) {
	oldest := now.UTC().AddDate(0, 0, -29).Format(time.DateOnly)
	for day, reads := range days {
		if day >= oldest {
			n += reads
		}
	}
	return n
}

// Reads returns how many reads all processes made in the last 30 days. It counts recorded reads: a process records at
// least every hundred reads and every five seconds.
func Reads(ctx context.Context, store Store) (uint64, error) {
	record := &meshv1.Budget{}
	if _, err := store.GetAt(ctx, record); err != nil {
		return 0, err
	}
	return ReadsOf30Days(record, time.Now()), nil
}

// Reads returns how many reads all processes made in the last 30 days, and how many Stripe allows; 0 means no limit.
func (b *Budget) Reads(ctx context.Context) (made, allowed uint64, err error) {
	if made, err = Reads(ctx, b.store); err != nil {
		return 0, 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return made + b.reads.total(), b.limits.ReadAllowance, nil
}
