package topology

// Reason is a class of failure of dead letters. Messages, metrics, documents and the command line use the same name.
type Reason struct {
	Name    string
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
	{ReasonInvalidProduct, "the catalog's state breaks one of Stripe's rules; nothing was sent"},
	{ReasonQueryFailed, "a query of the mapping fails for the product, so its desired state is not known"},
	{ReasonCheckFailed, "the product violates a check of `catalog.checks` that refuses it; nothing was sent"},
	{ReasonRefused, "Stripe refused a call permanently"},
	{ReasonNotConverging, "Stripe accepted every call and still has another state"},
	{ReasonExhausted, "an unclassified error persisted through every attempt"},
	{ReasonLinked, "the id is that of a Stripe product that is linked to another product of the catalog"},
	{ReasonUndecodable, "the message does not decode as its subject requires"},
	{ReasonWriteBackFailed, "the operator's tables did not accept Stripe's values; nothing was written"},
	{ReasonUnstorable, "the ledger's database refuses the message permanently"},
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
