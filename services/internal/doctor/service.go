package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ConsumerFacts is what a consumer showed while it was watched.
type ConsumerFacts struct {
	// Name is "STREAM/consumer".
	Service, Name string
	// IsAsking reports whether a process asked for a message. HasMoved reports whether a message was taken or
	// acknowledged.
	IsAsking, HasMoved bool
	// IsPaused reports whether the consumer delivers nothing, because of a pause or a halt.
	IsPaused bool
	// InFlight is how many messages are delivered and not acknowledged, and Pending how many wait.
	InFlight, Pending uint64
}

// JudgeConsumers records which services ask for no messages. A paused service asks for none.
func JudgeConsumers(r *Recorder, consumers []ConsumerFacts, paused []string) {
	idle := map[string][]string{}
	pending := map[string]uint64{}
	for _, c := range consumers {
		switch {
		case c.IsAsking, c.HasMoved:
		case c.IsPaused, slices.Contains(paused, c.Service):
			r.NotLooked(c.Service+" is paused, so it asks for no messages whether it runs or not: see driftless status",
				ServicesRunning)
		case c.InFlight > 0:
			r.NotLooked(fmt.Sprintf("consumer %s of %s has %d messages in flight and asks for no more: the service is "+
				"busy, or it has just ended", c.Name, c.Service, c.InFlight), ServicesRunning)
		default:
			idle[c.Service] = append(idle[c.Service], c.Name)
			pending[c.Service] += c.Pending
		}
	}
	for _, service := range slices.Sorted(maps.Keys(idle)) {
		r.Foundf(ServicesRunning, "", "no process of %s asks for messages of %s; %d wait", service,
			strings.Join(idle[service], ", "), pending[service])
	}
}
