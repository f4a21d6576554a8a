package mesh

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Streams.
const (
	StreamCatalog  = "CATALOG"
	StreamStripe   = "STRIPE"
	StreamSync     = "SYNC"
	StreamDead     = "DEAD"
	StreamCommand  = "COMMAND"
	StreamRetry    = "RETRY"
	StreamAdvisory = "ADVISORY"
)

// Key-value buckets.
const (
	BucketObserved = "OBSERVED"
	BucketCursor   = "CURSOR"
	BucketBudget   = "BUDGET"
	BucketLink     = "LINK"
)

// Consumer is one that every account has of its own: as many durable consumers as there are accounts.
type Consumer struct{ Stream, Name string }

// Durable is the name of an account's durable consumer.
func (c Consumer) Durable(account string) string { return c.Name + "-" + account }

// The consumers of the mesh.
var (
	PushLive               = Consumer{StreamCatalog, "push-live"}
	PushBulk               = Consumer{StreamCatalog, "push-bulk"}
	PushCommand            = Consumer{StreamCommand, "push"}
	PushRetry              = Consumer{StreamRetry, "push"}
	PullStripe             = Consumer{StreamStripe, "pull"}
	PullCommand            = Consumer{StreamCommand, "pull"}
	IngestionCommand       = Consumer{StreamCommand, "ingestion"}
	ReconciliationCatalog  = Consumer{StreamCatalog, "reconciliation"}
	ReconciliationStripe   = Consumer{StreamStripe, "reconciliation"}
	ReconciliationSync     = Consumer{StreamSync, "reconciliation"}
	ReconciliationDead     = Consumer{StreamDead, "reconciliation"}
	ReconciliationObserved = Consumer{"KV_" + BucketObserved, "reconciliation"}
)

// ackWait is how long a message may go without a sign of life from its handler before it is given to another.
// Work renews it three times in that span.
const ackWait = 10 * time.Second

// StatesKept is how many states of a product, in each lane, CATALOG keeps.
const StatesKept = 16

// streams is the whole of the mesh's storage. Limits not named are JetStream's defaults: none.
var streams = []jetstream.StreamConfig{
	{
		Name:        StreamCatalog,
		Description: "desired state: the newest message of a product is what the catalog wants",
		// The fence is here because JetStream compares within one stream.
		Subjects: []string{"catalog.*.*.*", "fence.*.*"},
		// The newest states of each product, and no age limit: a service that was away for a month finds them.
		MaxMsgsPerSubject:  StatesKept,
		AllowDirect:        true,
		AllowAtomicPublish: true,
	},
	{
		Name:        StreamStripe,
		Description: "what was seen in Stripe, in order of arrival",
		Subjects:    []string{"stripe.*.*"},
		// As long as Stripe remembers its events. No limit per product: events that pushed each other out unread would
		// be lost, since the reading of /v1/events counts them as stored.
		MaxAge: 30 * 24 * time.Hour,
		// The same event arrives by webhook and by reading /v1/events; consumers must not count on this window.
		Duplicates: time.Hour,
	},
	{
		Name:        StreamSync,
		Description: "the audit trail",
		Subjects:    []string{"sync.*.*.*"},
		MaxAge:      30 * 24 * time.Hour,
		// Many processes' outcomes of the same moment are one write to disk.
		AllowAtomicPublish: true,
	},
	{
		Name:        StreamDead,
		Description: "what could not be applied, with the reason; the newest of each product and service",
		Subjects:    []string{"dead.*.*.*"},
		// A product that is refused again and again has one dead letter, its newest.
		MaxMsgsPerSubject: 1,
		AllowDirect:       true,
	},
	{
		Name:        StreamCommand,
		Description: "orders to the services",
		Subjects:    []string{"command.>"},
		Retention:   jetstream.WorkQueuePolicy,
	},
	{
		Name:        StreamRetry,
		Description: "products that a service comes back to later: as schedules, and as what has come due",
		Subjects:    []string{"retry.*.*.*", "retry.due.*.*.*"},
		// What came due is of the newest failure; an older one says nothing more.
		MaxMsgsPerSubject: 1,
		AllowMsgSchedules: true,
	},
	{
		Name:        StreamAdvisory,
		Description: "the server's own word on messages that were given up: nothing vanishes silently",
		Subjects: []string{
			"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>",
			"$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>",
		},
		MaxAge: 7 * 24 * time.Hour,
	},
}

var buckets = []jetstream.KeyValueConfig{
	{Bucket: BucketObserved, Description: "what Stripe holds as far as is known; the claim of the push at work", History: 1},
	{Bucket: BucketCursor, Description: "positions in /v1/events, of snapshots and of scans", History: 1},
	{Bucket: BucketBudget, Description: "what the processes that call Stripe share of each account's rates", History: 1},
	{Bucket: BucketLink, Description: "which product of the catalog a Stripe product of another id stands for", History: 1},
}

// batched are the buckets whose writes may come as atomic batches; the others' writers are few.
var batched = map[string]bool{BucketObserved: true}

// consumers lists every consumer with its filter, in which {account} stands for the account.
var consumers = []struct {
	Consumer
	filter        string
	maxAckPending int
}{
	// Messages that are to be tried again within seconds hold a place each.
	{PushLive, "catalog.{account}.live.*", 8192},
	{PushBulk, "catalog.{account}.bulk.*", 8192},
	{PushCommand, "command.push.{account}.>", 8192},
	{PushRetry, "retry.due.push.{account}.*", 1024},
	{PullStripe, "stripe.{account}.*", 8192},
	{PullCommand, "command.pull.{account}.>", 16},
	{IngestionCommand, "command.ingestion.{account}.>", 16},
	{ReconciliationCatalog, "catalog.{account}.*.*", 4096},
	{ReconciliationStripe, "stripe.{account}.*", 4096},
	{ReconciliationSync, "sync.{account}.*.*", 4096},
	{ReconciliationDead, "dead.*.{account}.*", 4096},
	{ReconciliationObserved, "$KV.OBSERVED.{account}.*", 4096},
}

// TopologyOptions are what differs between installations.
type TopologyOptions struct {
	// Replicas of every stream; 0 means 1. Use 3 in a cluster.
	Replicas int
	// Placement of every stream in a cluster, or a super-cluster; anywhere if it names nothing.
	Placement Placement
	// AllowDataLoss carries out what would lose messages; without it ApplyTopology refuses such changes.
	AllowDataLoss bool
	// Accounts that get consumers; DefaultAccount if none is named. Those of accounts that are not named are left as they
	// are.
	Accounts []string
}

// DefaultAccount is the name of the account where only one is used.
const DefaultAccount = "default"

// durable is a consumer of an account as it should be.
type durable struct {
	stream string
	config jetstream.ConsumerConfig
}

// Placement says on which servers of a cluster streams live.
type Placement struct {
	// Cluster of a super-cluster.
	Cluster string
	// Tags that a server must have, all of them (server_tags in its configuration).
	Tags []string
}

func (o TopologyOptions) accounts() []string {
	if len(o.Accounts) == 0 {
		return []string{DefaultAccount}
	}
	return o.Accounts
}

func (o TopologyOptions) placement() *jetstream.Placement {
	if o.Placement.Cluster == "" && len(o.Placement.Tags) == 0 {
		return nil
	}
	return &jetstream.Placement{Cluster: o.Placement.Cluster, Tags: o.Placement.Tags}
}

func (o TopologyOptions) durables() []durable {
	var out []durable
	for _, account := range o.accounts() {
		for _, c := range consumers {
			filter := strings.ReplaceAll(c.filter, "{account}", account)
			out = append(out, durable{c.Stream, consumerConfig(c.Durable(account), filter, c.maxAckPending)})
		}
	}
	return out
}

// Difference is one way in which a server's topology is not the one declared here.
type Difference struct {
	Kind string `json:"kind"` // stream, bucket or consumer
	Name string `json:"name"`
	// Detail says what is missing or differs.
	Detail string `json:"detail"`
	// Missing is true when nothing of that name exists.
	Missing bool `json:"missing"`
	// Loses says which messages the change would lose; empty for none.
	Loses string `json:"loses,omitempty"`
}

func (d Difference) String() string {
	s := d.Kind + " " + d.Name + ": " + d.Detail
	if d.Loses != "" {
		s += "; THIS LOSES " + d.Loses
	}
	return s
}

// ErrLoses is the error of ApplyTopology when a change would lose messages and that is not allowed.
var ErrLoses = errors.New("would lose messages")

func streamConfig(c jetstream.StreamConfig, o TopologyOptions) jetstream.StreamConfig {
	c.Replicas = max(o.Replicas, 1)
	c.Storage = jetstream.FileStorage
	c.Placement = o.placement()
	return c
}

func bucketConfig(c jetstream.KeyValueConfig, o TopologyOptions) jetstream.KeyValueConfig {
	c.Replicas = max(o.Replicas, 1)
	c.Storage = jetstream.FileStorage
	c.Placement = o.placement()
	return c
}

func consumerConfig(name, filter string, maxAckPending int) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       name,
		FilterSubject: filter,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       ackWait,
		// Give-up is decided by the handler, which writes a dead letter; the server's own limit would drop silently.
		MaxDeliver:    -1,
		MaxAckPending: maxAckPending,
	}
}

// ApplyTopology creates what is missing and updates what differs. One process does this, before the services
// start; it is safe to repeat. Consumers that exist keep their position. It changes nothing at all, and returns ErrLoses,
// if one of the changes would lose messages and the options do not allow that.
func ApplyTopology(ctx context.Context, js jetstream.JetStream, o TopologyOptions) error {
	diffs, err := PlanTopology(ctx, js, o)
	if err != nil {
		return err
	}
	if lossy := slices.DeleteFunc(slices.Clone(diffs), func(d Difference) bool { return d.Loses == "" }); len(lossy) > 0 && !o.AllowDataLoss {
		whats := make([]string, len(lossy))
		for i, d := range lossy {
			whats[i] = d.Kind + " " + d.Name + " (" + d.Detail + "): " + d.Loses
		}
		return fmt.Errorf("nothing was changed: applying the topology %w: %s", ErrLoses, strings.Join(whats, "; "))
	}
	differs := func(kind, name string) bool {
		for _, d := range diffs {
			if d.Kind == kind && d.Name == name {
				return true
			}
		}
		return false
	}
	for _, c := range streams {
		if !differs("stream", c.Name) {
			continue
		}
		if _, err := js.CreateOrUpdateStream(ctx, streamConfig(c, o)); err != nil {
			return fmt.Errorf("apply stream %s: %w", c.Name, err)
		}
	}
	for _, c := range buckets {
		if !differs("bucket", c.Bucket) {
			continue
		}
		if _, err := js.CreateOrUpdateKeyValue(ctx, bucketConfig(c, o)); err != nil {
			return fmt.Errorf("apply bucket %s: %w", c.Bucket, err)
		}
		if err := allowBatches(ctx, js, c.Bucket); err != nil {
			return fmt.Errorf("apply bucket %s: %w", c.Bucket, err)
		}
	}
	for _, c := range o.durables() {
		if !differs("consumer", c.stream+"/"+c.config.Durable) {
			continue
		}
		if _, err := js.CreateOrUpdateConsumer(ctx, c.stream, c.config); err != nil {
			return fmt.Errorf("apply consumer %s of %s: %w", c.config.Durable, c.stream, err)
		}
	}
	return nil
}

// allowBatches sets what a bucket's configuration has no word for.
func allowBatches(ctx context.Context, js jetstream.JetStream, bucket string) error {
	s, err := js.Stream(ctx, "KV_"+bucket)
	if err != nil {
		return err
	}
	config := s.CachedInfo().Config
	if config.AllowAtomicPublish == batched[bucket] {
		return nil
	}
	config.AllowAtomicPublish = batched[bucket]
	_, err = js.UpdateStream(ctx, config)
	return err
}

// PlanTopology compares the server with the declaration; no difference means that ApplyTopology would do nothing.
func PlanTopology(ctx context.Context, js jetstream.JetStream, o TopologyOptions) ([]Difference, error) {
	var diffs []Difference
	add := func(kind, name string, err error, changed []string, loses string) error {
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrBucketNotFound), errors.Is(err, jetstream.ErrConsumerNotFound):
			diffs = append(diffs, Difference{Kind: kind, Name: name, Detail: "missing", Missing: true})
		case err != nil:
			return fmt.Errorf("read %s %s: %w", kind, name, err)
		case len(changed) > 0:
			diffs = append(diffs, Difference{Kind: kind, Name: name, Detail: strings.Join(changed, ", "), Loses: loses})
		}
		return nil
	}
	for _, want := range streams {
		want = streamConfig(want, o)
		var changed []string
		var loses string
		s, err := js.Stream(ctx, want.Name)
		if err == nil {
			changed = streamChanges(want, s.CachedInfo().Config)
			loses, err = streamLoses(ctx, want, s)
		}
		if err := add("stream", want.Name, err, changed, loses); err != nil {
			return nil, err
		}
	}
	for _, want := range buckets {
		want = bucketConfig(want, o)
		var changed []string
		var loses string
		s, err := js.Stream(ctx, "KV_"+want.Bucket)
		if err == nil {
			have := s.CachedInfo().Config
			changed = changes(
				setting{"history", int64(want.History), have.MaxMsgsPerSubject},
				setting{"replicas", want.Replicas, have.Replicas},
				setting{"placement", placed(want.Placement), placed(have.Placement)},
				setting{"atomic publish", batched[want.Bucket], have.AllowAtomicPublish},
				setting{"description", want.Description, have.Description})
			if h := have.MaxMsgsPerSubject; h < 0 || h > int64(want.History) {
				loses = olderOf(s.CachedInfo())
			}
		}
		if err := add("bucket", want.Bucket, err, changed, loses); err != nil {
			return nil, err
		}
	}
	for _, c := range o.durables() {
		want := c.config
		var changed []string
		var loses string
		cons, err := js.Consumer(ctx, c.stream, want.Durable)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			err = jetstream.ErrConsumerNotFound
		}
		if err == nil {
			have := cons.CachedInfo().Config
			changed = changes(
				setting{"filter", want.FilterSubject, have.FilterSubject},
				setting{"ack wait", want.AckWait, have.AckWait},
				setting{"max deliver", want.MaxDeliver, have.MaxDeliver},
				setting{"max ack pending", want.MaxAckPending, have.MaxAckPending})
			if have.FilterSubject != want.FilterSubject {
				// A changed filter does not go back to what was stored before.
				loses = "sight of what is stored already and fits only the new filter, or was to be delivered by the old one (" + have.FilterSubject + ")"
			}
		}
		if err := add("consumer", c.stream+"/"+want.Durable, err, changed, loses); err != nil {
			return nil, err
		}
	}
	return diffs, nil
}

func streamChanges(want, have jetstream.StreamConfig) []string {
	if want.MaxMsgsPerSubject == 0 {
		want.MaxMsgsPerSubject = -1
	}
	if want.Duplicates == 0 {
		want.Duplicates = have.Duplicates
	}
	return changes(
		setting{"subjects", want.Subjects, have.Subjects},
		setting{"retention", want.Retention, have.Retention},
		setting{"max messages per subject", want.MaxMsgsPerSubject, have.MaxMsgsPerSubject},
		setting{"max age", want.MaxAge, have.MaxAge},
		setting{"duplicate window", want.Duplicates, have.Duplicates},
		setting{"direct get", want.AllowDirect, have.AllowDirect},
		setting{"atomic publish", want.AllowAtomicPublish, have.AllowAtomicPublish},
		setting{"message schedules", want.AllowMsgSchedules, have.AllowMsgSchedules},
		setting{"replicas", want.Replicas, have.Replicas},
		setting{"placement", placed(want.Placement), placed(have.Placement)},
		setting{"description", want.Description, have.Description})
}

// placed is a placement to be compared; nil and empty are the same.
func placed(p *jetstream.Placement) string {
	if p == nil {
		return "anywhere"
	}
	words := slices.Clone(p.Tags)
	slices.Sort(words)
	if p.Cluster != "" {
		words = append(words, "cluster "+p.Cluster)
	}
	if len(words) == 0 {
		return "anywhere"
	}
	return strings.Join(words, " and ")
}

type setting struct {
	name       string
	want, have any
}

func changes(settings ...setting) []string {
	var out []string
	for _, s := range settings {
		if !reflect.DeepEqual(s.want, s.have) {
			out = append(out, fmt.Sprintf("%s is %v, declared %v", s.name, s.have, s.want))
		}
	}
	return out
}
