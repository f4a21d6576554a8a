package doctor

import (
	"context"
	"time"
)

// Clock is the clock of a server.
type Clock struct {
	// ID is the check of the clock, and Name its name in messages.
	ID, Name string
	// Read returns how far the clock is ahead of that of this machine.
	Read func(context.Context) (time.Duration, error)
}

// Ahead returns how far a clock is ahead of this machine's, if it showed a time between sent and received.
func Ahead(sent, received, there time.Time) time.Duration {
	return there.Sub(sent.Add(received.Sub(sent) / 2))
}

// ProbeClocks compares clocks of servers with the clock of this machine.
func ProbeClocks(clocks ...Clock) Probe {
	covers := []string{ClocksHost}
	for _, c := range clocks {
		covers = append(covers, c.ID)
	}
	return Probe{Name: "clocks", Covers: covers, Run: func(ctx context.Context, r *Recorder) error {
		var readings []ClockReading
		for _, c := range clocks {
			ahead, err := c.Read(ctx)
			if err != nil {
				r.NotLooked(err.Error(), c.ID)
				continue
			}
			readings = append(readings, ClockReading{ID: c.ID, Name: c.Name, Ahead: ahead})
		}
		JudgeClocks(r, readings)
		return nil
	}}
}
