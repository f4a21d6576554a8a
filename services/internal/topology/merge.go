package topology

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// setting is one setting of a stream or consumer: the declared value, and the server's.
type setting[C any] struct {
	name       string
	want, have any
	// lowers reports whether the declared value is less than the server's.
	lowers bool
	set    func(*C)
	// setPartly applies the part of the setting that lowers nothing; nil for none.
	setPartly func(*C)
	// protects reports whether the setting forbids an operation that the mesh never uses.
	protects bool
}

// merged is a configuration of the server with the declared settings. Settings that are not declared stay as they are.
type merged[C any] struct {
	config C
	// changes lists all settings that differ, and lowers those that lower something.
	changes, lowers []string
	// differs reports whether the configuration differs from the server's.
	differs bool
	// protects reports whether it differs only in protections.
	protects bool
}

// merge applies the declared settings to the server's configuration. Settings that lower something are applied only if
// lower is set.
func merge[C any](have C, lower bool, settings []setting[C]) merged[C] {
	m := merged[C]{config: have, protects: true}
	for _, s := range settings {
		if reflect.DeepEqual(s.want, s.have) {
			continue
		}
		change := fmt.Sprintf("%s is %v, declared %v", s.name, s.have, s.want)
		m.changes = append(m.changes, change)
		m.protects = m.protects && s.protects
		if s.lowers {
			m.lowers = append(m.lowers, change)
		}
		switch {
		case !s.lowers || lower:
			m.differs = true
			s.set(&m.config)
		case s.setPartly != nil:
			m.differs = true
			s.setPartly(&m.config)
		}
	}
	return m
}

func streamSettings(want, have jetstream.StreamConfig) []setting[jetstream.StreamConfig] {
	if want.MaxMsgsPerSubject == 0 {
		want.MaxMsgsPerSubject = -1
	}
	if want.Duplicates == 0 {
		want.Duplicates = have.Duplicates
	}
	type c = jetstream.StreamConfig
	subjects := setting[c]{
		name: "subjects", want: want.Subjects, have: have.Subjects,
		lowers: len(uncovered(have.Subjects, want.Subjects)) > 0,
		set:    func(c *c) { c.Subjects = want.Subjects },
	}
	if more := uncovered(want.Subjects, have.Subjects); len(more) > 0 {
		subjects.setPartly = func(c *c) { c.Subjects = slices.Concat(have.Subjects, more) }
	}
	return append([]setting[c]{
		subjects,
		{
			name: "retention", want: want.Retention, have: have.Retention,
			lowers: true, set: func(c *c) { c.Retention = want.Retention },
		},
		{
			name: "max messages per subject", want: want.MaxMsgsPerSubject, have: have.MaxMsgsPerSubject,
			lowers: isLowerLimit(want.MaxMsgsPerSubject, have.MaxMsgsPerSubject),
			set:    func(c *c) { c.MaxMsgsPerSubject = want.MaxMsgsPerSubject },
		},
		{
			name: "max age", want: want.MaxAge, have: have.MaxAge,
			lowers: isLowerLimit(want.MaxAge, have.MaxAge), set: func(c *c) { c.MaxAge = want.MaxAge },
		},
		{
			name: "duplicate window", want: want.Duplicates, have: have.Duplicates,
			lowers: want.Duplicates < have.Duplicates, set: func(c *c) { c.Duplicates = want.Duplicates },
		},
		{
			name: "direct get", want: want.AllowDirect, have: have.AllowDirect,
			lowers: have.AllowDirect, set: func(c *c) { c.AllowDirect = want.AllowDirect },
		},
		{
			name: "message schedules", want: want.AllowMsgSchedules, have: have.AllowMsgSchedules,
			lowers: have.AllowMsgSchedules, set: func(c *c) { c.AllowMsgSchedules = want.AllowMsgSchedules },
		},
	}, sharedSettings(want, have)...)
}

func bucketSettings(want, have jetstream.StreamConfig) []setting[jetstream.StreamConfig] {
	type c = jetstream.StreamConfig
	// JetStream cannot undo these three.
	want.AllowMsgTTL = want.AllowMsgTTL || have.AllowMsgTTL
	want.DenyDelete, want.DenyPurge = want.DenyDelete || have.DenyDelete, want.DenyPurge || have.DenyPurge
	return append([]setting[c]{
		{
			name: "history", want: want.MaxMsgsPerSubject, have: have.MaxMsgsPerSubject,
			lowers: isLowerLimit(want.MaxMsgsPerSubject, have.MaxMsgsPerSubject),
			set:    func(c *c) { c.MaxMsgsPerSubject = want.MaxMsgsPerSubject },
		},
		{
			name: "message TTL", want: want.AllowMsgTTL, have: have.AllowMsgTTL,
			set: func(c *c) { c.AllowMsgTTL = want.AllowMsgTTL },
		},
		{
			name: "deny delete", want: want.DenyDelete, have: have.DenyDelete,
			protects: true, set: func(c *c) { c.DenyDelete = want.DenyDelete },
		},
		{
			name: "deny purge", want: want.DenyPurge, have: have.DenyPurge,
			protects: true, set: func(c *c) { c.DenyPurge = want.DenyPurge },
		},
	}, sharedSettings(want, have)...)
}

// sharedSettings returns the settings that streams and buckets have in common.
func sharedSettings(want, have jetstream.StreamConfig) []setting[jetstream.StreamConfig] {
	type c = jetstream.StreamConfig
	// Schedules are roll-ups: JetStream allows roll-ups together with them, and cannot undo either.
	want.AllowRollup = want.AllowRollup || want.AllowMsgSchedules || have.AllowMsgSchedules
	return []setting[c]{
		{
			name: "rollup", want: want.AllowRollup, have: have.AllowRollup,
			protects: true, set: func(c *c) { c.AllowRollup = want.AllowRollup },
		},
		{
			name: "replicas", want: want.Replicas, have: have.Replicas,
			lowers: want.Replicas < have.Replicas, set: func(c *c) { c.Replicas = want.Replicas },
		},
		// A declared placement is a requested move. Without one, the declaration is anywhere.
		{
			name: "placement", want: placementText(want.Placement), have: placementText(have.Placement),
			lowers: placementText(want.Placement) == anywhere, set: func(c *c) { c.Placement = want.Placement },
		},
		{
			name: "atomic publish", want: want.AllowAtomicPublish, have: have.AllowAtomicPublish,
			lowers: have.AllowAtomicPublish, set: func(c *c) { c.AllowAtomicPublish = want.AllowAtomicPublish },
		},
		{
			name: "description", want: want.Description, have: have.Description,
			lowers: false, set: func(c *c) { c.Description = want.Description },
		},
	}
}

func consumerSettings(want, have jetstream.ConsumerConfig) []setting[jetstream.ConsumerConfig] {
	type c = jetstream.ConsumerConfig
	return []setting[c]{
		// The loss of a changed filter is checked separately.
		{
			name: "filter", want: want.FilterSubject, have: have.FilterSubject,
			lowers: false, set: func(c *c) { c.FilterSubject = want.FilterSubject },
		},
		{
			name: "ack wait", want: want.AckWait, have: have.AckWait,
			lowers: want.AckWait < have.AckWait && have.AckWait != formerAckWait,
			set:    func(c *c) { c.AckWait = want.AckWait },
		},
		{
			name: "max deliver", want: want.MaxDeliver, have: have.MaxDeliver,
			lowers: isLowerLimit(want.MaxDeliver, have.MaxDeliver), set: func(c *c) { c.MaxDeliver = want.MaxDeliver },
		},
		{
			name: "max ack pending", want: want.MaxAckPending, have: have.MaxAckPending,
			lowers: isLowerLimit(want.MaxAckPending, have.MaxAckPending),
			set:    func(c *c) { c.MaxAckPending = want.MaxAckPending },
		},
	}
}

// isLowerLimit reports whether limit want is lower than limit have. 0 and less mean no limit.
func isLowerLimit[N int | int64 | time.Duration](want, have N) bool {
	return want > 0 && (have <= 0 || want < have)
}

// uncovered returns the subjects that match no pattern.
func uncovered(subjects, patterns []string) []string {
	return slices.DeleteFunc(slices.Clone(subjects), func(subject string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool { return Matches(pattern, subject) })
	})
}

const anywhere = "anywhere"

// placementText returns a placement as text, for comparison. nil and empty are equal.
func placementText(p *jetstream.Placement) string {
	if p == nil {
		return anywhere
	}
	words := slices.Clone(p.Tags)
	slices.Sort(words)
	if p.Cluster != "" {
		words = append(words, "cluster "+p.Cluster)
	}
	if len(words) == 0 {
		return anywhere
	}
	return strings.Join(words, " and ")
}
