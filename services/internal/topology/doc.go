// Package topology names everything that the services share on NATS: streams, subjects, consumers, buckets, and the
// permissions of every user. It creates and migrates them, and plans that.
//
// It is a leaf: it knows no message's meaning, and imports nothing of ours but the contracts.
package topology
