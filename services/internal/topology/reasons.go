package topology

// Reason is a class of failure of dead letters. Messages, metrics, pages, the console and the command line use the same
// name.
type Reason struct {
	Name string
	// Title is a heading of the console.
	Title string
	// Meaning is for docs/runbooks/DriftlessDeadLetters.md.
	Meaning string
}

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
		ReasonInvalidProduct, "The row breaks a rule of Stripe's",
		"the catalog's state breaks one of Stripe's rules; nothing was sent",
	},
	{
		ReasonQueryFailed, "A query of the mapping fails",
		"a query of the mapping fails for this product",
	},
	{
		ReasonCheckFailed, "A check of yours refuses it",
		"the product violates a check of `catalog.checks` with `severity: refuse`; nothing was sent",
	},
	{
		ReasonRefused, "Stripe refuses it",
		"Stripe refused a call for good",
	},
	{
		ReasonNotConverging, "It stays different after every try",
		"Stripe accepted every call and still holds something else",
	},
	{
		ReasonExhausted, "Too many attempts failed",
		"an error stayed through every attempt, or the product is too large to be stored",
	},
	{
		ReasonLinked, "Another product is linked to it",
		"the id is that of a Stripe product that belongs to another product of the catalog",
	},
	{
		ReasonUndecodable, "The message cannot be read",
		"a message could not be read",
	},
	{
		ReasonWriteBackFailed, "The tables do not take Stripe's value",
		"your tables did not accept Stripe's values; nothing was written",
	},
	{
		ReasonUnstorable, "It cannot be stored",
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
