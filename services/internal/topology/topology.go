package topology

import (
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
	StreamEvents   = "EVENTS"
)

// Key-value buckets.
const (
	BucketObserved = "OBSERVED"
	BucketCursor   = "CURSOR"
	BucketBudget   = "BUDGET"
	BucketLink     = "LINK"
	BucketProcess  = "PROCESS"
)

// Consumer is a kind of durable consumer. Every account has its own.
type Consumer struct{ Stream, Name string }

// Durable returns the name of an account's durable consumer.
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

// AckWait is how long a message may be in progress without a sign of life from its handler, before it is redelivered.
// Consume renews it three times within that time. A message is lost to the client if it was in flight when a NATS
// server died, or was sent to a server that hangs. It is redelivered after AckWait, so AckWait is about as long as the
// shortest election of a leader. It must be longer than 3.3 s, the interval at which workers of earlier versions renew
// it.
const AckWait = 4 * time.Second

// ProcessRetention is how long the last record of a process that ended is kept.
const ProcessRetention = time.Hour

// EventRetention is how long events for other programs are kept.
const EventRetention = 7 * 24 * time.Hour

// formerAckWait was declared by earlier versions. Shortening it overrides nothing that an operator has set.
const formerAckWait = 10 * time.Second

// MaxStatesPerProduct is how many states of a product CATALOG keeps in each lane.
const MaxStatesPerProduct = 16

// streams is the mesh's storage apart from buckets. Limits that are not set are JetStream's defaults: none.
var streams = []jetstream.StreamConfig{
	{
		Name:        StreamCatalog,
		Description: "desired state: the latest message of a product is what the catalog wants",
		// The fence is on this stream because JetStream compares within one stream only.
		Subjects: []string{"catalog.*.*.*", "fence.*.*"},
		// The latest states of each product are kept without an age limit: a service that was away for a month finds
		// them.
		MaxMsgsPerSubject:  MaxStatesPerProduct,
		AllowDirect:        true,
		AllowAtomicPublish: true,
	},
	{
		Name:        StreamStripe,
		Description: "events of Stripe, in order of arrival",
		Subjects:    []string{"stripe.*.*"},
		// Stripe keeps its events as long. There is no limit per product: an event that pushed out an unread one would
		// lose it, since the poll of /v1/events counts it as stored.
		MaxAge: 30 * 24 * time.Hour,
		// The same event arrives by webhook and by polling /v1/events. Consumers must not rely on this window.
		Duplicates: time.Hour,
	},
	{
		Name:        StreamSync,
		Description: "the audit trail",
		Subjects:    []string{"sync.*.*.*"},
		MaxAge:      30 * 24 * time.Hour,
		// The outcomes of many processes are stored with one write to disk.
		AllowAtomicPublish: true,
	},
	{
		Name:        StreamDead,
		Description: "dead letters: changes that cannot be applied; the latest of each product and service",
		Subjects:    []string{"dead.*.*.*"},
		// A product that is refused repeatedly has one dead letter, the latest.
		MaxMsgsPerSubject: 1,
		AllowDirect:       true,
	},
	{
		Name:        StreamCommand,
		Description: "commands to the services",
		Subjects:    []string{"command.>"},
		Retention:   jetstream.WorkQueuePolicy,
	},
	{
		Name:        StreamRetry,
		Description: "retries of products: schedules, and retries that are due",
		Subjects:    []string{"retry.*.*.*", "retry.due.*.*.*"},
		// A due retry is about the latest failure; an older one adds nothing.
		MaxMsgsPerSubject: 1,
		AllowMsgSchedules: true,
	},
	{
		Name:        StreamAdvisory,
		Description: "advisories of the server about messages that were given up",
		Subjects: []string{
			"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>",
			"$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>",
		},
		MaxAge: 7 * 24 * time.Hour,
	},
	{
		Name:        StreamEvents,
		Description: "events for other programs, as CloudEvents",
		Subjects:    []string{"events.*.*.*"},
		MaxAge:      EventRetention,
		// A flood of events must not fill the disk that the other streams need. An operator's limit stays.
		MaxBytes: 256 << 20,
		// A process that dies leaves events to another, which may publish them again.
		Duplicates: 10 * time.Minute,
		// Programs read from any position without a consumer.
		AllowDirect:        true,
		AllowAtomicPublish: true,
	},
}

// Consumers lists every consumer with its filter. {account} is a placeholder for the account.
var Consumers = []struct {
	Consumer
	filter        string
	maxAckPending int
}{
	// Messages that are retried within seconds count as pending acks.
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

// Options are the settings that differ between installations.
type Options struct {
	// Replicas of every stream. Defaults to 1; use 3 in a cluster.
	Replicas int
	// Placement of every stream in a cluster or super-cluster. Defaults to anywhere.
	Placement Placement
	// AllowLowering allows changes that lower replicas or limits, or remove a subject, a placement or a feature.
	// Without it Apply leaves such settings as they are, and calls OnKept.
	AllowLowering bool
	// AllowDataLoss allows changes that lose messages, lowering included. Without it Apply refuses them.
	AllowDataLoss bool
	// OnKept is called for each difference that Apply leaves because it would lower something; nil ignores them.
	OnKept func(Difference)
	// Refused is called for protections that the server does not accept, with the reason. The mesh works without them.
	// If it is nil, they are errors of Apply.
	Refused func(Difference, error)
	// NoEvents leaves out the stream of events for other programs, and the permissions for it. A stream that exists
	// stays, with its events until they expire.
	NoEvents bool
	// Accounts that get consumers. Defaults to DefaultAccount. Consumers of other accounts stay as they are.
	Accounts []string
}

// DefaultAccount is the name of the account if only one is used.
const DefaultAccount = "default"

// durable is the declared consumer of an account.
type durable struct {
	stream string
	config jetstream.ConsumerConfig
}

// Placement selects the servers of a cluster that hold streams.
type Placement struct {
	// Cluster of a super-cluster.
	Cluster string
	// Tags that a server must have, all of them (server_tags in its configuration).
	Tags []string
}

func (o Options) accounts() []string {
	if len(o.Accounts) == 0 {
		return []string{DefaultAccount}
	}
	return o.Accounts
}

func (o Options) placement() *jetstream.Placement {
	if o.Placement.Cluster == "" && len(o.Placement.Tags) == 0 {
		return nil
	}
	return &jetstream.Placement{Cluster: o.Placement.Cluster, Tags: o.Placement.Tags}
}

func (o Options) durables() []durable {
	var out []durable
	for _, account := range o.accounts() {
		for _, c := range Consumers {
			filter := strings.ReplaceAll(c.filter, "{account}", account)
			out = append(out, durable{c.Stream, consumerConfig(c.Durable(account), filter, c.maxAckPending)})
		}
	}
	return out
}

func streamConfig(c jetstream.StreamConfig, o Options) jetstream.StreamConfig {
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
		AckWait:       AckWait,
		// The handler decides when to give up, and writes a dead letter. The server's own limit would drop messages
		// silently.
		MaxDeliver:    -1,
		MaxAckPending: maxAckPending,
	}
}

// consumerOrder is the order in which streams are asked for their consumers; streams that are not listed are in the
// middle. A service stores the result of a message further downstream before it acknowledges the message. So at least
// one of the two is counted.
var consumerOrder = map[string]int{
	StreamCommand:          -2,
	StreamCatalog:          -1,
	"KV_" + BucketObserved: 1,
	StreamSync:             2,
	StreamDead:             2,
}

// ConsumedStreams returns the streams that have consumers, upstream first.
func ConsumedStreams() []string {
	var names []string
	for _, c := range Consumers {
		if !slices.Contains(names, c.Stream) {
			names = append(names, c.Stream)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return consumerOrder[a] - consumerOrder[b] })
	return names
}

// FilterOf returns the subjects that a consumer of an account receives, "" if the mesh has no such consumer.
func FilterOf(c Consumer, account string) string {
	for _, known := range Consumers {
		if known.Consumer == c {
			return strings.ReplaceAll(known.filter, accountPlaceholder, account)
		}
	}
	return ""
}
