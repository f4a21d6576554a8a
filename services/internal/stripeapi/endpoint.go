package stripeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nuid"
	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/form"
)

// MaxEndpoints is how many webhook endpoints an account may have (https://docs.stripe.com/webhooks).
const MaxEndpoints = 16

// PinnedVersion is the API version in which Driftless reads events. An endpoint's version is fixed when it is created.
const PinnedVersion = stripe.APIVersion

// Endpoint is a webhook endpoint in Stripe.
type Endpoint struct {
	ID          string            `json:"id"`
	URL         string            `json:"url"`
	Status      string            `json:"status"`
	APIVersion  string            `json:"api_version"`
	Events      []string          `json:"enabled_events"`
	Created     int64             `json:"created"`
	Livemode    bool              `json:"livemode"`
	Description string            `json:"description"`
	Metadata    map[string]string `json:"metadata"`
	// Secret signs the deliveries. Stripe shows it once, in the answer to the creation.
	Secret string `json:"-"`
}

// Problems returns the reasons why the endpoint does not deliver all events that Driftless reads. There are none if it
// does.
func (e Endpoint) Problems() []string {
	var out []string
	for _, t := range e.MissingEvents() {
		out = append(out, "it does not get "+t)
	}
	if !e.IsEnabled() {
		out = append(out, "it is "+e.Status)
	}
	if e.APIVersion != PinnedVersion {
		version := e.APIVersion
		if version == "" {
			version = "the account's default"
		}
		out = append(out, "its API version is "+version+", not "+PinnedVersion)
	}
	return out
}

// IsEnabled reports whether Stripe sends events to the endpoint.
func (e Endpoint) IsEnabled() bool { return e.Status == "enabled" }

// MissingEvents returns the types of events that Driftless reads and the endpoint does not get.
func (e Endpoint) MissingEvents() (out []string) {
	for _, t := range EventTypes {
		if !slices.Contains(e.Events, t) && !slices.Contains(e.Events, "*") {
			out = append(out, t)
		}
	}
	return out
}

// EndpointAccountKey is the key of an endpoint's metadata with the name of the mesh's account that it was created for.
const EndpointAccountKey = "driftless_account"

// NewEndpoint describes the endpoint to create.
type NewEndpoint struct {
	URL, Description string
	// Connect subscribes to the events of connected accounts instead of the key's own account.
	Connect  bool
	Metadata map[string]string
}

// ListEndpoints lists the webhook endpoints of the key's own account, the oldest first.
func (c *Client) ListEndpoints(ctx context.Context) ([]Endpoint, error) {
	var out []Endpoint
	for item, err := range c.list(ctx, "GET /v1/webhook_endpoints", "starting_after", "", func(*form.Values) {}) {
		if err != nil {
			return nil, fmt.Errorf("list webhook endpoints: %w", Classify(err))
		}
		var e Endpoint
		if err := json.Unmarshal(item.raw, &e); err != nil {
			return nil, fmt.Errorf("decode Stripe's webhook endpoint: %w", err)
		}
		out = append(out, e)
	}
	slices.Reverse(out)
	return out, nil
}

// CreateEndpoint creates an endpoint for the events that Driftless reads. The answer has its secret. If the answer is
// lost, the call is repeated with the same idempotency key, because the secret would be lost too.
func (c *Client) CreateEndpoint(ctx context.Context, n NewEndpoint) (Endpoint, error) {
	body := &form.Values{}
	body.Add("url", n.URL)
	body.Add("api_version", PinnedVersion)
	body.Add("description", n.Description)
	for i, t := range EventTypes {
		body.Add("enabled_events["+strconv.Itoa(i)+"]", t)
	}
	if n.Connect {
		body.Add("connect", "true")
	}
	for key, value := range n.Metadata {
		body.Add("metadata["+key+"]", value)
	}
	return c.writeEndpoint(ctx, "POST /v1/webhook_endpoints", "", body)
}

// UpdateEndpoint subscribes an existing endpoint to the events that Driftless reads, and enables it. Its API version
// cannot be changed.
func (c *Client) UpdateEndpoint(ctx context.Context, e Endpoint) (Endpoint, error) {
	body := &form.Values{}
	body.Add("disabled", "false")
	events := e.Events
	for _, t := range EventTypes {
		if !slices.Contains(events, t) && !slices.Contains(events, "*") {
			events = append(slices.Clone(events), t)
		}
	}
	for i, t := range events {
		body.Add("enabled_events["+strconv.Itoa(i)+"]", t)
	}
	return c.writeEndpoint(ctx, "POST /v1/webhook_endpoints/{id}", e.ID, body)
}

// maxWriteAttempts is how often a call about an endpoint is made, and writeDelay the time between attempts.
const (
	maxWriteAttempts = 3
	writeDelay       = 500 * time.Millisecond
)

func (c *Client) writeEndpoint(ctx context.Context, endpoint, id string, body *form.Values) (Endpoint, error) {
	key := "driftless-endpoint-" + nuid.Next()
	for attempt := 1; ; attempt++ {
		a, err := c.call(ctx, "", endpoint, id, key, body, nil)
		if err == nil {
			var e struct {
				Endpoint

				Secret string `json:"secret"`
			}
			if err := json.Unmarshal(a.body(), &e); err != nil {
				return Endpoint{}, fmt.Errorf("decode Stripe's webhook endpoint: %w", err)
			}
			e.Endpoint.Secret = e.Secret
			return e.Endpoint, nil
		}
		f := Classify(err)
		if f.Action != RetrySameKey || attempt == maxWriteAttempts || ctx.Err() != nil {
			return Endpoint{}, f
		}
		select {
		case <-ctx.Done():
		case <-time.After(writeDelay):
		}
	}
}

// DeleteEndpoint deletes an endpoint. It returns nil if there is none.
func (c *Client) DeleteEndpoint(ctx context.Context, id string) error {
	_, err := c.call(ctx, "", "DELETE /v1/webhook_endpoints/{id}", id, "", nil, nil)
	if err != nil && !IsNotFound(err) {
		return fmt.Errorf("delete webhook endpoint %s: %w", id, Classify(err))
	}
	return nil
}

// IsForbidden reports whether Stripe refused a call because the key lacks a permission.
func IsForbidden(err error) bool {
	var f *Failure
	return errors.As(err, &f) && f.Status == 403
}
