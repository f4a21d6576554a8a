package topology

import (
	"slices"
	"strings"
)

// AdminUser is the client that makes and migrates streams, buckets and consumers. Its work takes no message.
const AdminUser = "topology"

// access is what one service does on the mesh: its row of the table in docs/architecture.md. {account} stands for the
// account.
type access struct {
	service string
	// consumes are its durable consumers, halts those that it may pause.
	consumes, halts []Consumer
	// publishes are the subjects of streams that it writes.
	publishes []string
	// newest are subjects of streams with direct get of which it reads the newest message.
	newest []string
	// batches are streams with direct get of which it reads many messages at once: the subject is in the request, where
	// JetStream's permissions do not look.
	batches []string
	// looks are streams without direct get of which it reads messages, and prunes those of which it removes messages:
	// JetStream cannot tell subjects apart there.
	looks, prunes []string
	// reads and writes are keys of buckets.
	reads, writes []key
	// ranges are buckets of which it lists, counts or follows the keys: JetStream cannot tell keys apart there. No
	// service makes consumers for that: the right to make one of a random name is the right to make and delete any.
	ranges []string
	// counts are streams whose consumers it lists.
	counts []string
	// weighs is true if it asks how much every stream and bucket holds.
	weighs bool
}

type key struct{ bucket, name string }

var accesses = []access{
	{
		service:  Ingestion,
		consumes: []Consumer{IngestionCommand},
		publishes: []string{
			"catalog.{account}.*.*", "fence.{account}.*", "dead.ingestion.{account}.*", "command.ingestion.{account}.>",
		},
		newest: []string{"catalog.{account}.>", "fence.{account}.*", "dead.ingestion.{account}.*"},
		// All kept states of a product, where the latest is not authentic.
		batches: []string{StreamCatalog},
		writes: []key{
			{BucketCursor, "origin.{account}"},
			{BucketCursor, "mapping.{account}"},
			{BucketCursor, "snapshot.{account}"},
			{BucketCursor, "capture.{account}"},
			{BucketCursor, "history.{account}"},
		},
		reads: []key{{BucketCursor, "paused.{account}.ingestion"}},
	},
	{
		service:  Push,
		consumes: []Consumer{PushLive, PushBulk, PushCommand, PushRetry},
		halts:    []Consumer{PushLive, PushBulk, PushCommand, PushRetry},
		publishes: []string{
			"sync.{account}.*.*", "dead.push.{account}.*", "retry.push.{account}.*",
			// It asks for a product that CATALOG has lost.
			"command.ingestion.{account}." + VerbBackfill,
		},
		newest:  []string{"catalog.{account}.>"},
		batches: []string{StreamCatalog},
		looks:   []string{StreamRetry},
		prunes:  []string{StreamRetry},
		ranges:  []string{BucketObserved},
		reads:   []key{{BucketCursor, "paused.{account}.push"}},
		writes: []key{
			{BucketObserved, "{account}.*"},
			{BucketBudget, "{account}"},
			{BucketBudget, "{account}.bell"},
			{BucketCursor, "halted.{account}"},
			{BucketCursor, "guard.{account}"},
			{BucketCursor, "creations-held.{account}"},
			{BucketCursor, "stripe-mode.{account}"},
			{BucketLink, "{account}.*"},
		},
	},
	{
		service:  Pull,
		consumes: []Consumer{PullStripe, PullCommand},
		// It orders a scan of itself when Stripe's events do not reach back to where it stopped reading.
		publishes: []string{
			"stripe.{account}.*", "sync.{account}.*.*", "dead.pull.{account}.*",
			"command.pull.{account}.>",
		},
		ranges: []string{BucketObserved, BucketLink},
		writes: []key{
			{BucketObserved, "{account}.*"},
			{BucketBudget, "{account}"},
			{BucketBudget, "{account}.bell"},
			{BucketCursor, "events.{account}"},
			{BucketCursor, "poll.{account}"},
			{BucketCursor, "scan.{account}"},
			{BucketCursor, "scan-state.{account}"},
			{BucketCursor, "stripe-mode.{account}"},
		},
		reads: []key{{BucketCursor, "paused.{account}.pull"}, {BucketLink, "{account}.*"}},
	},
	{
		service: Reconciliation,
		consumes: []Consumer{
			ReconciliationCatalog, ReconciliationStripe, ReconciliationSync, ReconciliationDead,
			ReconciliationObserved,
		},
		publishes: []string{"sync.{account}.*.*", "dead.reconciliation.{account}.*", "command.*.{account}.>"},
		newest:    []string{"dead.*.{account}.*"},
		// The oldest message of each backlog: how far a service is, and for how long it has been there.
		batches: []string{StreamCatalog, StreamDead, "KV_" + BucketObserved},
		looks:   []string{StreamRetry, StreamCommand, StreamStripe, StreamSync},
		prunes:  []string{StreamDead},
		counts:  ConsumedStreams(),
		weighs:  true,
		reads: []key{
			{BucketBudget, "{account}"},
			{BucketCursor, "capture.{account}"},
			{BucketCursor, "halted.{account}"},
			{BucketCursor, "poll.{account}"},
			{BucketCursor, "scan.{account}"},
			{BucketCursor, "creations-held.{account}"},
			{BucketLink, "{account}.*"},
		},
		writes: []key{{BucketCursor, "guard.{account}"}, {BucketCursor, "paused.{account}.*"}},
	},
}

// BucketsOf are the buckets that a service touches; all of them if it is none of the four.
func BucketsOf(service string) []string {
	all := []string{BucketObserved, BucketCursor, BucketBudget, BucketLink}
	i := slices.IndexFunc(accesses, func(a access) bool { return a.service == service })
	if i < 0 {
		return all
	}
	a := accesses[i]
	return slices.DeleteFunc(all, func(bucket string) bool {
		return !slices.ContainsFunc(slices.Concat(a.reads, a.writes), func(k key) bool { return k.bucket == bucket })
	})
}

// Permissions are the subjects of NATS that one user of the mesh needs, and no others.
type Permissions struct {
	// User is the service, or AdminUser.
	User string `json:"user"`
	// Publish lists what may be published.
	Publish []string `json:"publish"`
	// Subscribe lists what may be subscribed to: the inbox of answers and deliveries.
	Subscribe []string `json:"subscribe"`
}

// InboxPrefix is where the answers to a client of that name arrive. It is a client's own, so that no other can be
// permitted to listen.
func InboxPrefix(name string) string { return "_INBOX_" + name }

// UserPermissions are what the users of the mesh need for the accounts of the topology: the four services, and
// AdminUser.
func UserPermissions(accounts []string) []Permissions {
	accounts = Options{Accounts: accounts}.accounts()
	out := make([]Permissions, 0, len(accesses)+1)
	for _, a := range accesses {
		out = append(out, a.permissions(accounts))
	}
	return append(out, topologyPermissions(accounts))
}

func (a access) permissions(accounts []string) Permissions {
	allow := []string{"$JS.API.INFO"}
	info := func(stream string) { allow = append(allow, "$JS.API.STREAM.INFO."+stream) }
	for _, bucket := range BucketsOf(a.service) {
		info("KV_" + bucket)
	}
	for _, stream := range a.batches {
		allow = append(allow, "$JS.API.DIRECT.GET."+stream)
	}
	for _, stream := range a.looks {
		info(stream)
		allow = append(allow, "$JS.API.STREAM.MSG.GET."+stream)
	}
	for _, stream := range a.prunes {
		info(stream)
		allow = append(allow, "$JS.API.STREAM.MSG.DELETE."+stream)
	}
	for _, bucket := range a.ranges {
		allow = append(allow, "$JS.API.DIRECT.GET.KV_"+bucket, "$JS.API.STREAM.MSG.GET.KV_"+bucket)
	}
	for _, stream := range a.counts {
		info(stream)
		allow = append(allow, "$JS.API.CONSUMER.LIST."+stream)
	}
	if a.weighs {
		for _, stream := range StreamNames() {
			info(stream)
		}
	}
	for _, account := range accounts {
		of := func(s string) string { return strings.ReplaceAll(s, "{account}", account) }
		for _, c := range a.consumes {
			name := c.Stream + "." + c.Durable(account)
			allow = append(allow, "$JS.API.CONSUMER.INFO."+name, "$JS.API.CONSUMER.MSG.NEXT."+name,
				// Both forms of acknowledgement: the server's feature flag js_ack_fc_v2 chooses.
				"$JS.ACK."+name+".>", "$JS.ACK.*.*."+name+".>")
		}
		for _, c := range a.halts {
			allow = append(allow, "$JS.API.CONSUMER.PAUSE."+c.Stream+"."+c.Durable(account))
		}
		for _, s := range a.publishes {
			allow = append(allow, of(s))
		}
		for _, s := range a.newest {
			stream := StreamOf(s)
			info(stream)
			allow = append(allow, "$JS.API.DIRECT.GET."+stream+"."+of(s))
		}
		for _, k := range slices.Concat(a.reads, a.writes) {
			allow = append(allow, "$JS.API.DIRECT.GET.KV_"+k.bucket+".$KV."+k.bucket+"."+of(k.name))
		}
		for _, k := range a.writes {
			allow = append(allow, "$KV."+k.bucket+"."+of(k.name))
		}
	}
	return Permissions{User: a.service, Publish: distinct(allow), Subscribe: []string{InboxPrefix(a.service) + ".>"}}
}

func topologyPermissions(accounts []string) Permissions {
	allow := []string{"$JS.API.INFO"}
	for _, name := range StreamNames() {
		allow = append(allow, "$JS.API.STREAM.INFO."+name, "$JS.API.STREAM.CREATE."+name, "$JS.API.STREAM.UPDATE."+name)
	}
	for _, c := range (Options{Accounts: accounts}).durables() {
		name := c.stream + "." + c.config.Durable
		allow = append(allow, "$JS.API.CONSUMER.INFO."+name, "$JS.API.CONSUMER.CREATE."+name+"."+c.config.FilterSubject)
	}
	return Permissions{User: AdminUser, Publish: allow, Subscribe: []string{InboxPrefix(AdminUser) + ".>"}}
}

// StreamNames are the names of all streams, those of the buckets among them.
func StreamNames() []string {
	names := make([]string, 0, len(streams)+len(buckets))
	for _, s := range streams {
		names = append(names, s.Name)
	}
	for _, b := range buckets {
		names = append(names, "KV_"+b.name)
	}
	return names
}

// StreamOf is the stream that a subject, or a pattern of subjects, belongs to: its first token tells.
func StreamOf(subject string) string {
	kind, _, _ := strings.Cut(subject, ".")
	for _, s := range streams {
		for _, taken := range s.Subjects {
			if first, _, _ := strings.Cut(taken, "."); first == kind {
				return s.Name
			}
		}
	}
	return ""
}

func distinct(subjects []string) []string {
	slices.Sort(subjects)
	return slices.Compact(subjects)
}
