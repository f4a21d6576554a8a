package explain

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/internal/visible"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/view"
)

// fullRate is in thousandths.
const fullRate = 1000

// rateLimited is the class of a failure that Stripe answered with 429.
const rateLimited = "rate_limited"

// isDead reports whether a change of the product was given up behind CATALOG.
func (d *deriver) isDead() bool { return d.letter(false) != nil && d.Product.State == ledger.Dead }

// dead explains a change that was given up.
func (d *deriver) dead(l *meshv1.DeadLetter) {
	id := visible.Argument(d.Product.ID)
	d.set(Dead, letterSummary(l))
	d.letterFacts(l)
	switch {
	case l.GetReason() == topology.ReasonWriteBackFailed:
		d.writeBackFailed("driftless dead drop " + id + " --why '...'")
	case l.GetReason() == topology.ReasonUndecodable:
		d.do("This version cannot read it: run one that can, and replay the letter.", "driftless dead replay "+id)
	default:
		d.do("Correct the product in your table, or what Stripe refuses. To send the same state again, replay the letter.",
			"driftless dead replay "+id)
	}
}

// writeBackFailed says what helps while the letter of a failed write-back is open. Such a letter is closed at once
// unless more differs, such as a change that the guard holds. There is no drift to decide about then, and a replay
// leaves the letter open.
func (d *deriver) writeBackFailed(drop string) {
	again := "decide again"
	if d.Product.Hold() != nil {
		again = "approve or reject the change again"
	}
	d.do("Correct the row. Or correct what refuses the values, drop the letter, and "+again+".", drop)
}

// deadRow explains a row that capture could not publish.
func (d *deriver) deadRow(l *meshv1.DeadLetter) {
	d.set(Dead, letterSummary(l))
	d.letterFacts(l)
	d.do("Correct the row. Capture then sends it by itself.", "driftless dead show "+visible.Argument(d.Product.ID))
	d.captureNote()
}

func letterSummary(l *meshv1.DeadLetter) string {
	reason := visible.Words(l.GetReason())
	return "the latest change was given up by " + l.GetService() + ": " + reason
}

func (d *deriver) letterFacts(l *meshv1.DeadLetter) {
	d.out.Words = []string{l.GetMessage()}
	at := l.GetFirstAt()
	if at == nil {
		at = l.GetLastAt()
	}
	if at != nil {
		d.since(at.AsTime())
	}
	d.out.Attempts = uint64(l.GetAttempts())
}

// held explains a change that waits for an approval.
func (d *deriver) held() {
	hold := d.Product.Hold()
	d.set(Held, "the guard holds the change until it is approved")
	for _, f := range hold.GetFindings()[:min(len(hold.GetFindings()), 5)] {
		d.out.Words = append(d.out.GetWords(), findingWords(f))
	}
	if hold.GetSince() != nil {
		d.since(hold.GetSince().AsTime())
	}
	d.do("Approve the change, or correct the catalog.",
		"driftless approve "+visible.Argument(d.Product.ID)+" --reason '...'")
	for _, a := range hold.GetApprovals() {
		d.note("approved by " + a.GetActor() + ": " + a.GetReason())
	}
}

func findingWords(f *catalogv1.Finding) string { return f.GetRule() + ": " + f.GetMessage() }

// unsynced says what keeps push from the calls that are left to make. The order is that in which they are removed: a
// halt stops a retry, too.
func (d *deriver) unsynced() {
	p := d.Product
	d.since(d.unsyncedSince())
	switch pause, claim := d.paused(topology.Push), p.Observed.GetClaim(); {
	case d.Halted != "":
		d.set(Halted, "Stripe refuses push's key, so nothing is written to Stripe")
		d.out.Words = []string{d.Halted}
		d.do("Correct STRIPE_API_KEY or its permissions, and restart push. It tries once a minute.", "")
	case pause != nil:
		d.set(Paused, "push is paused by an operator"+d.pauseEnd(pause))
		d.since(pause.GetSince().AsTime())
		d.do("End the pause.", "driftless resume push")
	case !d.PushRuns:
		d.set(PushDown, "no push runs: no process asks for its messages")
		d.do("Start push: see docs/runbooks/DriftlessServiceDown.md.", "")
	case d.isCreationHeld():
		d.adopting()
	case d.isRateLimited():
		d.failureFacts()
		d.waitingForRate()
	case d.isFailing():
		d.failing()
	case d.SlowedTo > 0 && d.SlowedTo < fullRate && (claim != nil || d.Queue.Waiting > 0):
		d.waitingForRate()
	case claim != nil && claim.GetUntil().AsTime().After(d.Now):
		d.set(Syncing, "push works on the product now")
		d.do("Ask again in a second.", "driftless why "+visible.Argument(p.ID))
	case d.openDrift(isRepairing) != nil:
		d.repairing(d.openDrift(isRepairing))
	case d.Retry != nil:
		d.putOff()
	case d.Queue.Waiting > 0 && !d.isApplied():
		d.queued()
	case !d.isApplied():
		d.set(Queued, "push has yet to take the change")
		d.do("Ask again in a second.", "driftless why "+visible.Argument(p.ID))
	default:
		d.set(Repairing, "Stripe was changed by others; it is repaired after the grace period")
		d.do("Wait, or repair it now.", "driftless sync "+visible.Argument(p.ID))
	}
}

// isCreationHeld reports whether push holds the change because it would create an object, and Driftless has not written
// the product yet. Stripe may hold the product nevertheless. An adoption ends that, and so does push_create.
func (d *deriver) isCreationHeld() bool {
	return d.CreationsHeld && !catalog.IsManaged(d.Product.Observed) &&
		slices.ContainsFunc(d.Steps, func(s catalog.Step) bool {
			return s.Kind == catalog.CreateProduct || s.Kind == catalog.CreatePrice
		})
}

func (d *deriver) adopting() {
	d.set(Adopting, "push creates nothing while products are adopted (push_create is off)")
	if d.isFailing() {
		d.failureFacts()
	}
	d.do("Adopt the product, or end the adoption: see docs/adoption.md.", "driftless adopt plan")
}

// isFailing reports whether the change failed. A retry without an attempt waits for something else.
func (d *deriver) isFailing() bool { return d.Retry.GetAttempts() > 0 || d.failed() }

// putOff explains a change that push takes again later, although it did not fail. An adoption that has ended leaves
// such changes for up to an hour.
func (d *deriver) putOff() {
	d.set(Queued, "push has put the change off until "+view.FormatClock(d.Retry.GetDueAt().AsTime(), d.Now))
	d.out.Words, d.out.NextAttemptAt = []string{d.Retry.GetError()}, d.Retry.GetDueAt()
	d.do("Wait, or let it go first: a sync makes the change now.", "driftless sync "+visible.Argument(d.Product.ID))
}

// failed reports whether the captured version failed. A failure of an earlier version says nothing about it.
func (d *deriver) failed() bool {
	return d.Failure != nil && d.Failure.Version >= d.captured().GetVersion()
}

// unsyncedSince returns when the captured change was committed, or else since when the two sides differ.
func (d *deriver) unsyncedSince() time.Time {
	if at := d.captured().GetCommittedAt(); at != nil && !d.isApplied() {
		return at.AsTime()
	}
	return d.Product.DiffersSince
}

// isApplied reports whether push has applied the captured version.
func (d *deriver) isApplied() bool {
	return d.Product.Observed.GetVersion() >= d.captured().GetVersion()
}

// pauseEnd says until when a pause lasts.
func (d *deriver) pauseEnd(p *controlv1.PausedService) string {
	if p.GetUntil() == nil {
		return ""
	}
	return ", until " + view.FormatClock(p.GetUntil().AsTime(), d.Now)
}

// failing explains a change that failed and will be tried again. The schedule knows the exact number of attempts, and
// the audit trail only some of them.
func (d *deriver) failing() {
	d.set(Failing, "push fails to write the change to Stripe, and tries again")
	d.failureFacts()
	remedy := "Remove the cause. To try at once, sync the product."
	if request := requestIDs.FindString(strings.Join(d.out.GetWords(), " ")); request != "" {
		remedy += " Stripe's support finds the call by " + request + "."
	}
	d.do(remedy, "driftless sync "+visible.Argument(d.Product.ID))
	d.noteOutage()
}

// fewProducts is how many products may fail while Stripe answers reads, before an outage of its writes is likelier. The
// alert DriftlessStripeDown takes the same number.
const fewProducts = 5

// noteOutage says what the other products that fail, and pull, tell about Stripe. While creations are held, most of the
// retries may be those of products that do not fail.
func (d *deriver) noteOutage() {
	if d.Retrying <= 1 || d.CreationsHeld {
		return
	}
	answered := d.stripeAnswered()
	age := d.Now.Sub(answered).Round(time.Second)
	switch {
	case answered.IsZero():
		d.note(fmt.Sprintf("%d products wait for a retry: this may be an outage", d.Retrying))
	case d.Retrying > fewProducts:
		d.note(fmt.Sprintf("%d products wait for a retry: Stripe may refuse all writes, although it answered pull %s ago",
			d.Retrying, age))
	default:
		d.note(fmt.Sprintf("%d products wait for a retry; Stripe answered pull %s ago, so not every request fails",
			d.Retrying, age))
	}
}

// stripeAnswered returns when pull read Stripe's events last, if that was after the latest recorded failure of the
// product. It returns zero otherwise.
func (d *deriver) stripeAnswered() time.Time {
	var failed time.Time
	if since := d.Retry.GetFailingSince(); since != nil {
		failed = since.AsTime()
	}
	if d.Failure != nil && d.Failure.At.After(failed) {
		failed = d.Failure.At
	}
	read := d.Equality.GetStripeAsOf()
	if d.StripeUnknown != "" || read == nil || failed.IsZero() || !read.AsTime().After(failed) {
		return time.Time{}
	}
	return read.AsTime()
}

// isRateLimited reports whether the latest attempt failed because Stripe refused the call as one too many.
func (d *deriver) isRateLimited() bool {
	if d.Retry.GetAttempts() > 0 {
		return d.Retry.GetFailure() == rateLimited
	}
	return d.failed() && d.Failure.Class == rateLimited
}

// failureFacts adds the attempts that failed, and Stripe's words.
func (d *deriver) failureFacts() {
	if f := d.Failure; f != nil {
		d.since(f.First)
		d.out.Attempts, d.out.AtLeast, d.out.Words = f.Attempts, true, []string{f.Message}
		if f.Next.After(d.Now) {
			d.out.NextAttemptAt = timestamppb.New(f.Next)
		}
	}
	if r := d.Retry; r.GetAttempts() > 0 {
		d.out.Attempts, d.out.AtLeast, d.out.Words = r.GetAttempts(), false, []string{r.GetError()}
		d.out.NextAttemptAt = r.GetDueAt()
	}
}

// requestIDs matches Stripe's id of a request. Push's errors have it behind Stripe's words.
var requestIDs = regexp.MustCompile(`\breq_\w+`)

func (d *deriver) waitingForRate() {
	summary := "Stripe refused calls as too many, so push makes fewer"
	if d.SlowedTo > 0 && d.SlowedTo < fullRate {
		what := "all calls"
		if d.Slowed != "" {
			what = d.Slowed
		}
		summary += fmt.Sprintf(": %s at %d%% of the rate", what, d.SlowedTo/10)
	}
	d.set(WaitingForRate, summary)
	d.do("Wait: the rate recovers by 5% a second. See docs/runbooks/DriftlessRateLimited.md.", "")
	d.queueNote()
}

func (d *deriver) queued() {
	words := "waits in the " + string(d.Queue.Lane) + " lane"
	if n := d.Queue.Waiting; n > 1 {
		words += " among " + strconv.FormatUint(n, 10) + " changes"
	}
	if left := d.queueTime(); left > 0 {
		words += ", about " + left.String() + " at " + strconv.FormatFloat(d.Queue.PerSecond, 'f', 1, 64) + " a second"
	}
	d.set(Queued, words)
	if d.Queue.Lane == topology.Bulk {
		d.do("Wait, or let it go first: a sync does not wait for the lane.", "driftless sync "+visible.Argument(d.Product.ID))
		return
	}
	d.do("Wait.", "driftless why "+visible.Argument(d.Product.ID))
}

// queueTime estimates how long the queue takes, 0 if that is not known.
func (d *deriver) queueTime() time.Duration {
	if d.Queue.PerSecond < 0.1 {
		return 0
	}
	return time.Duration(float64(d.Queue.Waiting) / d.Queue.PerSecond * float64(time.Second)).Round(time.Second)
}

func (d *deriver) queueNote() {
	if d.Queue.Waiting > 1 {
		d.note(fmt.Sprintf("%d changes wait in the %s lane", d.Queue.Waiting, d.Queue.Lane))
	}
}
