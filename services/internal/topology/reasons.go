package topology

// Reasons of dead letters: classes of failure, the same in documents, metrics and on the command line.
const (
	// ReasonInvalidProduct: the catalog's state breaks one of Stripe's rules; nothing was sent.
	ReasonInvalidProduct = "invalid_product"
	// ReasonQueryFailed: a query of the mapping fails for the product; what it wants is not known.
	ReasonQueryFailed = "query_failed"
	// ReasonRefused: Stripe refused a call for good.
	ReasonRefused = "refused_by_stripe"
	// ReasonNotConverging: Stripe accepted every call and still holds something else.
	ReasonNotConverging = "not_converging"
	// ReasonExhausted: an error of unknown nature stayed through every attempt.
	ReasonExhausted = "exhausted"
	// ReasonLinked: Stripe holds a product under the id, and it stands for another product of the catalog.
	ReasonLinked = "linked_elsewhere"
	// ReasonUndecodable: the message is not what its subject promises.
	ReasonUndecodable = "undecodable"
	// ReasonWriteBackFailed: the operator's tables could not be given Stripe's values; nothing was written.
	ReasonWriteBackFailed = "write_back_failed"
	// ReasonUnstorable: the ledger's database refuses what the message says, and always will.
	ReasonUnstorable = "unstorable"
)

// Reasons are all of them.
func Reasons() []string {
	return []string{
		ReasonInvalidProduct, ReasonQueryFailed, ReasonRefused, ReasonNotConverging, ReasonExhausted,
		ReasonLinked, ReasonUndecodable, ReasonWriteBackFailed, ReasonUnstorable,
	}
}
