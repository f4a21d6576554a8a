package metrics

// Names of the services, as in subjects.
const (
	ingestion      = "ingestion"
	push           = "push"
	pull           = "pull"
	reconciliation = "reconciliation"
)

// The services that expose a metric. A metric of something shared (streams, ledger, the account) comes from one service
// only. Its replicas report the same value, so queries use the maximum and never the sum.
var (
	fromAll            = []string{ingestion, push, pull, reconciliation}
	fromStripeSide     = []string{push, pull}
	fromIngestion      = []string{ingestion}
	fromPush           = []string{push}
	fromPull           = []string{pull}
	fromReconciliation = []string{reconciliation}
	// fromCapture is for metrics that ingestion reports, and that reconciliation repeats from ingestion's last report.
	// So they are known, and age, while no ingestion runs.
	fromCapture = []string{ingestion, reconciliation}
	// fromDatabases is for the services that use a database.
	fromDatabases = []string{ingestion, reconciliation}
	// fromSources is for the services whose gauges cost I/O.
	fromSources = []string{pull, reconciliation}
	// fromPausable is for the services that an operator can pause.
	fromPausable = []string{ingestion, push, pull}
)

// Bounds of histograms, in seconds.
var (
	// changeBuckets reaches from the duration of a change on a quiet day to the longest delay between two attempts. The
	// 5 s of the service level is one of the bounds.
	changeBuckets  = []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}
	captureBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600}
	requestBuckets = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	workBuckets    = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	// eventAgeBuckets is for events: Stripe retries a webhook for three days.
	eventAgeBuckets = []float64{1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400, 259200}
	// comparisonBuckets is for reads of the whole catalog: from a small shop to a million products at an off-peak rate.
	comparisonBuckets = []float64{.1, .5, 1, 5, 15, 60, 300, 900, 3600, 14400, 43200}
)

// Every process.
var (
	BuildInfo = gauge("driftless.build.info", "", fromAll, "1, with the versions of the process as labels.", Version,
		GoVersion)

	MessageDuration = seconds("driftless.message.process.duration", fromAll, workBuckets,
		"Time to handle a delivery.", Stream, Consumer, Verdict)
	Redeliveries = counter("driftless.message.redeliveries", "{message}", fromAll,
		"Redeliveries of messages.", Stream, Consumer)
	DeadLetters = counter("driftless.dead_letters", "{letter}", fromAll,
		"Dead letters written.", DeadReason)
	Refused = counter("driftless.message.refused", "{message}", fromAll,
		"Messages refused because they are not from a trusted writer. Each delivery and each read counts.",
		Stream, Refusal)
	Disconnects = counter("driftless.nats.disconnects", "{disconnect}", fromAll,
		"Lost connections to NATS.")
	Connected = gauge("driftless.nats.connected", "", fromAll,
		"1 while the process is connected to NATS.")
	DatabaseReachable = gauge("driftless.database.reachable", "", fromDatabases,
		"1 if the process's latest connection to the database worked, at most some seconds ago. 0 if it did not, or has no answer yet.",
		Database)
	Paused = gauge("driftless.paused", "", fromPausable,
		"1 while an operator has paused the service (`driftless pause`).")
	MetricsAge = gauge("driftless.metrics.age", "s", fromSources,
		"Age of the oldest values that the process shows from a source. Values older than two minutes are absent.",
		SourceName)
)

// Changes, from commit to Stripe.
var (
	ChangeApplied = seconds("driftless.change.applied.duration", fromPush, changeBuckets,
		"Time from a change's commit until it is applied in Stripe, once per applied version. Superseded versions are not counted.", Lane)
	ChangeConfirmed = seconds("driftless.change.confirmed.duration", fromPull, changeBuckets,
		"Time from a change's commit to Stripe's event that confirms a call for it, once per call.")
	ChangeSuperseded = counter("driftless.change.superseded", "{change}", fromPush,
		"Changes skipped because a later one of the same product existed.")
	OldestUnsynced = gauge("driftless.change.oldest_unsynced.age", "s", fromReconciliation,
		"How long the longest unsynced product has differed; 0 if none differs. Dead products are not counted.")
)

// Ingestion.
var (
	CaptureDuration = seconds("driftless.capture.duration", fromIngestion, captureBuckets,
		"Time from a transaction's commit until its products are stored on CATALOG.")
	CaptureProducts = counter("driftless.capture.products", "{product}", fromIngestion,
		"Products captured from the write-ahead log.")
	CatalogReadProducts = counter("driftless.catalog.read.products", "{product}", fromIngestion,
		"Products read from the tables in snapshots and comparisons.")
	WriteBacks = counter("driftless.catalog.write_backs", "{command}", fromIngestion,
		"Commands to write Stripe's values to the catalog.", WriteBackResult)
	ComparedProducts = counter("driftless.capture.compared.products", "{product}", fromIngestion,
		"Products read from the tables and compared with CATALOG: by the first read, periodic comparisons and `driftless reread`.")
	MissedProducts = counter("driftless.capture.missed.products", "{product}", fromIngestion,
		"Products that a comparison found different and published, although the write-ahead log did not report the change.")
	CheckFailures = counter("driftless.check.failures", "{failure}", fromIngestion,
		"Failures of the checks of `catalog.checks`: reads in which the check could not run, and comparisons in which it returned rows without a product.",
		Check)
	ComparisonDuration = seconds("driftless.capture.comparison.duration", fromIngestion, comparisonBuckets,
		"Duration of a complete comparison of the tables with CATALOG.")
	CapturedTimestamp = gauge("driftless.captured.timestamp", "s", fromCapture,
		"Every change committed to the catalog before this time is in CATALOG or a dead letter: seconds since 1970. Absent until the first snapshot is complete.")
	TablesComparedTimestamp = gauge("driftless.tables.compared.timestamp", "s", fromCapture,
		"Start of the last complete comparison of the tables with CATALOG: seconds since 1970. Absent before the first.")
	ReplicationLag = gauge("driftless.replication.lag", "By", fromIngestion,
		"Write-ahead log between the slot's confirmed position and the end of the log.")
	ReplicationLagDuration = gauge("driftless.replication.lag.duration", "s", fromIngestion,
		"Age of the oldest unconfirmed write-ahead log, accurate to about 5 seconds; 0 if all is confirmed.")
	ReplicationRetained = gauge("driftless.replication.retained", "By", fromIngestion,
		"Write-ahead log that the database keeps for the slot.")
	ReplicationHeadroom = gauge("driftless.replication.headroom", "By", fromIngestion,
		"Write-ahead log that can be written before the slot is lost (`max_slot_wal_keep_size`). Absent without such a limit.")
	InactiveSlotRetained = gauge("driftless.replication.inactive_slot.retained", "By", fromIngestion,
		"Write-ahead log that the database keeps for another replication slot that nobody reads.", Slot)
	IngestionActive = gauge("driftless.ingestion.active", "", fromIngestion,
		"1 in the process that reads the slot, 0 in standbys.")
	ReplicationActive = gauge("driftless.replication.active", "", fromIngestion,
		"1 while an ingestion reads the slot.")
)

// Stripe.
var (
	StripeRequestDuration = seconds("driftless.stripe.request.duration", fromStripeSide, requestBuckets,
		"Duration of requests to Stripe.", Operation, Answer)
	StripeRateLimited = counter("driftless.stripe.rate_limited", "{request}", fromStripeSide,
		"Requests that Stripe answered with 429.", Operation, LimitReason)
	StripeBudgetWait = seconds("driftless.stripe.budget.wait.duration", fromStripeSide, workBuckets,
		"Time that requests waited for the account's budget. The count is the budget used.", Lane)
	StripeBudgetLimit = gauge("driftless.stripe.budget.limit", "{request}/s", fromStripeSide,
		"Maximum requests per second of all processes together; 0 means no limit.")
	StripeAccessRefused = gauge("driftless.stripe.access.refused", "", fromStripeSide,
		"1 if Stripe answered the process's latest request of this operation with 401 or 403: it refuses the key.",
		Operation)
	StripeReadsUsed = gauge("driftless.stripe.reads.used", "{request}", fromPull,
		"Reads by all processes in the last 30 days.")
	StripeReadsAllowed = gauge("driftless.stripe.reads.allowed", "{request}", fromPull,
		"Reads that Stripe allows within 30 days. Absent if there is no limit.")
	StripeReadsLeft = gauge("driftless.stripe.reads.left", "{request}", fromPull,
		"Reads left within 30 days. Absent if there is no limit.")
	StripeEventsAge = gauge("driftless.stripe.events.age", "s", fromPull,
		"Time since Stripe's events were last read to the end, or since the start of the process.")
)

// Push.
var (
	StripeSteps = counter("driftless.push.steps", "{step}", fromPush,
		"Executed steps of plans.", Step, StepResult)
	PushRereads = counter("driftless.push.rereads", "{reread}", fromPush,
		"Rereads of a product from Stripe before a write.")
	PushFailures = counter("driftless.push.failures", "{sync}", fromPush,
		"Syncs of products that a failed step ended early.", FailureAction)
	GuardFindings = counter("driftless.guard.findings", "{finding}", fromPush,
		"Reasons for which the guard held a change. Each counts once for each held version.", GuardRule)
)

// Pull.
var (
	Events = counter("driftless.event.received", "{event}", fromPull,
		"Stripe events received.", Via, EventResult)
	WebhookAge = seconds("driftless.webhook.age", fromPull, eventAgeBuckets,
		"Time from the creation of an event in Stripe, accurate to the second, until it is stored. Webhooks only.")
	WebhooksRejected = counter("driftless.webhook.rejected", "{webhook}", fromPull,
		"Webhooks answered with an error.", RejectReason)
	Observations = counter("driftless.event.observed", "{event}", fromPull,
		"Events applied to the observed state.", Observation)
)

// Reconciliation, for itself.
var (
	LedgerWriteDuration = seconds("driftless.ledger.write.duration", fromReconciliation, workBuckets,
		"Duration of the ledger transaction that applies a batch of messages.", Stream)
	LedgerBehind = gauge("driftless.ledger.behind", "", fromReconciliation,
		"1 while the ledger lacks what NATS has delivered to it, and reads it again: it was restored from an older copy, lost, or NATS was made again. 0 otherwise.")
	DriftFound = counter("driftless.drift.found", "{product}", fromReconciliation,
		"Products found to have drifted.")
	DriftRepaired = counter("driftless.drift.repaired", "{product}", fromReconciliation,
		"Drifted products that are equal again.")
)

// Notifications counts attempts to notify people.
var Notifications = counter("driftless.notifications", "{attempt}", fromReconciliation,
	"Attempts to send a notification.", NotifyTarget, NotifyResult)

// ProgramEventOldest shows whether other programs get their events.
var ProgramEventOldest = gauge("driftless.program_event.oldest.age", "s", fromReconciliation,
	"Age of the oldest event for other programs that is not published yet, 0 if all are. Events are dropped after a week.")

// Reconciliation, for the account as a whole.
var (
	EqualityKnown = gauge("driftless.equality.known", "", fromReconciliation,
		"1 while it is known whether the tables and Stripe are equal. 0 while it is unknown: capture is behind or stopped, Stripe's events are not read, push does not work, or the ledger is read again.")
	ConvergedTimestamp = gauge("driftless.converged.timestamp", "s", fromReconciliation,
		"Every change of the lane that was committed before this time is in Stripe, dead-lettered, held by the guard or superseded: seconds since 1970. Absent until first known.", Lane)
	CaptureStatus = gauge("driftless.capture.status", "", fromReconciliation,
		"1 for the state of capture in ingestion's last report, 0 for the others. `absent` means no recent report.",
		CaptureState)
	UnwatchedTables = gauge("driftless.capture.unwatched_tables", "{table}", fromReconciliation,
		"Tables that the mapping's queries read without a watch. Only comparisons detect their changes.")
	Products = gauge("driftless.products", "{product}", fromReconciliation,
		"Products in the ledger.", State)
	DriftOpen = gauge("driftless.drift.open", "{difference}", fromReconciliation,
		"Differences that are open drift.", DriftKind, DriftState)
	DriftOldest = gauge("driftless.drift.oldest.age", "s", fromReconciliation,
		"Age of the oldest open drift, except drift that is only reported or ignored; 0 if there is none.")
	DeadLettersOpen = gauge("driftless.dead_letters.open", "{letter}", fromReconciliation,
		"Open dead letters.", DeadReason)
	ConsumerPending = gauge("driftless.consumer.pending", "{message}", fromReconciliation,
		"Messages not yet delivered.", Stream, Consumer)
	ConsumerInFlight = gauge("driftless.consumer.in_flight", "{message}", fromReconciliation,
		"Messages delivered and not acknowledged, including those that wait for redelivery.", Stream, Consumer)
	ConsumerRedelivered = gauge("driftless.consumer.redelivered", "{message}", fromReconciliation,
		"Messages in flight that were delivered before.", Stream, Consumer)
	ConsumerOldest = gauge("driftless.consumer.oldest.age", "s", fromReconciliation,
		"Age of the oldest unacknowledged message; 0 if there is none.", Stream, Consumer)
	ConsumerPaused = gauge("driftless.consumer.paused", "", fromReconciliation,
		"1 while the consumer is paused.", Stream, Consumer)
	StreamMessages = gauge("driftless.stream.messages", "{message}", fromReconciliation,
		"Messages in a stream, of all accounts.", Stream)
	StreamSize = gauge("driftless.stream.size", "By", fromReconciliation,
		"Size of a stream, of all accounts.", Stream)
	RetriesWaiting = gauge("driftless.retry.waiting", "{product}", fromReconciliation,
		"Products with a scheduled retry of push.")
	RetryOldest = gauge("driftless.retry.oldest.age", "s", fromReconciliation,
		"How long push has failed with the product that has failed longest, by why its latest sync failed; 0 if none fails. At most 200 scheduled retries are read.",
		Failure)
	GuardHeld = gauge("driftless.guard.held", "{product}", fromReconciliation,
		"Products whose change waits for `driftless approve`, by the rule that holds it. A product that several rules hold counts for each.",
		GuardRule)
	Halted = gauge("driftless.halted", "", fromReconciliation,
		"1 while Stripe does not accept push's key.")
	ScanRunning = gauge("driftless.scan.running", "", fromReconciliation,
		"1 while a scan runs.")
	ScanObjects = gauge("driftless.scan.objects", "{object}", fromReconciliation,
		"Products and prices that the latest scan has read so far.")
	ScanFailed = gauge("driftless.scan.failed", "", fromReconciliation,
		"1 if the latest scan failed.")
	ScanFinished = gauge("driftless.scan.finished.timestamp", "s", fromReconciliation,
		"End of the latest scan, if it succeeded: seconds since 1970.")
	ScanInterval = gauge("driftless.scan.interval", "s", fromReconciliation,
		"Time between scheduled scans. Absent if there are none.")
)
