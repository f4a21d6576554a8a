package config

import "time"

// File is the YAML file with settings.
type File struct {
	Config string `name:"config" env:"DRIFTLESS_CONFIG" placeholder:"FILE" help:"YAML file with settings and the mapping."`
}

// Log says how the process logs.
type Log struct {
	LogLevel  string `name:"log-level" env:"DRIFTLESS_LOG_LEVEL" default:"info" enum:"debug,info,warn,error" help:"Least severe records to log: debug, info, warn or error."`
	LogFormat string `name:"log-format" env:"DRIFTLESS_LOG_FORMAT" default:"auto" enum:"auto,text,json" help:"Form of log records: text or json; auto is text on a terminal, else json."`
}

// Mesh says how to reach the other services.
type Mesh struct {
	Account string `name:"account" env:"DRIFTLESS_ACCOUNT" default:"default" help:"Name of the Stripe account in subjects: lower-case letters, digits, - and _."`
	NATS
}

// NATS says how to reach the servers, and who the client is. Files are read again at every connection.
type NATS struct {
	NATSURL string `name:"nats-url" env:"NATS_URL" secret:"" placeholder:"URL" help:"NATS servers with JetStream, separated by commas; tls:// for TLS."`
	// NATSURLFile is the file that NATSURL was read from; empty for none.
	NATSURLFile  string `kong:"-" file-of:"nats-url"`
	NATSReplicas int    `name:"replicas" env:"NATS_REPLICAS" default:"1" help:"Replicas of every stream: 1, 3 or 5; 3 in a cluster. driftless topology apply and driftless up make so many, and no fewer than there are; a service warns if there are fewer."`
	NATSCreds    string `name:"nats-creds" env:"NATS_CREDS" placeholder:"FILE" help:"Credentials file (.creds) for NATS."`
	NATSNKey     string `name:"nats-nkey" env:"NATS_NKEY" placeholder:"FILE" help:"File with the seed of an nkey for NATS, instead of credentials."`
	NATSCA       string `name:"nats-ca" env:"NATS_CA" placeholder:"FILE" help:"Certificates by which the NATS servers' are checked, if not the system's."`
	NATSCert     string `name:"nats-cert" env:"NATS_CERT" placeholder:"FILE" help:"Client certificate for NATS."`
	NATSKey      string `name:"nats-key" env:"NATS_KEY" placeholder:"FILE" help:"Key of the client certificate for NATS."`
}

// Hosts protects what the services serve from web pages.
type Hosts struct {
	AllowedHosts []string `name:"allowed-hosts" env:"DRIFTLESS_ALLOWED_HOSTS" placeholder:"NAME" help:"Names, separated by commas, that requests may have in their Host header beside localhost and addresses. A service on a loopback address refuses all others; one on another address asks only if names are set here. Webhooks are taken under any name."`
}

// Signing says with which key a service signs what it publishes, and whose signatures it believes.
type Signing struct {
	SigningKey Secret `name:"signing-key" env:"DRIFTLESS_SIGNING_KEY" secret:"" help:"Key with which the service signs what it publishes on CATALOG, COMMAND and RETRY; see security.md. Each service has its own. Not signed if empty."`
	// SigningKeyFile and TrustedKeysFile are the files that the two were read from; empty for none. They are read again
	// while the service runs.
	SigningKeyFile  string `kong:"-" file-of:"signing-key"`
	TrustedKeys     string `name:"trusted-keys" env:"DRIFTLESS_TRUSTED_KEYS" from-file:"" placeholder:"SERVICE=KEY,..." help:"Public keys of the services whose signatures count, separated by commas, each with the service that it is limited to. Messages without such a signature are refused. Not checked if empty."`
	TrustedKeysFile string `kong:"-" file-of:"trusted-keys"`
}

// API protects the services' own interfaces.
type API struct {
	Token Secret `name:"token" env:"DRIFTLESS_TOKEN" secret:"" help:"Bearer token that the ingestion API and the control API ask for; none if empty."`
}

// Migrations says who makes the tables of ingestion and of the ledger.
type Migrations struct {
	Migrations string `name:"migrations" env:"DRIFTLESS_MIGRATIONS" default:"run" enum:"run,check" help:"Whether the services make their tables, or only check what driftless migrate has made: run or check."`
}

// Stripe says how to reach Stripe and how fast.
type Stripe struct {
	StripeAPIKey        Secret  `name:"stripe-api-key" env:"STRIPE_API_KEY" secret:"" help:"Secret or restricted key. Push needs to write products and prices, pull to read them and events."`
	StripeAPIBase       string  `name:"stripe-api-base" env:"STRIPE_API_BASE" default:"https://api.stripe.com" help:"Address of the API."`
	StripeAccount       string  `name:"stripe-account" env:"STRIPE_ACCOUNT" placeholder:"acct_..." help:"Connected account to act on with a platform's key; the key's own if not set."`
	StripeRate          float64 `name:"stripe-rate" env:"STRIPE_RATE" default:"0" help:"Calls per second of the whole account, by all processes together; 0 for Stripe's limit: 100 with a live key, 25 with a test key."`
	StripeEndpointRate  float64 `name:"stripe-endpoint-rate" env:"STRIPE_ENDPOINT_RATE" default:"25" help:"Calls per second of one endpoint, Stripe's limit being 25."`
	StripeReadAllowance uint64  `name:"stripe-read-allowance" env:"STRIPE_READ_ALLOWANCE" default:"10000" help:"Reads that Stripe allows in 30 days: 10,000, or 500 for each of the account's transactions if that is more; 0 for no limit. At nine tenths of it scans, imports, and reads of products that the catalog does not have, stop."`
}

// Ingestion are the settings of the service ingestion.
type Ingestion struct {
	DatabaseURL Secret `name:"database-url" env:"DATABASE_URL" secret:"" placeholder:"URL" help:"The catalog's Postgres database, as a role that may replicate."`
	// DatabaseURLFile is the file that DatabaseURL was read from; empty for none. It is read again at every connection.
	DatabaseURLFile string `kong:"-" file-of:"database-url"`
	IngestionAddr   string `name:"ingestion-addr" env:"DRIFTLESS_INGESTION_ADDR" default:"127.0.0.1:8080" help:"Where ingestion serves its API, health and metrics."`
	Slot            string `name:"slot" env:"DRIFTLESS_SLOT" default:"driftless" help:"Replication slot; made if absent."`
	Publication     string `name:"publication" env:"DRIFTLESS_PUBLICATION" default:"driftless" help:"Publication; made if absent."`
	AcceptDatabase  string `name:"accept-database" env:"DRIFTLESS_ACCEPT_DATABASE" placeholder:"ID" help:"System identifier of the Postgres server that the catalog has moved to. Without it, ingestion refuses another server than the one that it captured before."`
}

// Push are the settings of the service push.
type Push struct {
	PushAddr        string  `name:"push-addr" env:"DRIFTLESS_PUSH_ADDR" default:"127.0.0.1:8083" help:"Where push serves health and metrics."`
	PushConcurrency int     `name:"push-concurrency" env:"DRIFTLESS_PUSH_CONCURRENCY" default:"32" help:"Products worked on at once."`
	PushCreate      bool    `name:"push-create" env:"DRIFTLESS_PUSH_CREATE" default:"true" negatable:"" help:"Create products that Stripe does not hold. Switched off, they wait: for the time in which the products that an account has already are adopted."`
	TakeLookupKeys  bool    `name:"take-lookup-keys" env:"DRIFTLESS_TAKE_LOOKUP_KEYS" help:"Take the lookup key of a price from another price in Stripe that is not of the catalog. Otherwise the price is made without its key, and a dead letter names the holder."`
	GuardShare      float64 `name:"guard-share" env:"DRIFTLESS_GUARD_SHARE" default:"0.1" help:"Share of the products that may be archived in Stripe within an hour before an operator is asked (driftless approve); 0 for no guard."`
	GuardLeast      uint64  `name:"guard-least" env:"DRIFTLESS_GUARD_LEAST" default:"20" help:"Products that may be archived within an hour in any case."`
}

// Pull are the settings of the service pull.
type Pull struct {
	PullAddr            string        `name:"pull-addr" env:"DRIFTLESS_PULL_ADDR" default:"127.0.0.1:8081" help:"Where pull takes webhooks (POST /stripe/webhook) and serves health and metrics."`
	StripeWebhookSecret Secrets       `name:"stripe-webhook-secret" env:"STRIPE_WEBHOOK_SECRET" secret:"" help:"Signing secrets of the webhook endpoint, separated by commas: two while one is being replaced."`
	PollInterval        time.Duration `name:"poll-interval" env:"DRIFTLESS_POLL_INTERVAL" default:"10m" help:"Time between readings of Stripe's events for what no webhook told. Each counts towards Stripe's monthly read allowance."`
}

// Reconciliation are the settings of the service reconciliation.
type Reconciliation struct {
	LedgerDatabaseURL Secret `name:"ledger-database-url" env:"LEDGER_DATABASE_URL" secret:"" placeholder:"URL" help:"Postgres database of the ledger; the catalog's if not set."`
	// LedgerDatabaseURLFile is the file that LedgerDatabaseURL was read from; empty for none.
	LedgerDatabaseURLFile string        `kong:"-" file-of:"ledger-database-url"`
	ReconciliationAddr    string        `name:"reconciliation-addr" env:"DRIFTLESS_RECONCILIATION_ADDR" default:"127.0.0.1:8082" help:"Where reconciliation serves the control API, health and metrics."`
	GracePeriod           time.Duration `name:"grace-period" env:"DRIFTLESS_GRACE_PERIOD" default:"30s" help:"How long catalog and Stripe may differ before that is drift."`
	ScanInterval          time.Duration `name:"scan-interval" env:"DRIFTLESS_SCAN_INTERVAL" default:"24h" help:"Time between full scans of Stripe; 0 for none."`
	HistoryRetention      time.Duration `name:"history-retention" env:"DRIFTLESS_HISTORY_RETENTION" default:"9600h" help:"How long the audit trail, settled drift and closed dead letters are kept; 0 for ever. The default is 400 days."`
}

// groups are all settings, as they are documented.
var groups = []struct {
	title  string
	fields any
}{
	{"Every service", struct {
		File
		Log
		Mesh
		Hosts
	}{}},
	{"Signatures (every service)", Signing{}},
	{"Interfaces of Driftless", API{}},
	{"Tables (ingestion and reconciliation)", Migrations{}},
	{"Stripe (push and pull)", Stripe{}},
	{"ingestion", Ingestion{}},
	{"push", Push{}},
	{"pull", Pull{}},
	{"reconciliation", Reconciliation{}},
	{"policy (push and reconciliation)", Policy{}},
	{"driftless topology and driftless up", Placement{}},
	{"driftless up", Local{}},
}

// Placement says where in a cluster, or a super-cluster, the streams live.
type Placement struct {
	PlacementCluster string   `name:"placement-cluster" env:"NATS_PLACEMENT_CLUSTER" placeholder:"NAME" help:"Cluster of a super-cluster in which the streams live."`
	PlacementTags    []string `name:"placement-tags" env:"NATS_PLACEMENT_TAGS" placeholder:"TAG" help:"Tags of the servers on which the streams live, separated by commas."`
}

// Local are the settings of a mesh on one machine.
type Local struct {
	DataDir string `name:"data-dir" env:"DRIFTLESS_DATA_DIR" default:".data" help:"Where the mesh on this machine keeps its state."`
}
