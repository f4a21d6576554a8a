package explain_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/explain"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func before(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(now.Add(-d)) }

func mug(name string) *catalogv1.Product { return &catalogv1.Product{Id: "mug", Name: name} }

// equal are the facts of a product that is equal everywhere, on a mesh that works.
func equal() explain.Facts {
	return explain.Facts{
		Now: now,
		Product: &ledger.Product{
			ID:    "mug",
			State: ledger.InSync,
			Desired: &catalogv1.ProductChange{
				ProductId:   "mug",
				Version:     7,
				Product:     mug("Mug"),
				CommittedAt: before(time.Hour),
			},
			Observed: &catalogv1.Observed{ProductId: "mug", Version: 7, Product: mug("Mug")},
		},
		Row:      &ingestv1.TableProduct{Id: "mug", Product: mug("Mug"), ReadAt: before(time.Second)},
		PushRuns: true,
		Equality: &controlv1.Equality{
			At: before(0), AsOf: before(time.Second), StripeAsOf: before(time.Minute),
			Capture: &meshv1.CaptureReport{
				At: before(0), CapturedUpTo: before(time.Second), State: meshv1.CaptureState_CAPTURE_STATE_READING,
			},
		},
	}
}

// unsynced are the facts of a change that is not in Stripe yet.
func unsynced() explain.Facts {
	f := equal()
	f.Product.State, f.Product.Desired.Version = ledger.Pending, 8
	f.Steps = []catalog.Step{{Kind: catalog.UpdateProduct}}
	return f
}

// created are the facts of a new product that is not in Stripe yet.
func created() explain.Facts {
	f := unsynced()
	f.Product.Observed, f.Steps = nil, []catalog.Step{{Kind: catalog.CreateProduct}}
	return f
}

// putOff is the retry of a product that may not be created.
func putOff() *meshv1.Retry {
	return &meshv1.Retry{Error: "not created because push_create is off", DueAt: before(-40 * time.Minute)}
}

func letter(service, reason string) []*meshv1.DeadLetter {
	return []*meshv1.DeadLetter{{
		Service: service,
		Reason:  reason,
		Message: "must be at least 0",
		LastAt:  before(time.Minute),
	}}
}

func paused(service string) []*controlv1.PausedService {
	return []*controlv1.PausedService{{Service: service, Since: before(time.Hour)}}
}

func TestDerive(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*explain.Facts)
		from func() explain.Facts
		want explain.Verdict
		// summary, words, notes and remedy are parts of the answer. command is the whole command.
		summary, words, notes, remedy, command string
	}{
		"equal": {from: equal, want: explain.Equal},
		"equal while ingestion is paused, because the row was read": {
			from: equal, want: explain.Equal,
			edit: func(f *explain.Facts) {
				f.Paused, f.CaptureUnknown = paused("ingestion"), "ingestion is paused"
			},
		},
		"gone everywhere": {
			from: equal, want: explain.Equal, notes: "left the catalog",
			edit: func(f *explain.Facts) {
				f.Product.Desired.Product, f.Row.Product, f.Product.Observed.Product = nil, nil, nil
			},
		},
		"unconfirmed": {
			from: equal, want: explain.Equal, notes: "has yet to confirm",
			edit: func(f *explain.Facts) {
				f.Product.Observed.Intents = []*catalogv1.Intent{{Version: 7, Answered: true, Settled: true}}
			},
		},
		"an overlap is no difference": {
			from: equal, want: explain.Equal, notes: "price_old (14.00 EUR) stays active until 2026-11-24 12:00:00 UTC",
			edit: func(f *explain.Facts) {
				f.Kept = []*catalogv1.ObservedPrice{{
					StripeId: "price_old", KeepUntil: before(0),
					Price: &catalogv1.Price{Currency: "eur", UnitAmount: "1400"},
				}}
			},
		},

		"nobody looked at the row": {
			from: equal, want: explain.Unknown, summary: "your row was not looked at: no answer",
			edit: func(f *explain.Facts) { f.Row, f.RowUnknown = nil, "no answer" },
		},
		"the row was not asked for": {
			from: equal, want: explain.Unknown, summary: "nobody has read it",
			edit: func(f *explain.Facts) { f.Row = nil },
		},
		"ingestion is stopped": {
			from: equal, want: explain.Unknown,
			summary: "no ingestion runs (last report 40 s ago); changes of your row would not be known; your row",
			edit: func(f *explain.Facts) {
				f.Row, f.RowUnknown, f.CaptureUnknown = nil, "no answer", "no ingestion runs (last report 40 s ago)"
				f.Equality.Capture.At = before(40 * time.Second)
			},
		},
		"pull does not run": {
			from: equal, want: explain.Unknown, summary: "no pull runs", remedy: "Start pull: see",
			edit: func(f *explain.Facts) { f.StripeUnknown = "no pull runs" },
		},
		"polls fail": {
			from: equal, want: explain.Unknown, remedy: "Correct the key that pull reads with",
			edit: func(f *explain.Facts) {
				f.StripeUnknown = "the poll of Stripe's events fails (last read 3m1s ago): 401"
			},
		},
		"polls are late": {
			from: equal, want: explain.Unknown, remedy: "Pull's log says what keeps it from the poll",
			edit: func(f *explain.Facts) {
				f.StripeUnknown = "Stripe's events were last read 12m0s ago; the poll interval is 10m0s"
			},
		},
		"a scan has to end": {
			from: equal, want: explain.Unknown, remedy: "Wait until the scan of Stripe has ended",
			command: "driftless status",
			edit: func(f *explain.Facts) {
				f.StripeUnknown = "what Stripe holds is not fully known (evt_1 is lost); a scan of Stripe has to end"
			},
		},
		"the scan that has to end failed": {
			from: equal, want: explain.Unknown, remedy: "start another", command: "driftless scan",
			edit: func(f *explain.Facts) {
				f.StripeUnknown = "what Stripe holds is not fully known (evt_1 is lost); a scan of Stripe has to end; " +
					"the latest one failed: 401"
			},
		},
		"a scan is not in the ledger": {
			from: equal, want: explain.Unknown, remedy: "Wait until reconciliation has read it",
			command: "driftless why mug",
			edit: func(f *explain.Facts) {
				f.StripeUnknown = "reconciliation has not read everything that the latest scan found"
			},
		},
		"events wait": {
			from: equal, want: explain.Unknown, remedy: "Do what the reason asks for: see docs/runbooks/Driftless",
			edit: func(f *explain.Facts) {
				f.StripeUnknown = "Stripe's events have waited for 60 s to be processed"
			},
		},
		"links are missing": {
			from: equal, want: explain.Unknown, remedy: "Do what the reason asks for: see docs/runbooks/Driftless",
			edit: func(f *explain.Facts) {
				f.StripeUnknown = "the bucket LINK lacks links of adopted products: adopt them again (docs/backup.md)"
			},
		},
		"pull is paused": {
			from: equal, want: explain.Unknown, command: "driftless resume pull",
			edit: func(f *explain.Facts) { f.StripeUnknown, f.Paused = "pull is paused", paused("pull") },
		},
		"a call has no answer": {
			from: equal, want: explain.Unknown, command: "driftless sync mug --look",
			edit: func(f *explain.Facts) { f.Product.Observed.Stale = true },
		},
		"NATS is away": {
			from: equal, want: explain.Unknown, summary: "NATS cannot be reached",
			notes: "the ledger knew at 11:59:59 UTC: the two sides were equal",
			edit:  func(f *explain.Facts) { f.NATS = "NATS: RECONNECTING" },
		},
		"NATS is away for days": {
			from: equal, want: explain.Unknown,
			notes: "the ledger knew at 2026-11-22 11:59:00 UTC: the two sides were equal",
			edit: func(f *explain.Facts) {
				f.NATS, f.Equality.AsOf = "NATS: RECONNECTING", before(48*time.Hour+time.Minute)
			},
		},
		"NATS is away and a change failed": {
			from: unsynced, want: explain.Unknown, words: "Stripe: error", notes: "push fails to write the change",
			edit: func(f *explain.Facts) {
				f.NATS, f.Failure = "NATS: RECONNECTING",
					&ledger.Failure{Version: 8, Attempts: 4, Message: "Stripe: error"}
			},
		},

		"just committed": {
			from: equal, want: explain.Capturing, edit: func(f *explain.Facts) { f.Row.Product = mug("Large mug") },
		},
		"new in the table": {
			from: equal, want: explain.Capturing,
			edit: func(f *explain.Facts) { f.Product = &ledger.Product{ID: "mug"} },
		},
		"deleted from the table": {
			from: equal, want: explain.Capturing, edit: func(f *explain.Facts) { f.Row.Product = nil },
		},
		"missed": {
			from: equal, want: explain.Missed, command: "driftless reread mug",
			edit: func(f *explain.Facts) { f.Row.Product, f.Equality.AsOf = mug("Large mug"), before(0) },
		},
		"captured since the row was read": {
			from: equal, want: explain.Capturing,
			edit: func(f *explain.Facts) {
				f.Row.Product, f.Equality.AsOf, f.Product.Desired.CapturedAt = mug("Large mug"), before(0), before(0)
			},
		},
		"capture is paused": {
			from: equal, want: explain.NotCaptured, command: "driftless resume ingestion",
			edit: func(f *explain.Facts) {
				f.Row.Product, f.Paused, f.CaptureUnknown = mug("Large mug"), paused("ingestion"), "ingestion is paused"
			},
		},
		"capture is behind": {
			from: equal, want: explain.NotCaptured, summary: "capture is 21 s behind",
			remedy: "See what holds capture back, such as a lock on a table",
			edit: func(f *explain.Facts) {
				f.Row.Product, f.CaptureUnknown = mug("Large mug"), "capture is 21 s behind"
				f.Equality.Capture.CapturedUpTo = before(21 * time.Second)
			},
		},
		"the tables are read as a whole": {
			from: equal, want: explain.NotCaptured, remedy: "until the tables are read", command: "driftless status",
			edit: func(f *explain.Facts) {
				f.Row.Product, f.CaptureUnknown = mug("Large mug"), "the tables are being read as a whole"
				f.Equality.Capture.State = meshv1.CaptureState_CAPTURE_STATE_READING_TABLES
			},
		},
		"the tables are read for the first time": {
			from: equal, want: explain.NotCaptured, remedy: "until the tables are read", command: "driftless status",
			edit: func(f *explain.Facts) {
				f.Row.Product, f.CaptureUnknown = mug("Large mug"), "the catalog is being read for the first time"
				f.Equality.Capture.CapturedUpTo = nil
			},
		},
		"ingestion is starting": {
			from: equal, want: explain.NotCaptured, remedy: "If it keeps starting, ingestion's log says why",
			command: "driftless why mug",
			edit: func(f *explain.Facts) {
				f.Row.Product, f.CaptureUnknown = mug("Large mug"), "ingestion is starting"
				f.Equality.Capture.State = meshv1.CaptureState_CAPTURE_STATE_STARTING
			},
		},
		"capture is stopped": {
			from: equal, want: explain.NotCaptured, remedy: "docs/runbooks/DriftlessCaptureStopped.md",
			edit: func(f *explain.Facts) {
				f.Row.Product, f.CaptureUnknown = mug("Large mug"), "capture is stopped: no such column"
				f.Equality.Capture.State = meshv1.CaptureState_CAPTURE_STATE_STOPPED
			},
		},
		"ingestion does not say what it does": {
			from: equal, want: explain.NotCaptured, remedy: "See ingestion's log",
			edit: func(f *explain.Facts) {
				f.Row.Product, f.CaptureUnknown = mug("Large mug"), "ingestion does not report whether it captures"
				f.Equality.Capture.State = meshv1.CaptureState_CAPTURE_STATE_UNSPECIFIED
			},
		},
		"the ledger is behind": {
			from: equal, want: explain.NotCaptured, remedy: "See what holds reconciliation back, such as its database",
			edit: func(f *explain.Facts) {
				f.Row.Product, f.CaptureUnknown = mug("Large mug"), "reconciliation is 90 s behind"
			},
		},
		"the clock of NATS was set back": {
			from: equal, want: explain.NotCaptured, remedy: "Correct the clock of the NATS server",
			edit: func(f *explain.Facts) {
				f.Row.Product, f.CaptureUnknown = mug("Large mug"), "the last report of ingestion is 1h0m0s in the future"
				f.Equality.Capture.At = before(-time.Hour)
			},
		},
		"neither captured nor pushed": {
			from: unsynced, want: explain.NotCaptured,
			notes: "the captured state is not in Stripe either: Stripe refuses push's key",
			edit: func(f *explain.Facts) {
				f.Row.Product, f.CaptureUnknown, f.Halted = mug("Large mug"), "capture is 21 s behind", "401"
			},
		},
		"a row that is refused": {
			from: equal, want: explain.Refused, words: "unit_amount",
			edit: func(f *explain.Facts) { f.Row.Refused = "unit_amount: must be at least 0" },
		},
		"a row that was given up": {
			from: equal, want: explain.Dead, words: "must be at least 0", command: "driftless dead show mug",
			edit: func(f *explain.Facts) {
				f.Row.Refused, f.Letters = "unit_amount", letter(topology.Ingestion, topology.ReasonInvalidProduct)
			},
		},
		"a row that was given up and not read": {
			from: equal, want: explain.Dead, notes: "your row was not looked at",
			edit: func(f *explain.Facts) {
				f.Row, f.Letters = nil, letter(topology.Ingestion, topology.ReasonInvalidProduct)
			},
		},
		"a row that was corrected": {
			from: equal, want: explain.Capturing,
			edit: func(f *explain.Facts) {
				f.Row.Product, f.Letters = mug("Large mug"), letter(topology.Ingestion, topology.ReasonInvalidProduct)
			},
		},

		"refused by Stripe": {
			from: unsynced, want: explain.Dead, words: "must be at least 0", command: "driftless dead replay mug",
			edit: func(f *explain.Facts) {
				f.Product.State, f.Letters = ledger.Dead, letter(topology.Push, topology.ReasonRefused)
			},
		},
		"an object of Stripe that cannot be read": {
			from: equal, want: explain.Dead, remedy: "This version cannot read it",
			command: "driftless dead replay mug",
			edit: func(f *explain.Facts) {
				f.Product.State, f.Letters = ledger.Dead, letter(topology.Pull, topology.ReasonUndecodable)
			},
		},
		"Stripe's values were refused by the tables": {
			from: unsynced, want: explain.Dead, words: "must be at least 0",
			remedy:  "drop the letter, and decide again",
			command: "driftless dead drop mug --why '...'",
			edit: func(f *explain.Facts) {
				f.Product.State, f.Letters = ledger.Dead, letter(topology.Ingestion, topology.ReasonWriteBackFailed)
			},
		},
		"the tables refused the undo of a change that the guard holds": {
			from: unsynced, want: explain.Dead, remedy: "drop the letter, and approve or reject the change again",
			command: "driftless dead drop mug --why '...'",
			edit: func(f *explain.Facts) {
				f.Product.State, f.Letters = ledger.Dead, letter(topology.Ingestion, topology.ReasonWriteBackFailed)
				f.Product.Observed.Hold = &catalogv1.Hold{Version: 8}
			},
		},
		"held": {
			from: unsynced, want: explain.Held, words: "amount_change: 14.00 EUR -> 0.14 EUR",
			command: "driftless approve mug --reason '...'",
			edit: func(f *explain.Facts) {
				f.Product.State = ledger.Held
				f.Product.Observed.Hold = &catalogv1.Hold{
					Version: 8, Since: before(time.Minute),
					Findings: []*catalogv1.Finding{
						{Rule: "amount_change", Message: "14.00 EUR -> 0.14 EUR"},
					},
				}
			},
		},
		"halted, although it also failed": {
			from: unsynced, want: explain.Halted, words: "Expired API Key",
			edit: func(f *explain.Facts) {
				f.Halted, f.Failure = "Expired API Key", &ledger.Failure{Version: 8, Attempts: 1}
			},
		},
		"paused": {
			from: unsynced, want: explain.Paused, command: "driftless resume push",
			edit: func(f *explain.Facts) { f.Paused, f.PushRuns = paused("push"), false },
		},
		"paused until another day": {
			from: unsynced, want: explain.Paused, summary: "until 2026-11-25 09:00:00 UTC",
			edit: func(f *explain.Facts) {
				f.Paused = paused("push")
				f.Paused[0].Until = before(-21 * time.Hour)
			},
		},
		"push is down": {
			from: unsynced, want: explain.PushDown, edit: func(f *explain.Facts) { f.PushRuns = false },
		},
		"failing, by the audit trail": {
			from: unsynced, want: explain.Failing, words: "Stripe: error", command: "driftless sync mug",
			edit: func(f *explain.Facts) {
				f.Failure = &ledger.Failure{Version: 8, Attempts: 4, Message: "Stripe: error", RequestID: "req_1"}
			},
		},
		"an earlier version failed": {
			from: unsynced, want: explain.Queued,
			edit: func(f *explain.Facts) { f.Failure = &ledger.Failure{Version: 7, Attempts: 4} },
		},
		"failing, by the schedule": {
			from: unsynced, want: explain.Failing, words: "Stripe: later", notes: "3 products wait",
			edit: func(f *explain.Facts) {
				f.Failure = &ledger.Failure{Version: 8, Attempts: 4, Message: "Stripe: error"}
				f.Retry, f.Retrying = &meshv1.Retry{Attempts: 6, Error: "Stripe: later", DueAt: before(-time.Minute)}, 3
			},
		},
		"failing while Stripe answers pull": {
			from: unsynced, want: explain.Failing, notes: "Stripe answered pull 1m0s ago, so not every request fails",
			edit: func(f *explain.Facts) {
				f.Retry, f.Retrying = &meshv1.Retry{Attempts: 6, FailingSince: before(2 * time.Minute)}, 2
				f.Equality = &controlv1.Equality{StripeAsOf: before(time.Minute)}
			},
		},
		"many fail while Stripe answers pull": {
			from: unsynced, want: explain.Failing, notes: "Stripe may refuse all writes",
			edit: func(f *explain.Facts) {
				f.Retry, f.Retrying = &meshv1.Retry{Attempts: 6, FailingSince: before(2 * time.Minute)}, 6
				f.Equality = &controlv1.Equality{StripeAsOf: before(time.Minute)}
			},
		},
		"failing again since Stripe has stopped to answer": {
			from: unsynced, want: explain.Failing, notes: "this may be an outage",
			edit: func(f *explain.Facts) {
				f.Retry, f.Retrying = &meshv1.Retry{Attempts: 6, FailingSince: before(time.Hour)}, 2
				f.Failure = &ledger.Failure{Version: 8, Attempts: 6, At: now.Add(-time.Minute)}
				f.Equality = &controlv1.Equality{StripeAsOf: before(2 * time.Minute)}
			},
		},
		"failing since Stripe has stopped to answer": {
			from: unsynced, want: explain.Failing, notes: "this may be an outage",
			edit: func(f *explain.Facts) {
				f.Retry, f.Retrying = &meshv1.Retry{Attempts: 6, FailingSince: before(time.Minute)}, 2
				f.Equality = &controlv1.Equality{StripeAsOf: before(2 * time.Minute)}
			},
		},
		"creations are held": {
			from: created, want: explain.Adopting, command: "driftless adopt plan",
			edit: func(f *explain.Facts) { f.CreationsHeld = true },
		},
		"creations are held, and push has put the product off": {
			from: created, want: explain.Adopting, command: "driftless adopt plan",
			edit: func(f *explain.Facts) { f.CreationsHeld, f.Retry, f.Retrying = true, putOff(), 412 },
		},
		"creations are held, and only Stripe made the product": {
			from: created, want: explain.Adopting,
			edit: func(f *explain.Facts) {
				f.Product.Observed, f.Steps = &catalogv1.Observed{Product: mug("Mug")}, []catalog.Step{
					{Kind: catalog.UpdateProduct}, {Kind: catalog.CreatePrice},
				}
				f.CreationsHeld, f.Retry, f.Retrying = true, putOff(), 412
			},
		},
		"creations are held, and the product cannot be read": {
			from: created, want: explain.Adopting, words: "Stripe: error",
			edit: func(f *explain.Facts) {
				f.CreationsHeld, f.Retry = true, &meshv1.Retry{Attempts: 6, Error: "Stripe: error"}
			},
		},
		"creations are held, and nothing is created": {
			from: unsynced, want: explain.Queued,
			edit: func(f *explain.Facts) { f.CreationsHeld = true },
		},
		"put off without a failure": {
			from: created, want: explain.Queued, words: "push_create is off", command: "driftless sync mug",
			summary: "push has put the change off until 12:40:00 UTC",
			edit:    func(f *explain.Facts) { f.Retry, f.Retrying = putOff(), 412 },
		},
		"too many calls": {
			from: unsynced, want: explain.WaitingForRate, summary: "POST /v1/products at 49%",
			edit: func(f *explain.Facts) {
				f.Slowed, f.SlowedTo, f.Queue = "POST /v1/products", 490, explain.Queue{Lane: topology.Live, Waiting: 3}
			},
		},
		"refused as one call too many": {
			from: unsynced, want: explain.WaitingForRate, summary: "refused calls as too many, so push makes fewer",
			edit: func(f *explain.Facts) { f.Failure = &ledger.Failure{Version: 8, Class: "rate_limited"} },
		},
		"refused as one call too many, by the schedule": {
			from: unsynced, want: explain.WaitingForRate, words: "Request rate limit exceeded",
			summary: "POST /v1/products at 49% of the rate",
			edit: func(f *explain.Facts) {
				f.Retry = &meshv1.Retry{Attempts: 6, Error: "Request rate limit exceeded", Failure: "rate_limited"}
				f.Slowed, f.SlowedTo = "POST /v1/products", 490
			},
		},
		"failed otherwise since": {
			from: unsynced, want: explain.Failing, words: "Stripe: error",
			edit: func(f *explain.Facts) {
				f.Failure = &ledger.Failure{Version: 8, Class: "rate_limited"}
				f.Retry = &meshv1.Retry{Attempts: 6, Error: "Stripe: error", Failure: "server_error"}
			},
		},
		"claimed": {
			from: unsynced, want: explain.Syncing,
			edit: func(f *explain.Facts) { f.Product.Observed.Claim = &catalogv1.Claim{Until: before(-time.Minute)} },
		},
		"behind a backfill": {
			from: unsynced, want: explain.Queued,
			summary: "in the bulk lane among 2300 changes, about 1m40s at 23.0 a second", command: "driftless sync mug",
			edit: func(f *explain.Facts) { f.Queue = explain.Queue{Lane: topology.Bulk, Waiting: 2300, PerSecond: 23} },
		},
		"not taken yet": {from: unsynced, want: explain.Queued},

		"changed by others": {
			from: unsynced, want: explain.Repairing, command: "driftless sync mug",
			edit: func(f *explain.Facts) { f.Product.Desired.Version = 7 },
		},
		"being repaired": {
			from: unsynced, want: explain.Repairing, notes: "changed in Stripe by the dashboard, evt_1",
			edit: func(f *explain.Facts) {
				f.Drift = []*ledger.Drift{{
					State:    ledger.Repairing,
					Attempts: 2,
					CausedBy: "dashboard",
					EventID:  "evt_1",
				}}
			},
		},
		"written back": {
			from: equal, want: explain.WritingBack,
			edit: func(f *explain.Facts) { f.Product.Decisions = []catalog.Decision{{Action: catalog.WriteBack}} },
		},
		"to be decided": {
			from: equal, want: explain.Undecided, words: "both keep changing",
			command: "driftless drift resolve mug --keep catalog",
			edit: func(f *explain.Facts) {
				f.Drift = []*ledger.Drift{{State: ledger.Waiting, Detail: "both keep changing"}}
			},
		},
		"only reported": {
			from: equal, want: explain.Reported, command: "driftless drift resolve mug --keep catalog",
			edit: func(f *explain.Facts) { f.Product.Decisions = []catalog.Decision{{Action: catalog.Report}} },
		},
		"dismissed": {
			from: equal, want: explain.Ignored,
			edit: func(f *explain.Facts) { f.Drift = []*ledger.Drift{{State: ledger.Ignored}} },
		},
		"only in Stripe": {
			from: equal, want: explain.Extra,
			edit: func(f *explain.Facts) {
				f.Product.Desired, f.Row.Product, f.Product.Observed.Product.Active = nil, nil, proto.Bool(true)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := c.from()
			if c.edit != nil {
				c.edit(&f)
			}
			got := explain.Derive(f)
			require.Equal(t, string(c.want), got.GetVerdict(), "%v", got)
			require.Equal(t, c.want == explain.Equal, got.GetEqual())
			require.NotEmpty(t, got.GetSummary())
			require.Contains(t, got.GetSummary(), c.summary)
			require.Contains(t, strings.Join(got.GetWords(), "\n"), c.words)
			require.Contains(t, strings.Join(got.GetNotes(), "\n"), c.notes)
			require.Contains(t, got.GetRemedy(), c.remedy)
			if c.command != "" {
				require.Equal(t, c.command, got.GetCommand())
			}
			require.Equal(t, c.want == explain.Equal, got.GetRemedy() == "",
				"there is something to do unless it is equal")
		})
	}
}

// Whatever else is known: without a look at all three places, nothing is equal.
func TestDerive_IsEqualOnlyIfEverythingWasLookedAt(t *testing.T) {
	for name, edit := range map[string]func(*explain.Facts){
		"row":    func(f *explain.Facts) { f.Row = nil },
		"Stripe": func(f *explain.Facts) { f.StripeUnknown = "no pull runs" },
		"NATS":   func(f *explain.Facts) { f.NATS = "away" },
	} {
		f := equal()
		edit(&f)
		require.False(t, explain.Derive(f).GetEqual(), name)
	}
}

// During an adoption most products that wait for a retry did not fail.
func TestDerive_TakesNoAdoptionForAnOutage(t *testing.T) {
	f := unsynced()
	f.Retry, f.Retrying = &meshv1.Retry{Attempts: 6, Error: "Stripe: error"}, 412
	require.Contains(t, strings.Join(explain.Derive(f).GetNotes(), "\n"), "412 products wait for a retry")
	f.CreationsHeld = true
	got := explain.Derive(f)
	require.Equal(t, string(explain.Failing), got.GetVerdict())
	require.Empty(t, got.GetNotes())
}

func TestDerive_QuotesIDsInCommands(t *testing.T) {
	f := unsynced()
	f.Product.ID, f.Failure = "it's $(rm)", &ledger.Failure{Version: 8}
	require.Equal(t, `driftless sync 'it'\''s $(rm)'`, explain.Derive(f).GetCommand())
}

func TestVerdicts_AreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/why.md")
	require.NoError(t, err)
	var documented []explain.Verdict
	for line := range strings.Lines(string(page)) {
		if cell, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ := strings.Cut(cell, "`")
			documented = append(documented, explain.Verdict(name))
		}
	}
	require.Equal(t, explain.Verdicts, documented)
	require.Len(t, explain.Verdicts, len(slices.Compact(slices.Sorted(slices.Values(explain.Verdicts)))))
}
