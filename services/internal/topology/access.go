package topology

import (
	"slices"
	"strings"
)

// AdminUser is the client that creates and migrates streams, buckets and consumers. It never receives messages.
const AdminUser = "topology"

// UserInfo is the subject on which the server tells a client the rights of its own user. No work needs it: a user that
// may not ask only does not know what it lacks.
const UserInfo = "$SYS.REQ.USER.INFO"

// access is what one service does on the mesh: its row of the table in docs/architecture.md. {account} is a placeholder
// for the account.
type access struct {
	service string
	// consumes lists its durable consumers, and pauses those that it may pause.
	consumes, pauses []Consumer
	// publishes lists the subjects of streams that it writes.
	publishes []string
	// readsLatest lists the subjects whose latest message it reads, on streams with direct get.
	readsLatest []string
	// batchReads lists the streams with direct get from which it reads many messages at once. Such a request names its
	// subject in the body, which JetStream's permissions do not check.
	batchReads []string
	// readsUnscoped lists the streams without direct get from which it reads messages, and deletes those from which it
	// deletes messages. JetStream's permissions cannot distinguish subjects there.
	readsUnscoped, deletes []string
	// reads and writes list the keys of buckets.
	reads, writes []Key
	// listsKeys lists the buckets whose keys it lists, counts or follows. JetStream's permissions cannot distinguish
	// keys there. No service creates consumers for that: the right to create one with a random name is the right to
	// create and delete any.
	listsKeys []string
	// listsConsumers lists the streams whose consumers it lists.
	listsConsumers []string
	// readsSizes reports whether it reads the size of every stream and bucket.
	readsSizes bool
}

var accesses = []access{
	{
		service:  Ingestion,
		consumes: []Consumer{IngestionCommand},
		publishes: []string{
			"catalog.{account}.*.*", "fence.{account}.*", "dead.ingestion.{account}.*", "command.ingestion.{account}.>",
		},
		readsLatest: []string{"catalog.{account}.>", "fence.{account}.*", "dead.ingestion.{account}.*"},
		// All stored states of a product are read if the latest is not authentic.
		batchReads: []string{StreamCatalog},
		// The table of Stripe's ids follows the bucket.
		listsKeys: []string{BucketObserved},
		writes: []Key{
			KeyOrigin,
			KeyMapping,
			KeySnapshot,
			KeyCapture,
			KeyHistory,
			KeyProcess.Sub(Ingestion).Sub("*"),
		},
		reads: []Key{KeyPaused.Sub(Ingestion), KeyObserved.Sub("*")},
	},
	{
		service:  Push,
		consumes: []Consumer{PushLive, PushBulk, PushCommand, PushRetry},
		pauses:   []Consumer{PushLive, PushBulk, PushCommand, PushRetry},
		publishes: []string{
			"sync.{account}.*.*", "dead.push.{account}.*", "retry.push.{account}.*",
			"retry." + RetryOverlap + ".{account}.*",
			// Push asks ingestion for a product that CATALOG has lost.
			"command.ingestion.{account}." + VerbBackfill,
		},
		readsLatest:   []string{"catalog.{account}.>"},
		batchReads:    []string{StreamCatalog},
		readsUnscoped: []string{StreamRetry},
		deletes:       []string{StreamRetry},
		listsKeys:     []string{BucketObserved},
		reads:         []Key{KeyPaused.Sub(Push)},
		writes: []Key{
			KeyObserved.Sub("*"),
			KeyBudget,
			KeyBudgetBell,
			KeyHalted,
			KeyGuard,
			KeyCreationsHeld,
			KeyStripeMode,
			KeyLink.Sub("*"),
			KeyProcess.Sub(Push).Sub("*"),
		},
	},
	{
		service:  Pull,
		consumes: []Consumer{PullStripe, PullCommand},
		// Pull commands itself to scan when Stripe's events do not reach back to its position.
		publishes: []string{
			"stripe.{account}.*", "sync.{account}.*.*", "dead.pull.{account}.*",
			"command.pull.{account}.>",
		},
		listsKeys: []string{BucketObserved, BucketLink},
		writes: []Key{
			KeyObserved.Sub("*"),
			KeyBudget,
			KeyBudgetBell,
			KeyEvents,
			KeyPoll,
			KeyScan,
			KeyScanState,
			KeyUsage,
			KeyStripeMode,
			KeyProcess.Sub(Pull).Sub("*"),
		},
		reads: []Key{KeyPaused.Sub(Pull), KeyLink.Sub("*")},
	},
	{
		service: Reconciliation,
		consumes: []Consumer{
			ReconciliationCatalog, ReconciliationStripe, ReconciliationSync, ReconciliationDead,
			ReconciliationObserved,
		},
		publishes: []string{
			"sync.{account}.*.*", "dead.reconciliation.{account}.*", "command.*.{account}.>", "events.{account}.*.*",
		},
		readsLatest: []string{"catalog.{account}.>", "dead.*.{account}.*"},
		// The oldest message of each backlog shows how far a service is behind, and since when.
		batchReads:     []string{StreamCatalog, StreamDead, "KV_" + BucketObserved},
		readsUnscoped:  []string{StreamRetry, StreamCommand, StreamStripe, StreamSync},
		deletes:        []string{StreamDead},
		listsKeys:      []string{BucketProcess},
		listsConsumers: ConsumedStreams(),
		readsSizes:     true,
		reads: []Key{
			KeyBudget,
			KeyCapture,
			KeyHalted,
			KeyPoll,
			KeyScan,
			KeyUsage,
			KeyCreationsHeld,
			KeyLink.Sub("*"),
			// A product may be observed before the ledger knows it.
			KeyObserved.Sub("*"),
			KeyProcess.Sub("*").Sub("*"),
		},
		writes: []Key{KeyGuard, KeyPaused.Sub("*"), KeyProcess.Sub(Reconciliation).Sub("*")},
	},
}

// BucketsOf returns the buckets that a service uses; all buckets for any other user.
func BucketsOf(service string) []string {
	all := make([]string, len(buckets))
	for i, b := range buckets {
		all[i] = b.name
	}
	i := slices.IndexFunc(accesses, func(a access) bool { return a.service == service })
	if i < 0 {
		return all
	}
	a := accesses[i]
	return slices.DeleteFunc(all, func(bucket string) bool {
		return !slices.ContainsFunc(slices.Concat(a.reads, a.writes), func(k Key) bool { return k.bucket == bucket })
	})
}

// Permissions lists the NATS subjects that one user of the mesh needs, and no others.
type Permissions struct {
	// User is the service, AdminUser, or a reader of events.
	User string `json:"user"`
	// Publish lists the subjects that the user may publish on.
	Publish []string `json:"publish"`
	// Subscribe lists the subjects that the user may subscribe to: its inbox for answers and deliveries.
	Subscribe []string `json:"subscribe"`

	// isReader is set for a program that reads events.
	isReader bool
}

// InboxPrefix returns the prefix of the inboxes of a client. Each client has its own, so that no other client can be
// permitted to subscribe to it.
func InboxPrefix(name string) string { return "_INBOX_" + name }

// UserPermissions returns what the users of the mesh need for the accounts of the options: the four services, and
// AdminUser.
func UserPermissions(o Options) []Permissions {
	out := make([]Permissions, 0, len(accesses)+1)
	for _, a := range accesses {
		out = append(out, a.permissions(o))
	}
	return append(out, topologyPermissions(o))
}

func (a access) permissions(o Options) Permissions {
	allow := []string{"$JS.API.INFO", UserInfo}
	info := func(stream string) { allow = append(allow, "$JS.API.STREAM.INFO."+stream) }
	for _, bucket := range BucketsOf(a.service) {
		info("KV_" + bucket)
	}
	for _, stream := range a.batchReads {
		allow = append(allow, "$JS.API.DIRECT.GET."+stream)
	}
	for _, stream := range a.readsUnscoped {
		info(stream)
		allow = append(allow, "$JS.API.STREAM.MSG.GET."+stream)
	}
	for _, stream := range a.deletes {
		info(stream)
		allow = append(allow, "$JS.API.STREAM.MSG.DELETE."+stream)
	}
	for _, bucket := range a.listsKeys {
		allow = append(allow, "$JS.API.DIRECT.GET.KV_"+bucket, "$JS.API.STREAM.MSG.GET.KV_"+bucket)
	}
	for _, stream := range a.listsConsumers {
		info(stream)
		allow = append(allow, "$JS.API.CONSUMER.LIST."+stream)
	}
	if a.readsSizes {
		for _, stream := range o.StreamNames() {
			info(stream)
		}
	}
	for _, account := range o.accounts() {
		of := func(s string) string { return strings.ReplaceAll(s, accountPlaceholder, account) }
		for _, c := range a.consumes {
			name := c.Stream + "." + c.Durable(account)
			allow = append(allow, "$JS.API.CONSUMER.INFO."+name, "$JS.API.CONSUMER.MSG.NEXT."+name,
				// Both forms of acknowledgement are needed: the server's feature flag js_ack_fc_v2 chooses one.
				"$JS.ACK."+name+".>", "$JS.ACK.*.*."+name+".>")
		}
		for _, c := range a.pauses {
			allow = append(allow, "$JS.API.CONSUMER.PAUSE."+c.Stream+"."+c.Durable(account))
		}
		for _, s := range a.publishes {
			if o.NoEvents && StreamOf(s) == StreamEvents {
				continue
			}
			allow = append(allow, of(s))
		}
		for _, s := range a.readsLatest {
			stream := StreamOf(s)
			info(stream)
			allow = append(allow, "$JS.API.DIRECT.GET."+stream+"."+of(s))
		}
		for _, k := range slices.Concat(a.reads, a.writes) {
			allow = append(allow, "$JS.API.DIRECT.GET.KV_"+k.bucket+"."+k.Subject(account))
		}
		for _, k := range a.writes {
			allow = append(allow, k.Subject(account))
		}
	}
	return Permissions{User: a.service, Publish: distinct(allow), Subscribe: []string{InboxPrefix(a.service) + ".>"}}
}

func topologyPermissions(o Options) Permissions {
	allow := []string{"$JS.API.INFO", UserInfo}
	for _, name := range o.StreamNames() {
		allow = append(allow, "$JS.API.STREAM.INFO."+name, "$JS.API.STREAM.CREATE."+name, "$JS.API.STREAM.UPDATE."+name)
	}
	for _, c := range o.durables() {
		name := c.stream + "." + c.config.Durable
		allow = append(allow, "$JS.API.CONSUMER.INFO."+name, "$JS.API.CONSUMER.CREATE."+name+"."+c.config.FilterSubject)
	}
	return Permissions{User: AdminUser, Publish: allow, Subscribe: []string{InboxPrefix(AdminUser) + ".>"}}
}

// StreamNames returns the names of all streams, including those of the buckets.
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

// StreamNames returns the names of the streams that the options want, including those of the buckets.
func (o Options) StreamNames() []string {
	return slices.DeleteFunc(StreamNames(), func(name string) bool { return o.NoEvents && name == StreamEvents })
}

// StreamOf returns the stream of a subject, or of a pattern of subjects, judged by its first token. It returns "" if no
// stream has it.
func StreamOf(subject string) string {
	kind, _, _ := strings.Cut(subject, ".")
	for _, s := range streams {
		for _, pattern := range s.Subjects {
			if first, _, _ := strings.Cut(pattern, "."); first == kind {
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
