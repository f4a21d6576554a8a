package stripesim

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxEndpoints is the maximum number of webhook endpoints of an account.
const maxEndpoints = 16

// endpoint is a stored webhook endpoint. It is never modified, only replaced.
type endpoint struct {
	ID          string            `json:"id"`
	URL         string            `json:"url"`
	Secrets     []string          `json:"secrets"`
	Events      []string          `json:"events,omitempty"` // none means all
	Version     string            `json:"version,omitempty"`
	Connect     bool              `json:"connect,omitempty"`
	Disabled    bool              `json:"disabled,omitempty"`
	Created     int64             `json:"created"`
	Description *string           `json:"description,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	// configured endpoints come from Config at every start, not from the journal.
	configured bool
}

type endpointJSON struct {
	ID            string            `json:"id"`
	Object        string            `json:"object"`
	APIVersion    *string           `json:"api_version"`
	Application   *string           `json:"application"`
	Created       int64             `json:"created"`
	Description   *string           `json:"description"`
	EnabledEvents []string          `json:"enabled_events"`
	Livemode      bool              `json:"livemode"`
	Metadata      map[string]string `json:"metadata"`
	Secret        string            `json:"secret,omitempty"`
	Status        string            `json:"status"`
	URL           string            `json:"url"`
}

// configured returns an endpoint of the configuration. Its id is the same at every start, so that pending deliveries
// find it after a restart.
func configured(i int, w Webhook, cfg Config) *endpoint {
	sum := sha256.Sum256([]byte(strconv.Itoa(i) + " " + w.URL))
	return &endpoint{
		ID: "we_1" + hex.EncodeToString(sum[:])[:23], URL: w.URL, Secrets: w.Secrets, Events: w.Events,
		Version: w.APIVersion, Connect: w.Connect,
		Created: cfg.Clock().Unix(), configured: true,
	}
}

var createEndpointParams = map[string]shape{
	"api_version":    {max: 5000},
	"connect":        {kind: boolean},
	"description":    {max: 5000, clears: true},
	"enabled_events": {kind: list, item: &shape{max: 5000}, required: true},
	"expand":         expandParam,
	"metadata":       {kind: metadata, clears: true},
	"url":            {kind: address, required: true},
}

var updateEndpointParams = map[string]shape{
	"description":    {max: 5000, clears: true},
	"disabled":       {kind: boolean},
	"enabled_events": {kind: list, item: &shape{max: 5000}},
	"expand":         expandParam,
	"metadata":       {kind: metadata, clears: true},
	"url":            {kind: address},
}

func (t *tx) createEndpoint(c *call) (any, *refusal) {
	e := &endpoint{
		ID:      newID("we_1", 23),
		Created: c.now.Unix(),
		Version: c.form.text("api_version"),
		Secrets: []string{newID("whsec_", 32)},
	}
	e.Connect, _ = c.form.flag("connect")
	if e.Version != "" && !apiVersion.MatchString(e.Version) {
		return nil, invalid("", "api_version", "Invalid API version: %s", e.Version)
	}
	if r := e.write(c.form); r != nil {
		return nil, r
	}
	if t.endpoints.len() >= maxEndpoints {
		return nil, refuse("", "", "You have reached the maximum of %d webhook endpoints.", maxEndpoints)
	}
	t.putEndpoint(e)
	out := t.renderEndpoint(e)
	out.Secret = e.Secrets[0] // shown only in this answer
	return out, nil
}

func (e *endpoint) write(f *field) *refusal {
	if events := f.get("enabled_events"); events != nil {
		e.Events = values(events)
		for _, kind := range e.Events {
			if kind != "*" && !strings.Contains(kind, ".") {
				return invalid("", "enabled_events", "Invalid event type: %s", kind)
			}
		}
	}
	if url := f.text("url"); url != "" {
		e.URL = url
	}
	if f.get("description") != nil {
		e.Description = f.optional("description")
	}
	var r *refusal
	e.Metadata, r = mergeMetadata(e.Metadata, f.get("metadata"))
	return r
}

func (t *tx) updateEndpoint(c *call) (any, *refusal) {
	old := t.endpoints.get(c.id)
	if old == nil {
		return nil, t.notFound(c, "webhook endpoint")
	}
	e := *old
	if disabled, sent := c.form.flag("disabled"); sent {
		e.Disabled = disabled
	}
	if r := e.write(c.form); r != nil {
		return nil, r
	}
	t.putEndpoint(&e)
	return t.renderEndpoint(&e), nil
}

func (t *tx) getEndpoint(c *call) (any, *refusal) {
	if e := t.endpoints.get(c.id); e != nil {
		return t.renderEndpoint(e), nil
	}
	return nil, t.notFound(c, "webhook endpoint")
}

func (t *tx) deleteEndpoint(c *call) (any, *refusal) {
	if t.endpoints.get(c.id) == nil {
		return nil, t.notFound(c, "webhook endpoint")
	}
	t.removeEndpoint(c.id)
	return deletedJSON{ID: c.id, Object: "webhook_endpoint", Deleted: true}, nil
}

func (t *tx) listEndpoints(c *call) (any, *refusal) {
	page, r := readPage(c, "webhook endpoint", &t.endpoints)
	if r != nil {
		return nil, r
	}
	found, more := page.collect(func(*endpoint) bool { return true })
	out := make([]any, len(found))
	for i, e := range found {
		out[i] = t.renderEndpoint(e)
	}
	return listJSON{Object: "list", Data: out, HasMore: more, URL: "/v1/webhook_endpoints"}, nil
}

func (s *store) renderEndpoint(e *endpoint) endpointJSON {
	out := endpointJSON{
		ID: e.ID, Object: "webhook_endpoint", Created: e.Created, Description: e.Description, EnabledEvents: e.Events,
		Livemode: s.live, Metadata: e.Metadata, Status: "enabled", URL: e.URL,
	}
	if e.Version != "" {
		out.APIVersion = &e.Version
	}
	if e.Disabled {
		out.Status = "disabled"
	}
	if len(out.EnabledEvents) == 0 {
		out.EnabledEvents = []string{"*"}
	}
	if out.Metadata == nil {
		out.Metadata = map[string]string{}
	}
	return out
}

func (e *endpoint) wants(kind string, connect bool) bool {
	return e.Connect == connect && !e.Disabled && isSubscribed(e.Events, kind)
}

// subscribers returns the endpoints that receive an event: the account's own, and the platform's endpoints for events
// of connected accounts if the account is one.
func (s *store) subscribers(kind string) []string {
	out := s.subscribersAmong(kind, false)
	if platform := s.platform(); platform != s {
		platform.mu.RLock()
		defer platform.mu.RUnlock()
		out = append(out, platform.subscribersAmong(kind, true)...)
	}
	return out
}

func (s *store) subscribersAmong(kind string, connect bool) []string {
	var out []string
	for _, e := range s.endpoints.items {
		if e != nil && e.wants(kind, connect) {
			out = append(out, e.ID)
		}
	}
	return out
}

func (s *store) platform() *store { return s.sim.store(storeKey{s.sim.cfg.Account, s.live}) }

// outgoing is a delivery that is ready to be sent.
type outgoing struct {
	url     string
	secrets []string
	body    []byte
	kind    string
	objects []string
}

// renderDelivery renders the delivery of an event to an endpoint. It returns nil if there is nothing to deliver any
// more.
func (s *store) renderDelivery(eventID, endpointID string) *outgoing {
	to, connect := s.endpoint(endpointID)
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.events.get(eventID)
	if e == nil || to == nil || to.Disabled || !s.pending[eventID][endpointID] {
		return nil
	}
	version := to.Version
	if version == "" {
		version = s.sim.cfg.APIVersion
	}
	rendered := s.renderEvent(e, version)
	if connect {
		rendered.Account = s.account
	}
	var object struct {
		ID      string `json:"id"`
		Product any    `json:"product"`
	}
	decode(e.Object, &object)
	objects := []string{object.ID}
	if product, ok := object.Product.(string); ok {
		objects = append(objects, product)
	}
	return &outgoing{url: to.URL, secrets: to.Secrets, body: encode(rendered), kind: e.Type, objects: objects}
}

// endpoint returns an endpoint of the account, or of its platform.
func (s *store) endpoint(id string) (e *endpoint, connect bool) {
	s.mu.RLock()
	e = s.endpoints.get(id)
	s.mu.RUnlock()
	platform := s.platform()
	if e != nil || platform == s {
		return e, false
	}
	platform.mu.RLock()
	defer platform.mu.RUnlock()
	return platform.endpoints.get(id), true
}

// Sign returns the header Stripe-Signature of a delivery, with one signature per secret.
func Sign(body []byte, at time.Time, secrets ...string) string {
	t := strconv.FormatInt(at.Unix(), 10)
	parts := []string{"t=" + t}
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		_, _ = mac.Write(slices.Concat([]byte(t), []byte("."), body)) // a hash never fails
		parts = append(parts, "v1="+hex.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(parts, ",")
}

func (l *outgoing) request(ctx context.Context, now time.Time) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, bytes.NewReader(l.body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
	r.Header.Set("Stripe-Signature", Sign(l.body, now, l.secrets...))
	return r, nil
}
