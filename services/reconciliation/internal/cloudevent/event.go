// Package cloudevent has the events that other programs read: their kinds, their data, and their form as CloudEvents
// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md). docs/events.md is the contract, and
// docs/events.schema.json its schema. It has no I/O.
package cloudevent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Kind is what happened.
type Kind string

// The kinds. They are part of the contract: programs subscribe to events.<account>.<kind>.
const (
	PriceLive       Kind = "price.live"
	PriceArchived   Kind = "price.archived"
	ProductLive     Kind = "product.live"
	ProductArchived Kind = "product.archived"
	DriftFound      Kind = "drift.found"
	DriftSettled    Kind = "drift.settled"
	ChangeHeld      Kind = "change.held"
	ChangeReleased  Kind = "change.released"
	ChangeDead      Kind = "change.dead"
	ChangeRecovered Kind = "change.recovered"
)

// Kinds lists all kinds.
var Kinds = []Kind{
	PriceLive, PriceArchived, ProductLive, ProductArchived, DriftFound, DriftSettled, ChangeHeld, ChangeReleased,
	ChangeDead, ChangeRecovered,
}

// version is the version of each kind's data. A field may be added to a version. Any other change needs another one.
const version = "v1"

// Type returns the kind's type, such as driftless.price.live.v1.
func (k Kind) Type() string { return "driftless." + string(k) + "." + version }

// Event is something that happened to a product.
type Event struct {
	Kind    Kind
	Account string
	Product string
	At      time.Time
	// Fact distinguishes the event from others of its kind and product. An event that is made again for the same fact
	// has the same Fact.
	Fact string
	// Traceparent is the trace that the event belongs to. Empty for none.
	Traceparent string
	// Data is one of the types of data.go.
	Data any
}

// ID returns the event's id. It depends only on the account, the kind, the product and the fact.
func (e Event) ID() string {
	h := sha256.New()
	for _, part := range []string{e.Account, string(e.Kind), e.Product, e.Fact} {
		// The length keeps two different lists of parts apart.
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// envelope is a CloudEvent in structured mode.
type envelope struct {
	SpecVersion     string `json:"specversion"`
	ID              string `json:"id"`
	Source          string `json:"source"`
	Type            string `json:"type"`
	Subject         string `json:"subject,omitempty"`
	Time            string `json:"time"`
	Traceparent     string `json:"traceparent,omitempty"`
	DataContentType string `json:"datacontenttype"`
	Data            any    `json:"data"`
}

// Encode returns the event as JSON.
func (e Event) Encode() ([]byte, error) {
	out := envelope{
		SpecVersion:     "1.0",
		ID:              e.ID(),
		Source:          "/driftless/" + e.Account,
		Type:            e.Kind.Type(),
		Time:            e.At.UTC().Format(time.RFC3339Nano),
		Traceparent:     e.Traceparent,
		DataContentType: "application/json",
		Data:            e.Data,
	}
	if isAttribute(e.Product) {
		out.Subject = e.Product
	}
	body, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode event %s about product %s: %w", e.Kind, e.Product, err)
	}
	return body, nil
}

// isAttribute reports whether an attribute of a CloudEvent may have a value. Control characters are not allowed. Only
// the id of a product that Stripe would refuse has any.
func isAttribute(value string) bool {
	return value != "" && utf8.ValidString(value) && !strings.ContainsFunc(value, unicode.IsControl)
}
