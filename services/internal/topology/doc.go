// Package topology declares the streams, buckets, consumers, subjects, keys and permissions of the mesh on NATS. It
// compares them with those of a server, and creates and migrates them.
//
// It does not know what messages mean. It imports no other package of Driftless but the contracts.
package topology
