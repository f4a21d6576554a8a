package ledger

import (
	"time"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/cloudevent"
)

// Product is a row of the ledger.
type Product struct {
	ID string
	// Desired is nil if the catalog never had the product.
	Desired *catalogv1.ProductChange
	// Observed is nil if nothing is known of the product in Stripe.
	Observed *catalogv1.Observed
	State    State
	// Differs reports whether there are steps that would make Stripe equal to the catalog.
	Differs bool
	// DiffersSince is zero if the sides do not differ. A new version restarts it.
	DiffersSince time.Time
	// DriftedAt is zero unless the product has drifted.
	DriftedAt time.Time
	// Repairs is how many repairs were commanded since then.
	Repairs int
	// Decisions are about all differences, including those that are only reported. Their texts are as the ledger stores
	// them.
	Decisions []catalog.Decision

	desiredVersion uint64
	desiredAt      Position
	observedAt     Position
	// desiredSince and observedSince are since when each side has been as it is. desiredFirst is the first version with
	// this content, 0 if that is not known.
	desiredSince, observedSince time.Time
	desiredFirst                uint64
	// deadVersion is the version of the open dead letter that has one. deadUnversioned reports whether a letter without
	// a version is open.
	deadVersion     *uint64
	deadUnversioned bool
	repairAt        time.Time
	// effective is the desired state with the values of Stripe's that the policy keeps.
	effective *catalogv1.ProductChange
	// current is the observed state with the overlaps of prices as they are now: see catalog.ResolveAt.
	current *catalogv1.Observed
	// fieldNames are the names of differing fields by the names that the ledger stores, where the two differ.
	fieldNames map[string]string
	// hasDifferences reports whether there are any differences.
	hasDifferences bool
	// open is the open drift as far as it was loaded. storedOpen is how many rows of it are stored.
	open       []*Drift
	storedOpen int
	// externalChanges returns the differences that others have made with a change of the observed state.
	externalChanges func(*Ledger) []catalog.Decision
	// readWhole reports that the change under way completes a read of the product together with its prices. An import
	// may then go on.
	readWhole bool
	// newEventIDs are the Stripe events that the change under way takes into account.
	newEventIDs []string
	// unattributed is new drift whose cause may be an event that is being recorded.
	unattributed []*Drift
	// traceparent is the span that sent the message of the change under way.
	traceparent string
	// past are the states that the changes under way replace.
	past []pastState
	// isIdentified reports whether the ids of the product, as it was read, are stored. knownIdentifiers are the ids
	// that are stored, and missingIdentifiers those that may not be.
	isIdentified                         bool
	knownIdentifiers, missingIdentifiers map[identifier]bool
	// entryData is the data of the entry in the audit trail.
	entryData []byte
	// closedLetters are the letters that the change under way closes.
	closedLetters []*meshv1.DeadLetter
	// found and settled are the drift that the change under way opens and settles. messages are what is to be published
	// about it.
	found, settled []ProductDrift
	messages       []Message
	// loaded is the product as it was read. events are for other programs, about what has changed since.
	loaded *Product
	events []cloudevent.Event
}

// Steps returns the calls that bring Stripe to the state that the policy wants.
func (p *Product) Steps() []catalog.Step { return catalog.Diff(p.effective, p.current) }

// Traceparent returns the span that sent the message that is being applied. It is empty outside of such a change.
func (p *Product) Traceparent() string { return p.traceparent }

// Open returns the product's open drift, as far as it was loaded with the product.
func (p *Product) Open() []*Drift { return p.open }

// IsGone reports whether a product is neither in the catalog nor active in Stripe. It left the catalog, or never was in
// it.
func (p *Product) IsGone() bool {
	return p.Desired.GetProduct() == nil && !p.Observed.GetProduct().GetActive()
}

// Differences returns the fields that the steps change. Their texts are not those that the ledger stores.
func (p *Product) Differences() []catalog.Difference { return catalog.Compare(p.effective, p.Observed) }

// Outline describes what the steps do.
func (p *Product) Outline() []catalog.Planned { return catalog.Outline(p.effective, p.current) }

// Kept returns the replaced prices that stay active for a while.
func (p *Product) Kept() []*catalogv1.ObservedPrice {
	return catalog.KeptPrices(p.effective, p.current)
}
