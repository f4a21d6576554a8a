package topology

import "github.com/nats-io/nats.go/jetstream"

// bucket is a key-value bucket: the stream KV_<name>, as clients of JetStream's key-value store expect it.
type bucket struct {
	name, description string
	// batched buckets take atomic batches; the writers of the others are few.
	batched bool
	// expiring buckets take messages that the server removes after a time of their own.
	expiring bool
	// unpurged buckets can never be purged, not even by an administrator: JetStream does not take that back.
	unpurged bool
}

var buckets = []bucket{
	{
		name:        BucketObserved,
		description: "what Stripe holds as far as is known; the claim of the push at work",
		batched:     true,
		// The marker of a forgotten product goes by itself. See ObservedStore.Forget.
		expiring: true,
	},
	{
		name:        BucketCursor,
		description: "positions in /v1/events, of snapshots and of scans",
		unpurged:    true,
	},
	{
		name:        BucketBudget,
		description: "what the processes that call Stripe share of each account's rates",
		unpurged:    true,
	},
	{
		name:        BucketLink,
		description: "which product of the catalog a Stripe product of another id stands for",
		unpurged:    true,
	},
}

// stream is the bucket's stream. It is made without the client's CreateKeyValue, which allows roll-ups: with these,
// a user who may write one key removes all keys by a header of the message.
func (b bucket) stream(o Options) jetstream.StreamConfig {
	return streamConfig(jetstream.StreamConfig{
		Name:               "KV_" + b.name,
		Description:        b.description,
		Subjects:           []string{"$KV." + b.name + ".>"},
		MaxMsgsPerSubject:  1,
		Discard:            jetstream.DiscardNew,
		AllowDirect:        true,
		AllowAtomicPublish: b.batched,
		AllowMsgTTL:        b.expiring,
		DenyDelete:         true,
		DenyPurge:          b.unpurged,
	}, o)
}
