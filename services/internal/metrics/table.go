package metrics

// Names of the services, as in subjects.
const (
	ingestion      = "ingestion"
	push           = "push"
	pull           = "pull"
	reconciliation = "reconciliation"
)

// Who exposes a metric. What is about something shared (streams, ledger, the account) comes from one service only; its
// replicas say the same, so queries take the greatest and never the sum.
var (
	fromAll            = []string{ingestion, push, pull, reconciliation}
	fromStripeSide     = []string{push, pull}
	fromIngestion      = []string{ingestion}
	fromPush           = []string{push}
	fromPull           = []string{pull}
	fromReconciliation = []string{reconciliation}
	// fromCapture is for what ingestion reports and reconciliation repeats from its last report, so that it is known,
	// and gets old, while no ingestion runs.
	fromCapture = []string{ingestion, reconciliation}
)

// Bounds of histograms, in seconds.
var (
	// arrival reaches from what a change takes on a quiet day to the longest delay between two attempts. The service
	// level's 5 s is one of them.
	arrival = []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}
	capture = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600}
	request = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	work    = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	// late is for events: Stripe tries a webhook again for three days.
	late = []float64{1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400, 259200}
	// comparison is for reads of the whole catalog: from a small shop to a million products at an off-peak rate.
	comparison = []float64{.1, .5, 1, 5, 15, 60, 300, 900, 3600, 14400, 43200}
)

// Every process.
var (
	BuildInfo = gauge("driftless.build.info", "", fromAll, "1, with what the process is.", Version, GoVersion)

	MessageDuration = seconds("driftless.message.process.duration", fromAll, work,
		"Time to handle a delivery.", Stream, Consumer, Verdict)
	Redeliveries = counter("driftless.message.redeliveries", "{message}", fromAll,
		"Deliveries that were not a message's first.", Stream, Consumer)
	DeadLetters = counter("driftless.dead_letters", "{letter}", fromAll,
		"Dead letters written.", DeadReason)
	Refused = counter("driftless.message.refused", "{message}", fromAll,
		"Messages that were refused because they are not from a writer that is trusted. Each delivery and each read counts.",
		Stream, Refusal)
	Disconnects = counter("driftless.nats.disconnects", "{disconnect}", fromAll,
		"Times that the connection to NATS was lost.")
)

// The way of a change.
var (
	ChangeApplied = seconds("driftless.change.applied.duration", fromPush, arrival,
		"From a change's commit to everything applied in Stripe, once for each version that is applied; versions that a newer one overtook are not counted.", Lane)
	ChangeConfirmed = seconds("driftless.change.confirmed.duration", fromPull, arrival,
		"From a change's commit to Stripe's event that confirms a call made for it, once for each call.")
	ChangeSuperseded = counter("driftless.change.superseded", "{change}", fromPush,
		"Changes skipped because a newer one of the product was there.")
	OldestUnsynced = gauge("driftless.change.oldest_unsynced.age", "s", fromReconciliation,
		"How long the product that has differed the longest has differed; 0 when none does. Dead products are not counted.")
)

// Ingestion.
var (
	CaptureDuration = seconds("driftless.capture.duration", fromIngestion, capture,
		"From a transaction's commit to its products being stored on CATALOG.")
	CaptureProducts = counter("driftless.capture.products", "{product}", fromIngestion,
		"Products captured from the write-ahead log.")
	CatalogReadProducts = counter("driftless.catalog.read.products", "{product}", fromIngestion,
		"Products read in snapshots and backfills.")
	WriteBacks = counter("driftless.catalog.write_backs", "{order}", fromIngestion,
		"Orders to write Stripe's values to the catalog.", WriteBackResult)
	ComparedProducts = counter("driftless.capture.compared.products", "{product}", fromIngestion,
		"Products read from the tables and compared with CATALOG: by the first read, periodic comparisons and `driftless reread`.")
	MissedProducts = counter("driftless.capture.missed.products", "{product}", fromIngestion,
		"Products that a comparison found different and published, although the write-ahead log had told nothing of the change.")
	ComparisonDuration = seconds("driftless.capture.comparison.duration", fromIngestion, comparison,
		"Time of a complete comparison of the tables with CATALOG.")
	CapturedTimestamp = gauge("driftless.captured.timestamp", "s", fromCapture,
		"Every change that was committed to the catalog before this time is in CATALOG or in a dead letter: seconds since 1970. Absent until the tables were read as a whole for the first time.")
	TablesComparedTimestamp = gauge("driftless.tables.compared.timestamp", "s", fromCapture,
		"When the last complete comparison of the tables with CATALOG started: seconds since 1970; absent before the first.")
	ReplicationLag = gauge("driftless.replication.lag", "By", fromIngestion,
		"Log between the slot's confirmed position and the end of the log.")
	ReplicationLagDuration = gauge("driftless.replication.lag.duration", "s", fromIngestion,
		"Age of the oldest log that is not confirmed, to about 5 seconds; 0 when all is.")
	ReplicationRetained = gauge("driftless.replication.retained", "By", fromIngestion,
		"Log that the database keeps for the slot.")
	ReplicationHeadroom = gauge("driftless.replication.headroom", "By", fromIngestion,
		"Log that may still be written before the slot loses its own (`max_slot_wal_keep_size`); absent without such a limit.")
	IngestionActive = gauge("driftless.ingestion.active", "", fromIngestion,
		"1 in the process that reads the slot, 0 in those that stand by.")
	ReplicationActive = gauge("driftless.replication.active", "", fromIngestion,
		"1 while an ingestion reads the slot.")
)

// Stripe.
var (
	StripeRequestDuration = seconds("driftless.stripe.request.duration", fromStripeSide, request,
		"Requests to Stripe and the time that they took.", Operation, Answer)
	StripeRateLimited = counter("driftless.stripe.rate_limited", "{request}", fromStripeSide,
		"Requests that Stripe answered with 429.", Operation, LimitReason)
	StripeBudgetWait = seconds("driftless.stripe.budget.wait.duration", fromStripeSide, work,
		"Time that requests waited for their turn in the account's budget; its count is the budget used.", Lane)
	StripeBudgetLimit = gauge("driftless.stripe.budget.limit", "{request}/s", fromStripeSide,
		"Requests a second that all processes together may make; 0 for no limit.")
	StripeReadsUsed = gauge("driftless.stripe.reads.used", "{request}", fromPull,
		"Reads that all processes made in the last 30 days.")
	StripeReadsAllowed = gauge("driftless.stripe.reads.allowed", "{request}", fromPull,
		"Reads that Stripe allows in 30 days; absent if there is no limit.")
	StripeReadsLeft = gauge("driftless.stripe.reads.left", "{request}", fromPull,
		"Reads left of what Stripe allows; absent if there is no limit.")
	StripeEventsAge = gauge("driftless.stripe.events.age", "s", fromPull,
		"Time since Stripe's events were last read to their end; since the start if they were not yet.")
)

// Push.
var (
	StripeSteps = counter("driftless.push.steps", "{step}", fromPush,
		"Steps of plans carried out.", Step, StepResult)
	PushRereads = counter("driftless.push.looks", "{look}", fromPush,
		"Times that a product was read from Stripe before it was written.")
	PushFailures = counter("driftless.push.failures", "{pass}", fromPush,
		"Passes that ended early because a step failed.", FailureAction)
)

// Pull.
var (
	Events = counter("driftless.event.received", "{event}", fromPull,
		"Events of Stripe's that arrived.", Via, EventResult)
	WebhookAge = seconds("driftless.webhook.age", fromPull, late,
		"From Stripe's making of an event, to the second, to its being stored when it came by webhook.")
	WebhooksRejected = counter("driftless.webhook.rejected", "{webhook}", fromPull,
		"Webhooks answered with an error.", RejectReason)
	Observations = counter("driftless.event.observed", "{event}", fromPull,
		"Events taken into account.", Observation)
)

// Reconciliation, for itself.
var (
	LedgerWriteDuration = seconds("driftless.ledger.write.duration", fromReconciliation, work,
		"Time to take the messages that came together into account in the ledger: one transaction.", Stream)
	DriftFound = counter("driftless.drift.found", "{product}", fromReconciliation,
		"Products found to have drifted.")
	DriftRepaired = counter("driftless.drift.repaired", "{product}", fromReconciliation,
		"Drifted products that are equal again.")
)

// Reconciliation, for the account as a whole.
var (
	EqualityKnown = gauge("driftless.equality.known", "", fromReconciliation,
		"1 while it is known whether the tables and Stripe are equal, 0 while it is not: capture is behind or stopped, Stripe's events are not read, or push does not work.")
	ConvergedTimestamp = gauge("driftless.converged.timestamp", "s", fromReconciliation,
		"Every change that was committed to the catalog before this time and is of the lane is done: it is in Stripe, or a dead letter, or held by the guard, or a later change has replaced it: seconds since 1970. Absent until that is known for the first time.", Lane)
	CaptureStatus = gauge("driftless.capture.status", "", fromReconciliation,
		"1 for the state in which capture is, by ingestion's last report, 0 for the others; `absent` if there is no report of the last seconds.", CaptureState)
	UnwatchedTables = gauge("driftless.capture.unwatched_tables", "{table}", fromReconciliation,
		"Tables that the mapping's queries read and nobody watches: a comparison finds their changes, and nothing sooner.")
	Products = gauge("driftless.products", "{product}", fromReconciliation,
		"Products in the ledger.", State)
	DriftOpen = gauge("driftless.drift.open", "{difference}", fromReconciliation,
		"Differences that are drift and stand.", DriftKind, DriftState)
	DriftOldest = gauge("driftless.drift.oldest.age", "s", fromReconciliation,
		"Age of the oldest drift that stands and is to be settled, which is not what is only reported or ignored; 0 when there is none.")
	DeadLettersOpen = gauge("driftless.dead_letters.open", "{letter}", fromReconciliation,
		"Dead letters that are open.", DeadReason)
	ConsumerPending = gauge("driftless.consumer.pending", "{message}", fromReconciliation,
		"Messages not yet delivered.", Stream, Consumer)
	ConsumerInFlight = gauge("driftless.consumer.in_flight", "{message}", fromReconciliation,
		"Messages delivered and not acknowledged, those that wait to be delivered again included.", Stream, Consumer)
	ConsumerRedelivered = gauge("driftless.consumer.redelivered", "{message}", fromReconciliation,
		"Messages in flight that were delivered before.", Stream, Consumer)
	ConsumerOldest = gauge("driftless.consumer.oldest.age", "s", fromReconciliation,
		"Age of the oldest message that is not acknowledged; 0 when there is none.", Stream, Consumer)
	ConsumerPaused = gauge("driftless.consumer.paused", "", fromReconciliation,
		"1 while the consumer delivers nothing.", Stream, Consumer)
	StreamMessages = gauge("driftless.stream.messages", "{message}", fromReconciliation,
		"Messages in a stream, those of all accounts.", Stream)
	StreamSize = gauge("driftless.stream.size", "By", fromReconciliation,
		"Size of a stream, with those of all accounts.", Stream)
	RetriesWaiting = gauge("driftless.retry.waiting", "{product}", fromReconciliation,
		"Products that push comes back to later.")
	GuardHeld = gauge("driftless.guard.held", "{product}", fromReconciliation,
		"Products whose archiving the guard holds until `driftless approve`.")
	Halted = gauge("driftless.halted", "", fromReconciliation,
		"1 while Stripe does not accept push's key.")
	ScanRunning = gauge("driftless.scan.running", "", fromReconciliation,
		"1 while a scan runs.")
	ScanObjects = gauge("driftless.scan.objects", "{object}", fromReconciliation,
		"Products and prices that the newest scan has read so far.")
	ScanFailed = gauge("driftless.scan.failed", "", fromReconciliation,
		"1 if the newest scan ended with an error.")
	ScanFinished = gauge("driftless.scan.finished.timestamp", "s", fromReconciliation,
		"When the newest scan, if it succeeded, was finished: seconds since 1970.")
	ScanInterval = gauge("driftless.scan.interval", "s", fromReconciliation,
		"Time between scheduled scans; absent if there are none.")
)
