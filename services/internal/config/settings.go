package config

import (
	"time"

	"github.com/driftless-sync/driftless/services/internal/auth"
)

// File names the YAML file with settings.
type File struct {
	Config string `name:"config" env:"DRIFTLESS_CONFIG" placeholder:"FILE" help:"YAML file with settings and the mapping."`
}

// Log says how the process logs.
type Log struct {
	LogLevel  string `name:"log-level" env:"DRIFTLESS_LOG_LEVEL" default:"info" enum:"debug,info,warn,error" help:"Minimum level of records to log: debug, info, warn or error."`
	LogFormat string `name:"log-format" env:"DRIFTLESS_LOG_FORMAT" default:"auto" enum:"auto,text,json" help:"Format of log records: text or json; auto is text on a terminal, else json."`
}

// Mesh says how to reach the other services.
type Mesh struct {
	Account string `name:"account" env:"DRIFTLESS_ACCOUNT" default:"default" help:"Name of the Stripe account in subjects: lower-case letters, digits, - and _."`
	NATS
}

// NATS says how to reach the NATS servers, and which credentials to use. Files are read again at every connection.
type NATS struct {
	NATSURL string `name:"nats-url" env:"NATS_URL" secret:"" placeholder:"URL" help:"NATS servers with JetStream, separated by commas; tls:// for TLS."`
	// NATSURLFile is the file that NATSURL was read from, empty if none.
	NATSURLFile  string `kong:"-" file-of:"nats-url"`
	NATSReplicas int    `name:"replicas" env:"NATS_REPLICAS" default:"1" help:"Replicas of every stream: 1, 3 or 5; 3 in a cluster. driftless topology apply and driftless up set this number and never lower it; a service warns if there are fewer."`
	NATSCreds    string `name:"nats-creds" env:"NATS_CREDS" placeholder:"FILE" help:"Credentials file (.creds) for NATS."`
	NATSNKey     string `name:"nats-nkey" env:"NATS_NKEY" placeholder:"FILE" help:"File with the seed of an nkey for NATS, instead of credentials."`
	NATSCA       string `name:"nats-ca" env:"NATS_CA" placeholder:"FILE" help:"CA certificates to verify the NATS servers with. Defaults to the system's."`
	NATSCert     string `name:"nats-cert" env:"NATS_CERT" placeholder:"FILE" help:"Client certificate for NATS."`
	NATSKey      string `name:"nats-key" env:"NATS_KEY" placeholder:"FILE" help:"Key of the client certificate for NATS."`
}

// Hosts protects the services' HTTP servers from web pages (DNS rebinding).
type Hosts struct {
	AllowedHosts []string `name:"allowed-hosts" env:"DRIFTLESS_ALLOWED_HOSTS" placeholder:"NAME" help:"Names that are allowed in the Host header of requests, separated by commas. Localhost and IP addresses are always allowed. A service on a loopback address refuses all other names; on another address it checks only if names are set here. Webhooks are accepted under any name."`
}

// Signing has the key that a service signs with, and the keys that it trusts.
type Signing struct {
	SigningKey Secret `name:"signing-key" env:"DRIFTLESS_SIGNING_KEY" secret:"" help:"Key that the service signs its messages on CATALOG, COMMAND and RETRY with; see security.md. Each service has its own. If empty, messages are not signed."`
	// SigningKeyFile and TrustedKeysFile are the files that the two were read from, empty if none. They are read again
	// while the service runs.
	SigningKeyFile  string `kong:"-" file-of:"signing-key"`
	TrustedKeys     string `name:"trusted-keys" env:"DRIFTLESS_TRUSTED_KEYS" from-file:"" placeholder:"SERVICE=KEY,..." help:"Trusted public keys, separated by commas, each with the service that it belongs to. Messages without a signature by one of them are refused. If empty, signatures are not checked."`
	TrustedKeysFile string `kong:"-" file-of:"trusted-keys"`
}

// API protects the services' own APIs.
type API struct {
	Token Secret `name:"token" env:"DRIFTLESS_TOKEN" secret:"" help:"Bearer token that the ingestion API and the control API accept, with every right. If it is empty and there are no tokens either, the APIs require none."`
	Tokens
}

// Tokens are the tokens with a name and a role.
type Tokens struct {
	Tokens TokenList `name:"tokens" env:"DRIFTLESS_TOKENS" from-file:"" placeholder:"ENTRY,..." help:"Tokens that the two APIs accept, each with a name, a role and the hash that driftless token new prints; see security.md."`
	// TokensFile is the file that Tokens was read from, empty if none. It is read again while the service runs.
	TokensFile string `kong:"-" file-of:"tokens"`
}

// Auth returns the tokens that an API accepts.
func (a API) Auth() auth.Settings {
	return auth.Settings{Token: a.Token.Reveal(), Tokens: string(a.Tokens.Tokens), File: a.TokensFile}
}

// Migrations says who creates the tables of ingestion and of the ledger.
type Migrations struct {
	Migrations string `name:"migrations" env:"DRIFTLESS_MIGRATIONS" default:"run" enum:"run,check" help:"run: the services create and upgrade their tables. check: they only check the tables that driftless migrate made."`
}

// IsCheckOnly reports whether services only check their tables, and create none.
func (m Migrations) IsCheckOnly() bool { return m.Migrations == "check" }

// Stripe says how to reach Stripe, and the limits of the calls.
type Stripe struct {
	StripeAPIKey        Secret  `name:"stripe-api-key" env:"STRIPE_API_KEY" secret:"" help:"Secret or restricted key. Push must be allowed to write products and prices, pull to read them and events. To show what uses a price (plan --usage), pull must also be allowed to read subscriptions and payment links."`
	StripeAPIBase       string  `name:"stripe-api-base" env:"STRIPE_API_BASE" default:"https://api.stripe.com" help:"Address of Stripe's API."`
	StripeAccount       string  `name:"stripe-account" env:"STRIPE_ACCOUNT" placeholder:"acct_..." help:"Connected account to act on with a platform's key. Defaults to the key's own account."`
	StripeRate          float64 `name:"stripe-rate" env:"STRIPE_RATE" default:"0" help:"Maximum calls per second to the account, of all processes together. 0 means Stripe's limit: 100 with a live key, 25 with a test key."`
	StripeEndpointRate  float64 `name:"stripe-endpoint-rate" env:"STRIPE_ENDPOINT_RATE" default:"25" help:"Maximum calls per second to one endpoint. Stripe's limit is 25."`
	StripeReadAllowance uint64  `name:"stripe-read-allowance" env:"STRIPE_READ_ALLOWANCE" default:"10000" help:"Reads that Stripe allows in 30 days: 10,000, or 500 for each transaction of the account if that is more. 0 means no limit. At nine tenths of it, scans, imports and reads of products outside the catalog stop."`
}

// Ingestion are the settings of ingestion.
type Ingestion struct {
	DatabaseURL Secret `name:"database-url" env:"DATABASE_URL" secret:"" placeholder:"URL" help:"Postgres database of the catalog, with a role that may replicate."`
	// DatabaseURLFile is the file that DatabaseURL was read from, empty if none. It is read again at every connection.
	DatabaseURLFile    string        `kong:"-" file-of:"database-url"`
	IngestionAddr      string        `name:"ingestion-addr" env:"DRIFTLESS_INGESTION_ADDR" default:"127.0.0.1:8080" help:"Address on which ingestion serves its API, health and metrics."`
	Slot               string        `name:"slot" env:"DRIFTLESS_SLOT" default:"driftless" help:"Replication slot. Created if absent."`
	Publication        string        `name:"publication" env:"DRIFTLESS_PUBLICATION" default:"driftless" help:"Publication. Created if absent."`
	PricesArchiveAfter time.Duration `name:"prices-archive-after" env:"DRIFTLESS_PRICES_ARCHIVE_AFTER" default:"0s" help:"How long a price stays active in Stripe after another price has replaced it, so that payment links and open checkouts go on. The column archive_after of the products query overrides it by product. 0 archives it at once."`
	AcceptDatabase     string        `name:"accept-database" env:"DRIFTLESS_ACCEPT_DATABASE" placeholder:"ID" help:"System identifier of the Postgres server that the catalog has moved to. Without it, ingestion refuses a server other than the one that it captured before."`
	StripeIDs          bool          `name:"stripe-ids" env:"DRIFTLESS_STRIPE_IDS" help:"Maintain the table driftless.stripe_ids in the catalog database, in which applications find Stripe's ids of products and prices; see checkout.md. catalog.write_ids switches it on."`
}

// MaxArchiveAfter is the longest time for which a replaced price can stay active.
const MaxArchiveAfter = 366 * 24 * time.Hour

// Push are the settings of push.
type Push struct {
	PushAddr        string `name:"push-addr" env:"DRIFTLESS_PUSH_ADDR" default:"127.0.0.1:8083" help:"Address on which push serves health and metrics."`
	PushConcurrency int    `name:"push-concurrency" env:"DRIFTLESS_PUSH_CONCURRENCY" default:"32" help:"Maximum number of products synced at the same time."`
	PushCreate      bool   `name:"push-create" env:"DRIFTLESS_PUSH_CREATE" default:"true" negatable:"" help:"Create products that are missing in Stripe. If off, they wait. Switch it off while you adopt the products that an account already has."`
	TakeLookupKeys  bool   `name:"take-lookup-keys" env:"DRIFTLESS_TAKE_LOOKUP_KEYS" help:"Move a price's lookup key from a price in Stripe that is not in the catalog. If off, the price is created without its key, and a dead letter names the price that has it."`
}

// Guard are the rules on dangerous changes. Push holds a change that breaks one until it is approved.
type Guard struct {
	GuardAmountChange   float64 `name:"guard-amount-change" env:"DRIFTLESS_GUARD_AMOUNT_CHANGE" default:"50" help:"Largest change of a price, up or down, in percent of the amount before. 0 switches the rule off."`
	GuardZeroAmount     bool    `name:"guard-zero-amount" env:"DRIFTLESS_GUARD_ZERO_AMOUNT" default:"true" negatable:"" help:"Hold a price that becomes free."`
	GuardNoActivePrice  bool    `name:"guard-no-active-price" env:"DRIFTLESS_GUARD_NO_ACTIVE_PRICE" default:"true" negatable:"" help:"Hold a product on sale that would have no active price left."`
	GuardNoDefaultPrice bool    `name:"guard-no-default-price" env:"DRIFTLESS_GUARD_NO_DEFAULT_PRICE" default:"true" negatable:"" help:"Hold a product on sale that would lose its default price."`
	GuardPriceShare     float64 `name:"guard-price-share" env:"DRIFTLESS_GUARD_PRICE_SHARE" default:"0.1" help:"Share of the account's prices that may be replaced or archived within an hour. 0 switches the rule off."`
	GuardPriceLeast     uint64  `name:"guard-price-least" env:"DRIFTLESS_GUARD_PRICE_LEAST" default:"20" help:"Number of prices that may always be replaced or archived within an hour."`
	GuardCurrencyShare  float64 `name:"guard-currency-share" env:"DRIFTLESS_GUARD_CURRENCY_SHARE" default:"0.1" help:"Share of the products with prices in a currency that may lose them within an hour. 0 switches the rule off."`
	GuardCurrencyLeast  uint64  `name:"guard-currency-least" env:"DRIFTLESS_GUARD_CURRENCY_LEAST" default:"5" help:"Number of products that may always lose their prices in a currency within an hour."`
	GuardShare          float64 `name:"guard-share" env:"DRIFTLESS_GUARD_SHARE" default:"0.1" help:"Share of the products that may be archived within an hour. 0 switches the rule off."`
	GuardLeast          uint64  `name:"guard-least" env:"DRIFTLESS_GUARD_LEAST" default:"20" help:"Number of products that may always be archived within an hour."`
	GuardApprovers      int     `name:"guard-approvers" env:"DRIFTLESS_GUARD_APPROVERS" default:"1" help:"Number of different people who must approve a held change."`
}

// Pull are the settings of pull.
type Pull struct {
	PullAddr            string        `name:"pull-addr" env:"DRIFTLESS_PULL_ADDR" default:"127.0.0.1:8081" help:"Address on which pull receives webhooks (POST /stripe/webhook) and serves health and metrics."`
	StripeWebhookSecret Secrets       `name:"stripe-webhook-secret" env:"STRIPE_WEBHOOK_SECRET" secret:"" help:"Signing secrets of the webhook endpoint, separated by commas. There are two while one is being replaced."`
	PollInterval        time.Duration `name:"poll-interval" env:"DRIFTLESS_POLL_INTERVAL" default:"10m" help:"Time between polls of Stripe's events, which find events whose webhook was missed. Each poll counts towards Stripe's read allowance."`
}

// Reconciliation are the settings of reconciliation.
type Reconciliation struct {
	LedgerDatabaseURL Secret `name:"ledger-database-url" env:"LEDGER_DATABASE_URL" secret:"" placeholder:"URL" help:"Postgres database of the ledger. Defaults to the catalog's."`
	// LedgerDatabaseURLFile is the file that LedgerDatabaseURL was read from, empty if none.
	LedgerDatabaseURLFile string        `kong:"-" file-of:"ledger-database-url"`
	ReconciliationAddr    string        `name:"reconciliation-addr" env:"DRIFTLESS_RECONCILIATION_ADDR" default:"127.0.0.1:8082" help:"Address on which reconciliation serves the control API, health and metrics."`
	GracePeriod           time.Duration `name:"grace-period" env:"DRIFTLESS_GRACE_PERIOD" default:"30s" help:"How long catalog and Stripe may differ before the difference counts as drift."`
	ScanInterval          time.Duration `name:"scan-interval" env:"DRIFTLESS_SCAN_INTERVAL" default:"24h" help:"Time between full scans of Stripe. 0 schedules none; the first start and every loss still cause one."`
	HistoryRetention      time.Duration `name:"history-retention" env:"DRIFTLESS_HISTORY_RETENTION" default:"9600h" help:"How long to keep the audit trail, replaced states, closed drift and closed dead letters. 0 means for ever. The default is 400 days."`
	Events
}

// DatabaseSetting is a database as it is set.
type DatabaseSetting struct {
	URL Secret
	// File is the file that URL was read from, empty if none.
	File string
	// Variable is the environment variable of the setting.
	Variable string
}

// LedgerDatabase returns the database of the ledger. It is the catalog's if the ledger has none of its own.
func (r Reconciliation) LedgerDatabase(catalog DatabaseSetting) DatabaseSetting {
	if r.LedgerDatabaseURL == "" {
		return catalog
	}
	return DatabaseSetting{
		URL:      r.LedgerDatabaseURL,
		File:     r.LedgerDatabaseURLFile,
		Variable: "LEDGER_DATABASE_URL",
	}
}

// Events says whether other programs get events.
type Events struct {
	PublishEvents bool `name:"publish-events" env:"DRIFTLESS_PUBLISH_EVENTS" default:"true" negatable:"" help:"Publish events for other programs on the stream EVENTS; see events.md. If off, reconciliation stores and publishes none, and driftless topology leaves out the stream and the permissions for it."`
}

// groups are all settings, in the order of docs/configuration.md.
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
	{"guard (push, reconciliation and driftless plan)", Guard{}},
	{"pull", Pull{}},
	{"reconciliation", Reconciliation{}},
	{"Notifications (reconciliation)", Notify{}},
	{"policy (push and reconciliation)", Policy{}},
	{"console", struct {
		Console
		ConsoleOpenID
		ConsoleAPIs
	}{}},
	{"driftless topology and driftless up", Placement{}},
	{"driftless up", Local{}},
}

// Placement says where in a cluster or super-cluster the streams are placed.
type Placement struct {
	PlacementCluster string   `name:"placement-cluster" env:"NATS_PLACEMENT_CLUSTER" placeholder:"NAME" help:"Cluster of a super-cluster to place the streams in."`
	PlacementTags    []string `name:"placement-tags" env:"NATS_PLACEMENT_TAGS" placeholder:"TAG" help:"Tags of the servers to place the streams on, separated by commas."`
}

// Local are the settings of a mesh on one machine.
type Local struct {
	DataDir string `name:"data-dir" env:"DRIFTLESS_DATA_DIR" default:".data" help:"Directory of the state of the mesh on this machine."`
}
