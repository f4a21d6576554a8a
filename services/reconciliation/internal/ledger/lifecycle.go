package ledger

import (
	"fmt"
	"time"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// DriftState is the state of a difference that is drift.
type DriftState string

// The states of drift. Waiting needs a decision by an operator: the sides keep overwriting each other, or a write-back
// is impossible. Repaired and WrittenBack are final.
const (
	Found       DriftState = "found"
	Repairing   DriftState = "repairing"
	Waiting     DriftState = "waiting"
	Ignored     DriftState = "ignored"
	Repaired    DriftState = "repaired"
	WrittenBack DriftState = "written_back"

	// notDrift is the state of a difference that is not drift yet.
	notDrift DriftState = ""
)

// State of a product.
type State string

// The states of products. A pending product differs within the grace period, a drifted one for longer. A held product
// differs, and the guard holds the change. A dead product has a change that could not be applied. An extra is in Stripe
// only.
const (
	InSync  State = "in_sync"
	Pending State = "pending"
	Held    State = "held"
	Drifted State = "drifted"
	Dead    State = "dead"
	Extra   State = "orphan"
	// Left is not stored. It counts products in sync and extras that are neither in the catalog nor active in Stripe.
	Left State = "left"
)

// driftEvent is what happens to a difference. The documentation shows its text.
type driftEvent string

const (
	driftFound       driftEvent = "the difference is drift"
	driftContested   driftEvent = "the difference is drift, and two sides keep overwriting each other"
	driftMoved       driftEvent = "a value changed"
	driftSuperseded  driftEvent = "the value to write back changed"
	driftRuled       driftEvent = "the policy says something else"
	driftCommanded   driftEvent = "a command was issued"
	driftImpossible  driftEvent = "the write-back is impossible"
	driftRefused     driftEvent = "the write-back failed"
	driftDecided     driftEvent = "an operator decided"
	driftDismissed   driftEvent = "an operator ignored it"
	driftRepaired    driftEvent = "the values are equal"
	driftWrittenBack driftEvent = "the values are equal, and the catalog has Stripe's"
)

// driftActions is what an event does to drift besides its state.
type driftActions uint16

const (
	takeValues driftActions = 1 << iota
	takeAction
	takeDecision
	dropDecision
	noteReason
	clearReason
	countAttempt
	noteSettled
	forgetRounds
	reopenProduct
)

func (a driftActions) String() string {
	return phrases(uint16(a), []string{
		"store the values", "store the policy's action", "store the decision", "forget the decision",
		"store the reason", "clear the reason", "count the attempt", "store the time", "forget earlier rounds",
		"make the product due now",
	})
}

var (
	openStates   = []DriftState{Found, Repairing, Waiting, Ignored}
	activeStates = []DriftState{Found, Repairing}
)

// driftTable is the life of drift. Final states have no way out.
var driftTable = table[DriftState, driftEvent, driftActions]{
	{driftFound, []DriftState{notDrift}, Found, 0},
	{driftContested, []DriftState{notDrift}, Waiting, noteReason},
	{driftMoved, []DriftState{Ignored}, Found, takeValues | reopenProduct},
	{driftMoved, []DriftState{Found, Repairing, Waiting}, "", takeValues},
	// The command to write the earlier value back does not settle this one.
	{driftSuperseded, activeStates, "", takeValues | reopenProduct},
	{driftRuled, activeStates, "", takeAction},
	{driftCommanded, activeStates, Repairing, countAttempt | clearReason},
	{driftImpossible, activeStates, Waiting, countAttempt | dropDecision | noteReason},
	{driftRefused, []DriftState{Repairing}, Waiting, dropDecision | noteReason},
	// The letter is about an earlier command. An operator has decided since, or must decide already.
	{driftRefused, []DriftState{Found, Waiting, Ignored}, "", 0},
	{driftDecided, openStates, Found, takeDecision | clearReason | forgetRounds},
	{driftDismissed, openStates, Ignored, dropDecision | clearReason | forgetRounds},
	{driftRepaired, openStates, Repaired, noteSettled},
	{driftWrittenBack, openStates, WrittenBack, noteSettled},
}

// driftInput is what the actions of an event store.
type driftInput struct {
	decision catalog.Decision
	side     Side
	reason   string
	at       time.Time
}

// on moves drift along its table. It returns what else has to be done.
func (d *Drift) on(e driftEvent, x driftInput) (driftActions, error) {
	to, do, err := driftTable.next(d.State, e)
	if err != nil {
		return 0, fmt.Errorf("drift of %q of product %s: %w", d.Field, d.Product, err)
	}
	d.State = to
	if do&takeValues != 0 {
		d.Catalog, d.Stripe = x.decision.Catalog, x.decision.Stripe
	}
	if do&takeAction != 0 {
		d.Action = x.decision.Action
	}
	if do&(takeDecision|dropDecision) != 0 {
		d.Decided = ""
	}
	if do&takeDecision != 0 {
		d.Decided = x.side
	}
	if do&clearReason != 0 {
		d.Detail = ""
	}
	if do&noteReason != 0 {
		d.Detail = x.reason
	}
	if do&countAttempt != 0 {
		d.Attempts++
	}
	if do&noteSettled != 0 {
		d.SettledAt = x.at
	}
	return do, nil
}

// productEvent is what happens to a product. The documentation shows its text.
type productEvent string

const (
	// The state of both sides was derived.
	productDead         productEvent = "a dead letter is open"
	productAgrees       productEvent = "nothing differs, except what is ignored"
	productHeld         productEvent = "something differs, and the guard holds the change"
	productDiffers      productEvent = "something differs"
	productExtraAgrees  productEvent = "only Stripe has it, and that is allowed"
	productExtraDiffers productEvent = "only Stripe has it, and that is a difference"
	productExtraIgnored productEvent = "only Stripe has it, and that is ignored"

	// Something about its drift changed.
	productNewVersion  productEvent = "the catalog has a new version"
	productOutlasted   productEvent = "the difference outlasted the grace period"
	productRetrying    productEvent = "the difference outlasted the grace period, and push will retry"
	productDriftFound  productEvent = "drift was found"
	productReopened    productEvent = "drift needs a new command"
	productDecided     productEvent = "an operator decided about drift"
	productAllSettled  productEvent = "all drift is settled, and something else differs"
	productCanImport   productEvent = "a product that waits for its import was read"
	productRestDiffers productEvent = "something else differs beside the drift"
	productForgotten   productEvent = "drift requires a command, and none is due"

	// The commands that are due were issued.
	productCommanded productEvent = "commands were issued"
	productPostponed productEvent = "the commands are postponed"
	productIdle      productEvent = "no command is required"

	// The change is complete.
	productChanged productEvent = "the change is complete"
)

// productActions is what an event does to a product besides its state. A product is due when FindDrift has to issue
// commands for it.
type productActions uint16

const (
	startDrift productActions = 1 << iota
	restartDrift
	restartGrace
	dueNow
	dueLater
	notDue
	countRepair
	forgetRepairs
	endDrift
)

func (a productActions) String() string {
	return phrases(uint16(a), []string{
		"store since when it has drifted, if that is not stored", "store since when it has drifted",
		"restart the grace period",
		"make it due now", "make it due later", "make it not due", "count the repair", "forget earlier repairs",
		"forget the drift's times",
	})
}

var (
	allStates  = []State{InSync, Pending, Held, Drifted, Dead, Extra}
	notDrifted = []State{InSync, Pending, Held, Dead, Extra}
)

// productTable is the life of a product.
var productTable = table[State, productEvent, productActions]{
	{productDead, allStates, Dead, 0},
	{productAgrees, allStates, InSync, 0},
	{productHeld, allStates, Held, 0},
	{productDiffers, []State{InSync, Pending, Dead, Extra}, Pending, 0},
	// Push is about to judge the change again, or to make it. It gets the time for that.
	{productDiffers, []State{Held}, Pending, restartGrace},
	{productDiffers, []State{Drifted}, "", 0},
	{productExtraAgrees, allStates, Extra, 0},
	{productExtraDiffers, notDrifted, Extra, 0},
	{productExtraDiffers, []State{Drifted}, "", 0},
	{productExtraIgnored, notDrifted, Extra, 0},
	{productExtraIgnored, []State{Drifted}, InSync, 0},

	{productNewVersion, []State{Drifted}, Pending, restartGrace},
	{productNewVersion, notDrifted, "", restartGrace},
	{productOutlasted, []State{Pending, Extra}, Drifted, restartDrift},
	{productRetrying, []State{Pending, Extra}, "", dueLater},
	{productDriftFound, []State{InSync, Pending, Drifted, Extra}, Drifted, startDrift | dueNow},
	{productReopened, []State{InSync, Pending, Drifted, Extra}, Drifted, restartDrift | dueNow},
	// A repair would fail in the same way, or be held as well.
	{productReopened, []State{Held, Dead}, "", 0},
	{productDecided, allStates, Drifted, dueNow | forgetRepairs},
	{productAllSettled, []State{Drifted}, Pending, restartGrace},
	{productCanImport, []State{Drifted}, "", dueNow},
	{productRestDiffers, []State{Drifted}, "", dueLater},
	// The policy no longer only reports the drift.
	{productForgotten, []State{Drifted}, "", dueNow},

	{productCommanded, []State{Drifted}, "", dueLater | countRepair},
	{productPostponed, []State{Drifted}, "", dueLater},
	{productIdle, []State{Drifted}, "", notDue},

	{productChanged, notDrifted, "", endDrift},
	{productChanged, []State{Drifted}, "", 0},
}

// on moves a product along its table. now is also when another grace period begins: with the zero time it begins when
// the states are next derived. later is when the product is due, if the event makes it due later.
func (p *Product) on(e productEvent, now, later time.Time) error {
	to, do, err := productTable.next(p.State, e)
	if err != nil {
		return fmt.Errorf("product %s: %w", p.ID, err)
	}
	p.State = to
	if do&restartDrift != 0 || do&startDrift != 0 && p.DriftedAt.IsZero() {
		p.DriftedAt = now
	}
	if do&restartGrace != 0 {
		p.DiffersSince = now
	}
	if do&dueNow != 0 {
		p.repairAt = now
	}
	if do&dueLater != 0 {
		p.repairAt = later
	}
	if do&(notDue|endDrift) != 0 {
		p.repairAt = time.Time{}
	}
	if do&countRepair != 0 {
		p.Repairs++
	}
	if do&(forgetRepairs|endDrift) != 0 {
		p.Repairs = 0
	}
	if do&endDrift != 0 {
		p.DriftedAt = time.Time{}
	}
	return nil
}
