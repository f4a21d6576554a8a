package doctor

import (
	"slices"
	"strings"
	"time"
)

// maxClockDifference is how far two clocks may be apart. Stripe tells its time in whole seconds, and the answer takes
// its way.
const maxClockDifference = 5 * time.Second

// ClockReading is how far a clock is ahead of the clock of this machine. A clock that is behind has a negative value.
type ClockReading struct {
	// ID is the check of the clock, and Name its name in messages.
	ID, Name string
	Ahead    time.Duration
}

// JudgeClocks records which clocks are wrong. If all others agree with each other and not with this machine's, then
// this machine's clock is wrong.
func JudgeClocks(r *Recorder, readings []ClockReading) {
	if len(readings) == 0 {
		r.NotLooked("there is no other clock to compare it with", ClocksHost)
		return
	}
	ahead := make([]time.Duration, len(readings))
	for i, c := range readings {
		ahead[i] = c.Ahead
	}
	agree := slices.Max(ahead)-slices.Min(ahead) <= maxClockDifference
	if agree && len(readings) > 1 && differs(slices.Min(ahead)) && differs(slices.Max(ahead)) {
		r.Foundf(ClocksHost, "", "the clock of this machine is %s %s those of %s", round(ahead[0].Abs()),
			direction(-ahead[0]), list(readings))
		return
	}
	if len(readings) == 1 && differs(readings[0].Ahead) {
		r.NotLooked("it differs from the clock of "+readings[0].Name+", and there is no third clock that says which is right",
			ClocksHost)
	}
	for _, c := range readings {
		if differs(c.Ahead) {
			r.Foundf(c.ID, "", "the clock of %s is %s %s that of this machine", c.Name, round(c.Ahead.Abs()),
				direction(c.Ahead))
		} else {
			r.Sawf(c.ID, "%s apart", round(c.Ahead.Abs()))
		}
	}
}

func differs(ahead time.Duration) bool { return ahead.Abs() > maxClockDifference }

func direction(ahead time.Duration) string {
	if ahead < 0 {
		return "behind"
	}
	return "ahead of"
}

func round(d time.Duration) time.Duration {
	if d >= 10*time.Second {
		return d.Round(time.Second)
	}
	return d.Round(time.Millisecond)
}

// list names the clocks: "the database, NATS and Stripe".
func list(readings []ClockReading) string {
	names := make([]string, len(readings))
	for i, c := range readings {
		names[i] = c.Name
	}
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
