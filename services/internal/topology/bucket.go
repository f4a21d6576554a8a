package topology

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// bucket is a key-value bucket: the stream KV_<name>, as clients of JetStream's key-value store expect it.
type bucket struct {
	name, description string
	// allowBatches lets clients store several keys at once. Group commit needs it: see state.ObservedStore.
	allowBatches bool
	// expiring buckets accept messages with a TTL, after which the server removes them.
	expiring bool
	// denyPurge keeps everybody from purging the bucket, even an administrator. JetStream cannot undo this setting.
	denyPurge bool
	// maxAge is how long a value is kept. Zero keeps it forever.
	maxAge time.Duration
}

var buckets = []bucket{
	{
		name:         BucketObserved,
		description:  "what Stripe has, as far as Driftless knows; claims of push",
		allowBatches: true,
		// The marker of a forgotten product expires. See ObservedStore.Forget.
		expiring: true,
	},
	{
		name:        BucketCursor,
		description: "positions of capture, polls and scans; pauses, halts and the guard",
		denyPurge:   true,
	},
	{
		name:        BucketBudget,
		description: "each account's rate of calls to Stripe, shared by all processes",
		denyPurge:   true,
	},
	{
		name:        BucketLink,
		description: "the catalog's product for each Stripe product with another id",
		denyPurge:   true,
	},
	{
		name:        BucketProcess,
		description: "what the processes of the services do",
		maxAge:      ProcessRetention,
	},
}

// stream returns the configuration of the bucket's stream. The client's CreateKeyValue is not used because it allows
// roll-ups: with these, a user who may write one key can remove all keys through a message header.
func (b bucket) stream(o Options) jetstream.StreamConfig {
	return streamConfig(jetstream.StreamConfig{
		Name:               "KV_" + b.name,
		Description:        b.description,
		Subjects:           []string{"$KV." + b.name + ".>"},
		MaxMsgsPerSubject:  1,
		Discard:            jetstream.DiscardNew,
		AllowDirect:        true,
		AllowAtomicPublish: b.allowBatches,
		AllowMsgTTL:        b.expiring,
		MaxAge:             b.maxAge,
		DenyDelete:         true,
		DenyPurge:          b.denyPurge,
	}, o)
}
