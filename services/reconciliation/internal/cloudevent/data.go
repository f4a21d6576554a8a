package cloudevent

import (
	"time"
	"unicode/utf8"
)

// maxText bounds each text of others, in bytes, so that every event fits into a message of NATS.
const maxText = 4000

// Text returns a text of others for an event. A long one is cut and ends with an ellipsis.
func Text(s string) string {
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// The types of data. Their tags doc are the descriptions in docs/events.schema.json.
type (
	// Price is the data of PriceLive and PriceArchived.
	Price struct {
		ProductID         string     `json:"product_id"                    doc:"The product's id in the catalog."`
		StripeProductID   string     `json:"stripe_product_id"             doc:"The product's id in Stripe."`
		PriceID           string     `json:"price_id"                      doc:"The price's id in the catalog."`
		StripePriceID     string     `json:"stripe_price_id"               doc:"The price's id in Stripe."`
		LookupKey         string     `json:"lookup_key,omitempty"          doc:"The price's lookup key in Stripe."`
		Currency          string     `json:"currency,omitempty"            doc:"A code in lower case, as Stripe writes it."`
		UnitAmount        *int64     `json:"unit_amount,omitempty"         doc:"Minor units. Absent if the amount has a fraction of one, or if the price has tiers or lets the customer choose."`
		UnitAmountDecimal string     `json:"unit_amount_decimal,omitempty" doc:"Minor units with up to 12 decimals. Absent if the price has tiers or lets the customer choose."`
		BillingScheme     string     `json:"billing_scheme"                doc:"per_unit or tiered."`
		Recurring         *Recurring `json:"recurring,omitempty"           doc:"Absent for a one-time price."`
		Version           string     `json:"version,omitempty"             doc:"The latest version of the catalog that Stripe has in full. Absent if none is known."`
	}

	// Recurring says how often a price is charged.
	Recurring struct {
		Interval      string `json:"interval"       doc:"day, week, month or year."`
		IntervalCount uint32 `json:"interval_count" doc:"The number of intervals between two charges."`
	}

	// Product is the data of ProductLive and ProductArchived.
	Product struct {
		ProductID       string `json:"product_id"        doc:"The product's id in the catalog."`
		StripeProductID string `json:"stripe_product_id" doc:"The product's id in Stripe."`
		Name            string `json:"name,omitempty"    doc:"The product's name in Stripe."`
		Deleted         bool   `json:"deleted"           doc:"Stripe does not have the product any more."`
		Version         string `json:"version,omitempty" doc:"The latest version of the catalog that Stripe has in full. Absent if none is known."`
	}

	// Drift is the data of DriftFound and DriftSettled.
	Drift struct {
		ProductID     string    `json:"product_id"                doc:"The product's id in the catalog, or in Stripe if only Stripe has the product."`
		DriftID       string    `json:"drift_id"                  doc:"The same in both events of one drift."`
		DifferenceOf  string    `json:"kind"                      doc:"The kind of difference, such as field or missing."`
		Field         string    `json:"field,omitempty"           doc:"In Stripe's names. Absent for the product as a whole."`
		Catalog       string    `json:"catalog,omitempty"         doc:"The value in the catalog. Absent for none."`
		Stripe        string    `json:"stripe,omitempty"          doc:"The value in Stripe. Absent for none."`
		Action        string    `json:"action"                    doc:"The policy's action: repair, write-back or report."`
		State         string    `json:"state"                     doc:"The state of the drift: found, reported, waiting, repaired or written_back, for example."`
		Since         time.Time `json:"since"                     doc:"When it was found."`
		CausedBy      string    `json:"caused_by"                 doc:"dashboard, api_key or unknown, as far as it was known when the event was made."`
		StripeEventID string    `json:"stripe_event_id,omitempty" doc:"The event of Stripe that caused it, if it was known when the event was made."`
		Reason        string    `json:"reason,omitempty"          doc:"Why it needs a decision. Absent if it does not."`
	}

	// Held is the data of ChangeHeld.
	Held struct {
		ProductID string    `json:"product_id" doc:"The product's id in the catalog."`
		Version   string    `json:"version"    doc:"The version of the catalog that is held."`
		Findings  []Finding `json:"findings"   doc:"Why it is held, the most important first. At most ten."`
	}

	// Finding is a rule's reason to hold a change.
	Finding struct {
		Rule    string `json:"rule"               doc:"The rule of the guard, or check:NAME for a check of the operator."`
		PriceID string `json:"price_id,omitempty" doc:"The price's id in the catalog. Absent if it is about the product."`
		Before  string `json:"before,omitempty"   doc:"The price before the change, in words."`
		After   string `json:"after,omitempty"    doc:"The price after the change, in words."`
		Message string `json:"message,omitempty"  doc:"The reason in words."`
	}

	// Released is the data of ChangeReleased.
	Released struct {
		ProductID  string   `json:"product_id"            doc:"The product's id in the catalog."`
		Version    string   `json:"version"               doc:"The version of the catalog that was held."`
		Outcome    string   `json:"outcome"               doc:"approved: enough people approved it. replaced: the catalog has a later version, which may be held in turn; a rejected change ends so. ended: neither was seen, and nothing is held any more."`
		ApprovedBy []string `json:"approved_by,omitempty" doc:"The people who approved it."`
	}

	// Dead is the data of ChangeDead.
	Dead struct {
		ProductID       string `json:"product_id"                  doc:"The product's id in the catalog."`
		LetterID        string `json:"letter_id"                   doc:"The id of the dead letter."`
		Service         string `json:"service"                     doc:"The service that gave up."`
		Reason          string `json:"reason"                      doc:"The reason of the dead letter, such as refused_by_stripe."`
		Message         string `json:"message,omitempty"           doc:"The error, in Stripe's words where Stripe refused."`
		Field           string `json:"field,omitempty"             doc:"The field concerned, in Stripe's names, if it is known."`
		StripeCode      string `json:"stripe_code,omitempty"       doc:"Stripe's code of the error."`
		StripeRequestID string `json:"stripe_request_id,omitempty" doc:"Stripe's id of the request that failed."`
		Attempts        uint32 `json:"attempts"                    doc:"The number of attempts."`
		Version         string `json:"version,omitempty"           doc:"The version of the catalog that could not be applied. Absent if the letter is about none."`
	}

	// Recovered is the data of ChangeRecovered.
	Recovered struct {
		ProductID string `json:"product_id"          doc:"The product's id in the catalog."`
		LetterID  string `json:"letter_id,omitempty" doc:"The id of the dead letter that was closed last."`
		Reason    string `json:"reason,omitempty"    doc:"The reason of that letter."`
	}
)

// The outcomes of a hold.
const (
	// Approved means that enough people approved the change, and push makes it.
	Approved = "approved"
	// Replaced means that the catalog has a later version, which may be held in turn. A rejected change ends so.
	Replaced = "replaced"
	// Ended means that neither was seen, and the guard holds nothing any more.
	Ended = "ended"
)
