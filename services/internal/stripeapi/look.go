package stripeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/form"
)

// Look is what the answer to a call shows about Stripe and the key. Its object does not matter.
type Look struct {
	// Failure is nil if Stripe executed the call.
	Failure *Failure
	// Answered reports whether Stripe answered at all.
	Answered bool
	// At is the time of the answer by Stripe's clock, zero if unknown.
	At time.Time
	// Version is the API version of the answer, empty if it names none.
	Version string
}

// IsForbidden reports whether the key lacks the permission for the call.
func (l Look) IsForbidden() bool { return l.Failure != nil && l.Failure.Status == http.StatusForbidden }

// LookAtList reads one object of a list, such as "GET /v1/events". It counts towards the read allowance.
func (c *Client) LookAtList(ctx context.Context, endpoint string) Look {
	body := &form.Values{}
	body.Add("limit", "1")
	return c.look(ctx, endpoint, "", body)
}

// noObject is an id that no object has. Stripe checks the permissions of a key before it looks for the object.
const noObject = "driftless_doctor_no_such_object"

// LookAtUpdate asks for an empty update of an object that does not exist, such as "POST /v1/products/{id}". Stripe
// answers that there is none if the key may write such objects. Nothing is changed.
func (c *Client) LookAtUpdate(ctx context.Context, endpoint string) Look {
	l := c.look(ctx, endpoint, noObject, &form.Values{})
	if l.Failure != nil && l.Failure.Status == http.StatusNotFound {
		l.Failure = nil
	}
	return l
}

func (c *Client) look(ctx context.Context, endpoint, id string, body *form.Values) Look {
	a, err := c.call(ctx, "", endpoint, id, "", body, nil)
	var header http.Header
	var refused *stripe.Error
	switch {
	case err == nil:
		header = a.LastResponse.Header
	case errors.As(err, &refused) && refused.LastResponse != nil:
		header = refused.LastResponse.Header
	}
	l := Look{Answered: header != nil, Version: header.Get("Stripe-Version")}
	if err != nil {
		l.Failure = Classify(err)
	}
	if at, err := http.ParseTime(header.Get("Date")); err == nil {
		l.At = at
	}
	return l
}

// Undelivered is an event that has not reached all webhook endpoints.
type Undelivered struct {
	ID, Type string
	Created  time.Time
}

// Deliveries says how the webhooks of the latest events went.
type Deliveries struct {
	// Events is how many events were read, of the types that Driftless reads.
	Events int
	// Undelivered are those that at least one endpoint has not accepted yet, the latest first.
	Undelivered []Undelivered
	// Latest is when the latest event that was delivered to all endpoints was created, zero if there is none.
	Latest time.Time
}

// LookAtDeliveries reads one page of the latest events.
func (c *Client) LookAtDeliveries(ctx context.Context) (d Deliveries, err error) {
	body := &form.Values{}
	body.Add("limit", strconv.Itoa(pageSize))
	for i, t := range EventTypes {
		body.Add("types["+strconv.Itoa(i)+"]", t)
	}
	a, err := c.read(ctx, "GET /v1/events", "", body)
	if err != nil {
		return d, fmt.Errorf("list events: %w", Classify(err))
	}
	var page struct {
		Data []struct {
			ID      string `json:"id"`
			Type    string `json:"type"`
			Created int64  `json:"created"`
			Pending int    `json:"pending_webhooks"`
		} `json:"data"`
	}
	if err := json.Unmarshal(a.body(), &page); err != nil {
		return d, fmt.Errorf("decode Stripe's list of events: %w", err)
	}
	d.Events = len(page.Data)
	for _, e := range page.Data {
		at := time.Unix(e.Created, 0)
		switch {
		case e.Pending > 0:
			d.Undelivered = append(d.Undelivered, Undelivered{e.ID, e.Type, at})
		case d.Latest.IsZero():
			d.Latest = at
		}
	}
	return d, nil
}
