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

// AckWait is how long a message may go without a sign of life from its handler before it is given to another. Work
// renews it three times in that span. A message that was on its way to a client when a NATS server died, or to a server
// that hangs, is lost to the client and comes again after this time, so it is about as long as the shortest election of
// a leader. Workers of earlier versions renew every 3.3 s, so it must be longer than that.
const AckWait = 4 * time.Second

// formerAckWait was declared by earlier versions. To shorten it takes back nothing that an operator has set.
const formerAckWait = 10 * time.Second

// MaxStatesPerProduct is how many states of a product, in each lane, CATALOG keeps.
const MaxStatesPerProduct = 16

// streams is the whole of the mesh's storage. Limits not named are JetStream's defaults: none.
var streams = []jetstream.StreamConfig{
	{
		Name:        StreamCatalog,
		Description: "desired state: the newest message of a product is what the catalog wants",
		// The fence is here because JetStream compares within one stream.
		Subjects: []string{"catalog.*.*.*", "fence.*.*"},
		// The newest states of each product, and no age limit: a service that was away for a month finds them.
		MaxMsgsPerSubject:  MaxStatesPerProduct,
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

// Consumers lists every consumer with its filter, in which {account} stands for the account.
var Consumers = []struct {
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

// Options are what differs between installations.
type Options struct {
	// Replicas of every stream; 0 means 1. Use 3 in a cluster.
	Replicas int
	// Placement of every stream in a cluster, or a super-cluster; anywhere if it names nothing.
	Placement Placement
	// AllowLowering carries out what lowers replicas or limits, or removes a subject, a placement or a feature. Without
	// it Apply leaves such settings as they are, and tells Kept.
	AllowLowering bool
	// AllowDataLoss carries out what would lose messages, lowering included; without it Apply refuses that.
	AllowDataLoss bool
	// OnKept is told of what Apply leaves as it is because it would be lowered; nil is told of nothing.
	OnKept func(Difference)
	// Refused is told of protections that the server does not take, and why; the mesh works without them. If it is
	// nil they are errors of Apply.
	Refused func(Difference, error)
	// Accounts that get consumers; DefaultAccount if none is named. Those of accounts that are not named are left as
	// they are.
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
		// Give-up is decided by the handler, which writes a dead letter; the server's own limit would drop silently.
		MaxDeliver:    -1,
		MaxAckPending: maxAckPending,
	}
}

// downstream says in which order streams are asked for their consumers, those that are not named in the middle: what a
// service makes of a message is stored further down before the message is acknowledged, so that one of the two counts.
var downstream = map[string]int{
	StreamCommand:          -2,
	StreamCatalog:          -1,
	"KV_" + BucketObserved: 1,
	StreamSync:             2,
	StreamDead:             2,
}

// ConsumedStreams returns the streams that have consumers, in the order in which their state is read.
func ConsumedStreams() []string {
	var names []string
	for _, c := range Consumers {
		if !slices.Contains(names, c.Stream) {
			names = append(names, c.Stream)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return downstream[a] - downstream[b] })
	return names
}
