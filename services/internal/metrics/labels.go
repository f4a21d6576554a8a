package metrics

// Labels that every metric has beside its own; telemetry adds them. Prometheus' operator takes "service", "endpoint",
// "instance", "job", "namespace" and "pod" for itself, so none of ours is called that.
var (
	Component = Label{
		Name:    "component",
		Meaning: "the service",
		Values:  []string{ingestion, push, pull, reconciliation},
	}
	Account = Label{Name: "account", Meaning: "the Stripe account, as `DRIFTLESS_ACCOUNT` names it"}
)

// Labels of single metrics.
var (
	Stream   = Label{Name: "stream", Meaning: "JetStream's stream"}
	Consumer = Label{Name: "consumer", Meaning: "the consumer, without the account's name"}
	Lane     = Label{
		Name:    "lane",
		Meaning: "live: what people changed; bulk: snapshots, backfills, repairs, and what the guard held",
		Values:  []string{"live", "bulk"},
	}
	Operation = Label{
		Name:    "operation",
		Meaning: "Stripe's operation, as Stripe counts it for its limits: `POST /v1/products/{id}`",
	}
	State = Label{
		Name:    "state",
		Meaning: "the products' state",
		Values:  []string{"in_sync", "pending", "drifted", "dead", "orphan", "left"},
	}
	Version   = Label{Name: "version", Meaning: "the program's version"}
	GoVersion = Label{Name: "go_version", Meaning: "the Go that it was built with"}

	// Verdict is what became of a delivery.
	Verdict = Label{
		Name:    "result",
		Meaning: "acknowledged; tried again after an error; waiting for something else, which is no error; given up",
		Values:  []string{"ack", "retry", "wait", "dead"},
	}
	// Answer is how a request to Stripe ended.
	Answer = Label{
		Name:    "result",
		Meaning: "`rate_limited` is 429, `refused` any other 4xx, `server_error` 5xx, `no_answer` a broken connection or a time-out",
		Values:  []string{"ok", "rate_limited", "refused", "server_error", "no_answer"},
	}
	// LimitReason is why Stripe answered 429.
	LimitReason = Label{
		Name:    "reason",
		Meaning: "Stripe's reason; `lock-timeout`: another request has the object; `other`: none was given",
		Values: []string{
			"global-rate", "endpoint-rate", "global-concurrency", "endpoint-concurrency",
			"resource-specific", "lock-timeout", "other",
		},
	}
	// DeadReason is the class of a dead letter.
	DeadReason = Label{Name: "reason", Meaning: "class of failure, as `driftless dead` shows it", Values: []string{
		"invalid_product", "query_failed", "refused_by_stripe", "not_converging", "exhausted", "linked_elsewhere",
		"undecodable", "write_back_failed",
		"unstorable",
	}}
	// Refusal is why a message is not authentic.
	Refusal = Label{
		Name: "reason",
		Meaning: "not signed; signed with a key that is not trusted for the service that it names; a signature that does not fit; " +
			"a service that may not publish on the subject; signed long before it was stored; about something else than its subject says; " +
			"published by the server as an answer, at the wish of a user who may not publish it",
		Values: []string{"unsigned", "unknown_key", "invalid", "role", "replayed", "subject", "republished"},
	}
	// FailureAction is what is done about a failed pass.
	FailureAction = Label{
		Name: "action", Meaning: "what is done about it",
		Values: []string{"retry", "look", "halt", "dead"},
	}
	// CaptureState is the state of capture, as CaptureReport has it.
	CaptureState = Label{
		Name:    "state",
		Meaning: "the state of capture: starting; reading the log; reading the tables as a whole; paused by an operator; stopped; or no ingestion reports",
		Values:  []string{"starting", "reading", "reading_tables", "paused", "stopped", "absent"},
	}
	// Step is the kind of a call that push makes.
	Step = Label{
		Name:    "step",
		Meaning: "the step of a plan",
		Values:  []string{"create_product", "update_product", "create_price", "update_price"},
	}
	// StepResult says whether the call succeeded.
	StepResult = Label{Name: "result", Meaning: "whether the call succeeded", Values: []string{"ok", "failed"}}
	// WriteBackResult is what became of an order to write back.
	WriteBackResult = Label{
		Name:    "result",
		Meaning: "written; the catalog had the values already; the catalog has changed since the decision; the tables do not take it",
		Values:  []string{"written", "done", "superseded", "failed"},
	}
	// DriftKind is in what the sides differ, DriftState what is being done about it.
	DriftKind = Label{
		Name: "kind", Meaning: "in what the sides differ, as `driftless drift` shows it",
		Values: []string{
			"missing", "extra", "field", "price_structure", "default_price", "archived_in_stripe",
			"archived_in_catalog",
		},
	}
	DriftState = Label{
		Name:    "state",
		Meaning: "found; being repaired or written back; waiting for a person; ignored by a person's decision",
		Values:  []string{"found", "repairing", "waiting", "ignored"},
	}
	// Via is how an event came.
	Via = Label{
		Name:    "via",
		Meaning: "how the event came: sent by Stripe, or read from /v1/events",
		Values:  []string{"webhook", "poll"},
	}
	// EventResult is what was done with an event on arrival.
	EventResult = Label{
		Name:    "result",
		Meaning: "stored on STRIPE, or ignored as not being about the account's products and prices",
		Values:  []string{"stored", "ignored"},
	}
	// RejectReason is why a webhook was answered with an error.
	RejectReason = Label{
		Name: "reason", Meaning: "why",
		Values: []string{"too_large", "unreadable", "signature", "undecodable", "livemode", "not_stored", "busy"},
	}
	// Observation is what an event turned out to be.
	Observation = Label{
		Name:    "result",
		Meaning: "the echo of a call of push's; something new; nothing new; to be fetched because its order cannot be told",
		Values:  []string{"confirmed", "applied", "unchanged", "fetched"},
	}
)
