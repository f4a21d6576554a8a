package topology

// Reason is a class of failure of dead letters. Messages, metrics, pages, the console and the command line use the same
// name.
type Reason struct {
	Name string
	// About says what a letter with the reason is about.
	About About
	// Title is a heading of the console.
	Title string
	// Meaning is for docs/runbooks/DriftlessDeadLetters.md.
	Meaning string
}

// About says what a dead letter is about, and so what closes it and who replays it.
type About int

const (
	// AboutState means a state of the product. A later state closes the letter. To replay it, the service that refused
	// the state reads the latest one.
	AboutState About = iota + 1
	// AboutMessage means a message, which may not even name a product of the catalog. Push replays the letter: it reads
	// the product from Stripe.
	AboutMessage
	// AboutWriteBack means values of Stripe that the tables did not take. A person decides. Push replays the letter,
	// since what was to be written may be outdated.
	AboutWriteBack
)

// Names of the reasons of dead letters.
const (
	ReasonInvalidProduct  = "invalid_product"
	ReasonQueryFailed     = "query_failed"
	ReasonCheckFailed     = "check_failed"
	ReasonRefused         = "refused_by_stripe"
	ReasonNotConverging   = "not_converging"
	ReasonExhausted       = "exhausted"
	ReasonLinked          = "linked_elsewhere"
	ReasonUndecodable     = "undecodable"
	ReasonWriteBackFailed = "write_back_failed"
	ReasonUnstorable      = "unstorable"
)

// reasons is the one table of reasons. A test checks that it has every constant.
var reasons = []Reason{
	{
		ReasonInvalidProduct, AboutState, "The row breaks a rule of Stripe's",
		"the catalog's state breaks one of Stripe's rules; nothing was sent",
	},
	{
		ReasonQueryFailed, AboutState, "A query of the mapping fails",
		"a query of the mapping fails for this product",
	},
	{
		ReasonCheckFailed, AboutState, "A check of yours refuses it",
		"the product violates a check of `catalog.checks` with `severity: refuse`; nothing was sent",
	},
	{
		ReasonRefused, AboutState, "Stripe refuses it",
		"Stripe refused a call for good",
	},
	{
		ReasonNotConverging, AboutState, "It stays different after every try",
		"Stripe accepted every call and still holds something else",
	},
	{
		ReasonExhausted, AboutState, "Too many attempts failed",
		"an error stayed through every attempt, or the product is too large to be stored",
	},
	{
		ReasonLinked, AboutState, "Another product is linked to it",
		"the id is that of a Stripe product that belongs to another product of the catalog",
	},
	{
		ReasonUndecodable, AboutMessage, "The message cannot be read",
		"a message, or an object of Stripe in a scan, could not be read",
	},
	{
		ReasonWriteBackFailed, AboutWriteBack, "The tables do not take Stripe's value",
		"your tables did not accept Stripe's values; nothing was written",
	},
	{
		ReasonUnstorable, AboutMessage, "It cannot be stored",
		"the ledger's database refuses the message; what it knows of the product may be old",
	},
}

// Reasons returns all reasons.
func Reasons() []Reason { return append([]Reason(nil), reasons...) }

// ReasonNames returns the names of all reasons.
func ReasonNames() []string {
	names := make([]string, len(reasons))
	for i, r := range reasons {
		names[i] = r.Name
	}
	return names
}

// ReasonAbout returns what letters with a reason are about. It returns 0 for a reason that only another version of
// Driftless has.
func ReasonAbout(name string) About {
	for _, r := range reasons {
		if r.Name == name {
			return r.About
		}
	}
	return 0
}
