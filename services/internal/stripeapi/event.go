package stripeapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Event is a Stripe event about a product or a price.
type Event struct {
	ID       string
	Type     string
	Created  int64
	Livemode bool
	// Account is set on events of connected accounts.
	Account        string
	IdempotencyKey string
	// KeyOmitted reports whether the event has an old form without the request's idempotency key.
	KeyOmitted bool
	// Thin reports whether the event names its object without showing it.
	Thin bool
	// Object is data.object, as Stripe sent it.
	Object json.RawMessage
	// ObjectID is the product's id or Stripe's id of the price.
	ObjectID string
	// ProductID is the id of the product. It is empty for a thin event about a price: see WithProduct.
	ProductID string
	// Changed are the names in data.previous_attributes.
	Changed []string
	// Raw is the complete event, as Stripe sent it.
	Raw json.RawMessage
	// Seen is the second of Stripe's clock at which the event was listed. It is 0 for an event from a webhook.
	Seen int64
}

// Verb returns what happened to the object: created, updated or deleted.
func (e Event) Verb() string { return e.Type[strings.LastIndexByte(e.Type, '.')+1:] }

// thinObject is the field object of thin events, which event destinations send.
const thinObject = "v2.core.event"

// PingType is the type of the event that Stripe sends to test an event destination.
const PingType = "v2.core.event_destination.ping"

// thinJSON is a thin event (https://docs.stripe.com/api/v2/core/events/object).
type thinJSON struct {
	Created time.Time `json:"created"`
	Context string    `json:"context"`
	Reason  *struct {
		Request struct {
			IdempotencyKey string `json:"idempotency_key"`
		} `json:"request"`
	} `json:"reason"`
	Related *struct {
		ID   string `json:"id"`
		Type string `json:"type"`
	} `json:"related_object"`
	// ProductOfPrice is Driftless's own field: see WithProduct.
	ProductOfPrice string `json:"driftless_product"`
}

// maxIDLength is the maximum length of an event's id and type in bytes. They become headers of a message, which have
// little room.
const maxIDLength = 255

// DecodeEvent reads an event about a product or price. ok is false for an event about anything else.
func DecodeEvent(raw []byte) (e Event, ok bool, err error) {
	var j struct {
		ID       string          `json:"id"`
		Object   string          `json:"object"`
		Type     string          `json:"type"`
		Created  json.RawMessage `json:"created"`
		Livemode bool            `json:"livemode"`
		Account  string          `json:"account"`
		Request  json.RawMessage `json:"request"`
		Data     struct {
			Object   json.RawMessage            `json:"object"`
			Previous map[string]json.RawMessage `json:"previous_attributes"`
		} `json:"data"`
	}
	if err := json.Unmarshal(raw, &j); err != nil {
		return Event{}, false, fmt.Errorf("decode Stripe's event: %w", err)
	}
	if j.ID == "" || j.Type == "" {
		return Event{}, false, errors.New("not a Stripe event: it has no id or type")
	}
	if len(j.ID) > maxIDLength || len(j.Type) > maxIDLength {
		return Event{}, false, fmt.Errorf("not a Stripe event: its id or type is longer than %d bytes", maxIDLength)
	}
	e = Event{ID: j.ID, Type: j.Type, Livemode: j.Livemode, Account: j.Account, Raw: raw}
	if j.Object == thinObject {
		return decodeThin(e)
	}
	if len(j.Created) > 0 {
		if err := json.Unmarshal(j.Created, &e.Created); err != nil {
			return Event{}, false, fmt.Errorf("decode the time of Stripe's event %s: %w", j.ID, err)
		}
	}
	var object struct {
		ID      string    `json:"id"`
		Object  string    `json:"object"`
		Product reference `json:"product"`
	}
	if len(j.Data.Object) > 0 {
		if err := json.Unmarshal(j.Data.Object, &object); err != nil {
			return Event{}, false, fmt.Errorf("decode the object of Stripe's event %s: %w", j.ID, err)
		}
	}
	e.Object, e.ObjectID = j.Data.Object, object.ID
	for name := range j.Data.Previous {
		e.Changed = append(e.Changed, name)
	}
	// Very old API versions write the request as a bare id, without a key.
	e.KeyOmitted = len(j.Request) > 0 && j.Request[0] == '"'
	var request struct {
		IdempotencyKey string `json:"idempotency_key"`
	}
	if json.Unmarshal(j.Request, &request) == nil {
		e.IdempotencyKey = request.IdempotencyKey
	}
	switch object.Object {
	case "product":
		e.ProductID = object.ID
	case "price":
		e.ProductID = string(object.Product)
	}
	return e, e.ProductID != "", nil
}

// decodeThin reads a thin event. Event destinations send many types. Only those about products and prices concern
// Driftless, such as v1.product.updated or v1.price.created.
func decodeThin(e Event) (Event, bool, error) {
	var j thinJSON
	if err := json.Unmarshal(e.Raw, &j); err != nil {
		return Event{}, false, fmt.Errorf("decode Stripe's event %s: %w", e.ID, err)
	}
	e.Thin, e.Created, e.Account = true, j.Created.Unix(), j.Context
	if e.Type == PingType || j.Related == nil {
		return e, false, nil
	}
	if j.Reason != nil {
		e.IdempotencyKey = j.Reason.Request.IdempotencyKey
	}
	e.Type, e.ObjectID = strings.TrimPrefix(e.Type, "v1."), j.Related.ID
	switch j.Related.Type {
	case "product":
		e.ProductID = e.ObjectID
	case "price":
		e.ProductID = j.ProductOfPrice
	default:
		return e, false, nil
	}
	return e, e.ObjectID != "", nil
}

// WithProduct returns a thin event about a price with the price's product added, also in its raw form.
func (e Event) WithProduct(id string) (Event, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(e.Raw, &fields); err != nil {
		return e, fmt.Errorf("decode Stripe's event %s: %w", e.ID, err)
	}
	text, err := json.Marshal(id)
	if err != nil {
		return e, fmt.Errorf("encode Stripe's event %s: %w", e.ID, err)
	}
	fields["driftless_product"] = text
	if e.Raw, err = json.Marshal(fields); err != nil {
		return e, fmt.Errorf("encode Stripe's event %s: %w", e.ID, err)
	}
	e.ProductID = id
	return e, nil
}

// CreatedText returns the event's time in the form of Stripe's list parameters.
func (e Event) CreatedText() string { return strconv.FormatInt(e.Created, 10) }
