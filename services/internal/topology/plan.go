package topology

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// Difference is one way in which a server's topology differs from the declaration.
type Difference struct {
	Kind string `json:"kind"` // stream, bucket or consumer
	Name string `json:"name"`
	// Detail describes what is missing or differs.
	Detail string `json:"detail"`
	// Missing reports whether nothing of that name exists.
	Missing bool `json:"missing"`
	// Lowers describes the part of Detail that lowers or removes something; empty for none. It is applied only if the
	// options allow it.
	Lowers string `json:"lowers"`
	// DataLoss describes the messages that the whole change would lose; empty for none.
	DataLoss string `json:"loses"`

	// apply makes the change, as far as the options allow; nil if they allow nothing.
	apply func(context.Context) error
	// appliedLoss describes the messages that apply would lose; empty for none.
	appliedLoss string
	// protects reports whether apply only forbids operations that the mesh never uses.
	protects bool
}

func (d Difference) String() string {
	s := d.Kind + " " + d.Name + ": " + d.Detail
	if d.Lowers != "" {
		s += "; unchanged unless lowering is allowed: " + d.Lowers
	}
	if d.DataLoss != "" {
		s += "; THIS LOSES " + d.DataLoss
	}
	return s
}

// ErrDataLoss is the error of Apply if a change would lose messages and the options do not allow it.
var ErrDataLoss = errors.New("would lose messages")

// Apply creates what is missing and updates what differs. One process calls it before the services start. Repeating it
// is safe. Existing consumers keep their position, and settings that are not declared stay as they are. Nothing is
// lowered or removed unless the options allow it.
//
// If one of the changes would lose messages and the options do not allow that, Apply changes nothing and returns
// ErrDataLoss. Settings that only protect the streams, such as the denial of roll-ups, need no permission.
func Apply(ctx context.Context, js jetstream.JetStream, o Options) error {
	diffs, err := Plan(ctx, js, o)
	if err != nil {
		return err
	}
	var losses []string
	for _, d := range diffs {
		if d.appliedLoss != "" {
			losses = append(losses, d.Kind+" "+d.Name+" ("+d.Detail+"): "+d.appliedLoss)
		}
	}
	if len(losses) > 0 && !o.AllowDataLoss {
		return fmt.Errorf("nothing was changed: applying the topology %w: %s", ErrDataLoss, strings.Join(losses, "; "))
	}
	// Continue after a refusal: services that lack a consumer do not work.
	var refused error
	for _, d := range diffs {
		if d.Lowers != "" && !o.lowers() && o.OnKept != nil {
			o.OnKept(d)
		}
		if d.apply == nil {
			continue
		}
		err := d.apply(ctx)
		switch {
		case err == nil:
		case !errors.Is(err, errKept) && (!d.protects || !isRefusal(err)):
			return errors.Join(fmt.Errorf("apply %s %s: %w", d.Kind, d.Name, err), refused)
		case o.Refused != nil:
			o.Refused(d, err)
		default:
			refused = errors.Join(refused, fmt.Errorf("apply %s %s (%s): %w", d.Kind, d.Name, d.Detail, err))
		}
	}
	return refused
}

// errKept means that the server accepted an update, and left a setting unchanged.
var errKept = errors.New("the server left it unchanged")

// isRefusal reports whether the server refuses a change and would refuse it again.
func isRefusal(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.Code < http.StatusServiceUnavailable
}

// rollupStays returns an error if roll-ups should be forbidden and are still allowed. JetStream silently allows them
// again if another setting of the stream needs them.
func rollupStays(want, have jetstream.StreamConfig) error {
	switch {
	case want.AllowRollup || !have.AllowRollup:
		return nil
	case have.SubjectDeleteMarkerTTL > 0:
		return fmt.Errorf("rollup: %w: subject_delete_marker_ttl needs it; set that to 0", errKept)
	default:
		return fmt.Errorf("rollup: %w", errKept)
	}
}

// lowers reports whether settings may be lowered.
func (o Options) lowers() bool { return o.AllowLowering || o.AllowDataLoss }

// Plan compares the server with the declaration. If it returns no difference, Apply would do nothing.
func Plan(ctx context.Context, js jetstream.JetStream, o Options) ([]Difference, error) {
	p := planner{js: js, o: o}
	for _, c := range streams {
		if o.NoEvents && c.Name == StreamEvents {
			continue
		}
		if err := p.stream(ctx, streamConfig(c, o)); err != nil {
			return nil, fmt.Errorf("read stream %s: %w", c.Name, err)
		}
	}
	for _, b := range buckets {
		if err := p.bucket(ctx, b); err != nil {
			return nil, fmt.Errorf("read bucket %s: %w", b.name, err)
		}
	}
	for _, c := range o.durables() {
		if err := p.consumer(ctx, c); err != nil {
			return nil, fmt.Errorf("read consumer %s/%s: %w", c.stream, c.config.Durable, err)
		}
	}
	return p.diffs, nil
}

// planner collects the differences.
type planner struct {
	js    jetstream.JetStream
	o     Options
	diffs []Difference
}

func (p *planner) missing(kind, name string, create func(context.Context) error) {
	p.diffs = append(p.diffs, Difference{Kind: kind, Name: name, Detail: "missing", Missing: true, apply: create})
}

func (p *planner) stream(ctx context.Context, want jetstream.StreamConfig) error {
	s, err := p.js.Stream(ctx, want.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		p.missing("stream", want.Name, func(ctx context.Context) error {
			_, err := p.js.CreateStream(ctx, want)
			return err
		})
		return nil
	case err != nil:
		return err
	}
	m := merge(s.CachedInfo().Config, p.o.lowers(), streamSettings(want, s.CachedInfo().Config))
	return p.update("stream", want.Name, m, want,
		func(c jetstream.StreamConfig) (string, error) { return dataLoss(ctx, c, s) })
}

func (p *planner) bucket(ctx context.Context, b bucket) error {
	want := b.stream(p.o)
	s, err := p.js.Stream(ctx, want.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		p.missing("bucket", b.name, func(ctx context.Context) error {
			_, err := p.js.CreateStream(ctx, want)
			return err
		})
		return nil
	case err != nil:
		return err
	}
	have := s.CachedInfo().Config
	m := merge(have, p.o.lowers(), bucketSettings(want, have))
	wanted := have
	wanted.MaxMsgsPerSubject = want.MaxMsgsPerSubject
	return p.update("bucket", b.name, m, wanted, func(c jetstream.StreamConfig) (string, error) {
		if !isLowerLimit(c.MaxMsgsPerSubject, have.MaxMsgsPerSubject) {
			return "", nil
		}
		return olderValues(s.CachedInfo()), nil
	})
}

// update adds the difference between a stream, or a bucket's stream, and the declaration. loses describes the messages
// that a configuration would lose.
func (p *planner) update(
	kind, name string, m merged[jetstream.StreamConfig], want jetstream.StreamConfig,
	loses func(jetstream.StreamConfig) (string, error),
) error {
	if len(m.changes) == 0 {
		return nil
	}
	d := Difference{
		Kind:     kind,
		Name:     name,
		Detail:   strings.Join(m.changes, ", "),
		Lowers:   strings.Join(m.lowers, ", "),
		protects: m.protects,
	}
	var err error
	if d.DataLoss, err = loses(want); err != nil {
		return err
	}
	if m.differs {
		if d.appliedLoss, err = loses(m.config); err != nil {
			return err
		}
		d.apply = func(ctx context.Context) error {
			s, err := p.js.UpdateStream(ctx, m.config)
			if err != nil {
				return err
			}
			return rollupStays(m.config, s.CachedInfo().Config)
		}
	}
	p.diffs = append(p.diffs, d)
	return nil
}

func (p *planner) consumer(ctx context.Context, c durable) error {
	name := c.stream + "/" + c.config.Durable
	cons, err := p.js.Consumer(ctx, c.stream, c.config.Durable)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
		p.missing("consumer", name, func(ctx context.Context) error {
			_, err := p.js.CreateConsumer(ctx, c.stream, c.config)
			return err
		})
		return nil
	case err != nil:
		return err
	}
	have := cons.CachedInfo().Config
	m := merge(have, p.o.lowers(), consumerSettings(c.config, have))
	if len(m.changes) == 0 {
		return nil
	}
	d := Difference{
		Kind:   "consumer",
		Name:   name,
		Detail: strings.Join(m.changes, ", "),
		Lowers: strings.Join(m.lowers, ", "),
	}
	if have.FilterSubject != c.config.FilterSubject {
		// A changed filter does not apply to messages that were stored before.
		d.DataLoss = "for this consumer the stored messages that match only the new filter, or only the old one (" +
			have.FilterSubject +
			")"
		d.appliedLoss = d.DataLoss
	}
	if m.differs {
		d.apply = func(ctx context.Context) error {
			_, err := p.js.UpdateConsumer(ctx, c.stream, m.config)
			return err
		}
	}
	p.diffs = append(p.diffs, d)
	return nil
}
