package doctor

// Ids of the checks of NATS.
const (
	NATSReachable   = "nats.reachable"
	NATSJetStream   = "nats.jetstream"
	NATSVersion     = "nats.version"
	NATSPermissions = "nats.permissions"
	NATSStream      = "nats.stream"
	NATSBucket      = "nats.bucket"
	NATSConsumer    = "nats.consumer"
	NATSReplicas    = "nats.replicas"
	NATSCluster     = "nats.cluster"
	NATSSync        = "nats.sync"
)

var natsChecks = []Check{
	{
		NATSReachable, Error,
		"NATS does not answer, or refuses the user",
		"No service works without NATS. Changes wait in Postgres' log.",
		"Start the server, or correct NATS_URL and the credentials.",
	},
	{
		NATSJetStream, Error,
		"JetStream is off, or does not answer",
		"All messages and records of the mesh are in JetStream.",
		"Start nats-server with -js, or let the account use JetStream.",
	},
	{
		NATSVersion, Error,
		"the server is older than 2.14",
		"Driftless needs atomic batches, schedules and direct reads that earlier servers lack.",
		"Upgrade nats-server.",
	},
	{
		NATSPermissions, Error,
		"the user lacks a permission that its service needs",
		"The request that needs it times out. NATS tells only the service's log.",
		"Give the user what driftless topology permissions prints.",
	},
	{
		NATSStream, Error,
		"a stream is missing or differs from its declaration",
		"Services wait for a stream that is missing. Other settings may lose messages.",
		"Run driftless topology apply.",
	},
	{
		NATSBucket, Error,
		"a bucket is missing or differs from its declaration",
		"Services wait for a bucket that is missing.",
		"Run driftless topology apply.",
	},
	{
		NATSConsumer, Error,
		"a consumer is missing or differs from its declaration",
		"The service that takes messages from it waits, or gets other messages.",
		"Run driftless topology apply.",
	},
	{
		NATSReplicas, Warning,
		"streams have one replica in a cluster",
		"The loss of one server stops the mesh, and may lose messages.",
		"Set NATS_REPLICAS to 3, and run driftless topology apply --replicas 3.",
	},
	{
		NATSCluster, Error,
		"a stream has no leader, or a replica is offline or behind",
		"Writes wait for a leader. The loss of one more server stops the stream.",
		"Start the server that is missing, or wait until its replica is current.",
	},
	{
		NATSSync, Error,
		"the server acknowledges messages before they are on the disk",
		"A power failure loses what was acknowledged within the last sync_interval, two minutes by default.",
		"Set sync_interval: always in the block jetstream of the server's configuration.",
	},
}
