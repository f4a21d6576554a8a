package view

import (
	"net/url"
	"strconv"

	"github.com/driftless-sync/driftless/services/internal/visible"
)

// PriceAnchor returns the id of the element that shows a price on the page of its product.
func PriceAnchor(price string) string { return "price-" + price }

// PricePath returns the path of a price on the page of its product.
func PricePath(product, price string) string {
	return ProductPath(product) + "#" + url.PathEscape(PriceAnchor(price))
}

// StoryPath returns the path of the story of a version of a product.
func StoryPath(product string, version uint64) string {
	return ProductPath(product) + "/story/" + strconv.FormatUint(version, 10)
}

// SearchPath returns the path of the list of products in which a text is searched for.
func SearchPath(text string) string { return "/products?" + url.Values{"q": {text}}.Encode() }

// verdicts have a tone for each verdict of Explain that has one.
var verdicts = map[string]string{
	"equal": "good",

	"capturing": "busy", "syncing": "busy", "queued": "busy", "repairing": "busy", "writing_back": "busy",
	"waiting_for_rate": "busy",

	"unknown": "held", "held": "held", "paused": "held", "adopting": "held", "undecided": "held", "reported": "held",

	"not_captured": "bad", "missed": "bad", "refused": "bad", "dead": "bad", "halted": "bad", "push_down": "bad",
	"failing": "bad",
}

// VerdictTone returns the tone of a verdict. Only equal is good.
func VerdictTone(verdict string) string { return verdicts[verdict] }

// VerdictWords returns a verdict in words: "waiting for rate".
func VerdictWords(verdict string) string { return visible.Words(verdict) }
