package metrics

import (
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Labels that telemetry adds to every metric. Prometheus' operator uses "service", "endpoint", "instance", "job",
// "namespace" and "pod" itself, so none of ours has these names.
var (
	Component = Label{
		Name:    "component",
		Meaning: "the service",
		// The console has only driftless.build.info and the runtime's own metrics.
		Values: []string{ingestion, push, pull, reconciliation, "console"},
	}
	Account = Label{Name: "account", Meaning: "the Stripe account, as `DRIFTLESS_ACCOUNT` names it"}
)

// Labels of single metrics.
var (
	Stream   = Label{Name: "stream", Meaning: "JetStream's stream"}
	Consumer = Label{Name: "consumer", Meaning: "the consumer, without the account's name"}
	Lane     = Label{
		Name:    "lane",
		Meaning: "live: changes that someone waits for; bulk: snapshots, backfills, repairs, and approved changes",
		Values:  []string{"live", "bulk"},
	}
	Check     = Label{Name: "check", Meaning: "the name of a check of `catalog.checks`, at most 50"}
	Operation = Label{
		Name:    "operation",
		Meaning: "Stripe's operation, as Stripe counts it for its limits: `POST /v1/products/{id}`",
	}
	State = Label{
		Name:    "state",
		Meaning: "the state of the products",
		Values:  []string{"in_sync", "pending", "held", "drifted", "dead", "orphan", "left"},
	}
	Version   = Label{Name: "version", Meaning: "the program's version"}
	GoVersion = Label{Name: "go_version", Meaning: "the version of Go that built it"}

	// SourceName is where values of gauges come from.
	SourceName = Label{
		Name:    "source",
		Meaning: "ledger: the ledger's database; streams: JetStream; budget: the record of the account's calls",
		Values:  []string{"ledger", "streams", "budget"},
	}
	// Database is a database that a service uses.
	Database = Label{
		Name:    "database",
		Meaning: "catalog: the operator's tables; ledger: reconciliation's own",
		Values:  []string{"catalog", "ledger"},
	}
	// Slot is a replication slot.
	Slot = Label{Name: "slot", Meaning: "the name of the replication slot, at most 20"}
	// Failure is why push failed with a product.
	Failure = Label{
		Name: "failure",
		Meaning: "`server_error`: Stripe answered with 5xx; `no_answer`: a broken connection or a timeout; `rate_limited`: 429; " +
			"`refused`: another 4xx that may pass; `other`: NATS or Driftless itself",
		Values: []string{"server_error", "no_answer", "rate_limited", "refused", "other"},
	}

	// NotifyTarget is who gets notifications, and NotifyResult how an attempt ended.
	NotifyTarget = Label{
		Name: "target", Meaning: "who gets the notification", Values: []string{"webhook", "slack"},
	}
	NotifyResult = Label{
		Name: "result", Meaning: "accepted; refused by the target, or tried again later", Values: []string{"ok", "failed"},
	}

	// Verdict is the result of a delivery.
	Verdict = Label{
		Name:    "result",
		Meaning: "acknowledged; retried after an error; waiting, without an error; dead-lettered",
		Values:  []string{"ack", "retry", "wait", "dead"},
	}
	// Answer is the result of a request to Stripe.
	Answer = Label{
		Name:    "result",
		Meaning: "`rate_limited`: 429; `refused`: any other 4xx; `server_error`: 5xx; `no_answer`: a broken connection or a timeout",
		Values:  []string{"ok", "rate_limited", "refused", "server_error", "no_answer"},
	}
	// LimitReason is the reason of a 429 answer of Stripe.
	LimitReason = Label{
		Name:    "reason",
		Meaning: "Stripe's reason; `lock-timeout`: another request has locked the object; `other`: no reason given",
		Values: []string{
			"global-rate", "endpoint-rate", "global-concurrency", "endpoint-concurrency",
			"resource-specific", "lock-timeout", "other",
		},
	}
	// DeadReason is the reason of a dead letter.
	DeadReason = Label{
		Name:    "reason",
		Meaning: "class of failure, as `driftless dead` shows it",
		Values:  topology.ReasonNames(),
	}
	// Refusal is why a message is not authentic.
	Refusal = Label{
		Name: "reason",
		Meaning: "not signed; signed with a key that is not trusted for its service; invalid signature; " +
			"a service that may not publish on the subject; signed long before it was stored; body does not match the subject; " +
			"published by the server as an answer to a direct get",
		Values: []string{"unsigned", "unknown_key", "invalid", "role", "replayed", "subject", "republished"},
	}
	// FailureAction is the reaction to a failed sync.
	FailureAction = Label{
		Name: "action", Meaning: "what push does next; `reread`: read the product from Stripe first",
		Values: []string{"retry", "reread", "halt", "dead"},
	}
	// GuardRule is a rule of the guard.
	GuardRule = Label{
		Name: "rule", Meaning: "the rule of the guard; `check`: a check of the operator",
		Values: []string{
			"amount_change", "zero_amount", "no_active_price", "no_default_price", "replaced_prices", "lost_currency",
			"archived_products", "check",
		},
	}
	// CaptureState is the state of capture, as in CaptureReport.
	CaptureState = Label{
		Name:    "state",
		Meaning: "the state of capture: starting; reading the log; reading the tables; paused by an operator; stopped; no report",
		Values:  []string{"starting", "reading", "reading_tables", "paused", "stopped", "absent"},
	}
	// Step is the kind of a call that push makes.
	Step = Label{
		Name:    "step",
		Meaning: "the step of a plan",
		Values:  []string{"create_product", "update_product", "create_price", "update_price"},
	}
	// StepResult is whether the call succeeded.
	StepResult = Label{Name: "result", Meaning: "whether the call succeeded", Values: []string{"ok", "failed"}}
	// WriteBackResult is the result of a command to write back.
	WriteBackResult = Label{
		Name:    "result",
		Meaning: "written; the catalog already had the values; the catalog has changed since the decision; the tables refused it",
		Values:  []string{"written", "done", "superseded", "failed"},
	}
	// DriftKind is the kind of the difference, and DriftState its state.
	DriftKind = Label{
		Name: "kind", Meaning: "kind of the difference, as `driftless drift` shows it",
		Values: catalog.KindNames(),
	}
	DriftState = Label{
		Name:    "state",
		Meaning: "found; being repaired or written back; waiting for a decision; ignored by an operator",
		Values:  []string{"found", "repairing", "waiting", "ignored"},
	}
	// Via is how an event arrived.
	Via = Label{
		Name:    "via",
		Meaning: "how the event arrived: webhook, or poll of /v1/events",
		Values:  []string{"webhook", "poll"},
	}
	// EventResult is what happened to an event on arrival.
	EventResult = Label{
		Name:    "result",
		Meaning: "stored on STRIPE, or ignored because it is not about the account's products and prices",
		Values:  []string{"stored", "ignored"},
	}
	// RejectReason is why a webhook was answered with an error.
	RejectReason = Label{
		Name: "reason", Meaning: "why the webhook was rejected",
		Values: []string{"too_large", "unreadable", "signature", "undecodable", "livemode", "not_stored", "busy"},
	}
	// Observation is the effect of an event on the observed state.
	Observation = Label{
		Name:    "result",
		Meaning: "confirms a call of push; a new state; nothing new; product reread because the order is unknown",
		Values:  []string{"confirmed", "applied", "unchanged", "fetched"},
	}
)
