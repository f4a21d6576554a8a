package stripesim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// eventRetention is how far back Stripe lists events.
const eventRetention = 30 * 24 * time.Hour

// event is a stored event. Its objects are stored in the account's API version at that time: see renderEvent.
type event struct {
	ID       string          `json:"id"`
	Type     string          `json:"type"`
	Created  int64           `json:"created"`
	Version  string          `json:"version"`
	Object   json.RawMessage `json:"object"`
	Previous json.RawMessage `json:"previous,omitempty"`
	Request  eventRequest    `json:"request"`
	// To has the ids of the endpoints that the event is to be delivered to.
	To []string `json:"to,omitempty"`
	// Failed marks, in a compacted journal, an event whose delivery was given up.
	Failed bool `json:"failed,omitempty"`
}

type eventRequest struct {
	ID             *string `json:"id"`
	IdempotencyKey *string `json:"idempotency_key"`
}

type eventJSON struct {
	ID              string       `json:"id"`
	Object          string       `json:"object"`
	Account         string       `json:"account,omitempty"`
	APIVersion      string       `json:"api_version"`
	Created         int64        `json:"created"`
	Data            eventData    `json:"data"`
	Livemode        bool         `json:"livemode"`
	PendingWebhooks int          `json:"pending_webhooks"`
	Request         eventRequest `json:"request"`
	Type            string       `json:"type"`
}

type eventData struct {
	Object             json.RawMessage `json:"object"`
	PreviousAttributes json.RawMessage `json:"previous_attributes,omitempty"`
}

// event records a change, unless the call is silent. previous is nil unless the event is an update.
func (t *tx) event(c *call, kind string, object any, previous map[string]any) {
	if c.silent {
		return
	}
	e := &event{
		ID:      newID("evt_1", 23),
		Type:    kind,
		Created: c.now.Unix(),
		Version: t.sim.cfg.APIVersion,
		Object:  encode(object),
	}
	if previous != nil {
		e.Previous = encode(previous)
	}
	e.Request.ID = &c.requestID
	if c.key != "" {
		e.Request.IdempotencyKey = &c.key
	}
	e.To = t.subscribers(kind)
	t.putEvent(e)
}

// changes returns the previous attributes of an update: the fields that differ, with their old values. For hashes, such
// as metadata, it returns only the keys that differ. It returns nil if nothing differs.
func changes(before, after any) map[string]any {
	a, b := encode(before), encode(after)
	if bytes.Equal(a, b) {
		return nil
	}
	return hashChanges(a, b)
}

// hashChanges is changes for two JSON objects. A key that only the later one has is null, as in Stripe.
func hashChanges(before, after json.RawMessage) map[string]any {
	old, now := fields(before), fields(after)
	out := map[string]any{}
	for name, was := range old {
		is := now[name]
		if bytes.Equal(was, is) {
			continue
		}
		if isHash(was) && isHash(is) {
			out[name] = hashChanges(was, is)
			continue
		}
		out[name] = was
	}
	for name := range now {
		if _, known := old[name]; !known {
			out[name] = nil
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func isHash(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '{' }

func fields(raw json.RawMessage) map[string]json.RawMessage {
	var out map[string]json.RawMessage
	_ = json.Unmarshal(raw, &out) // it was encoded just before
	return out
}

// encode encodes one of this package's own values, which cannot fail.
func encode(v any) json.RawMessage {
	out, err := json.Marshal(v)
	if err != nil {
		panic("stripesim: encode: " + err.Error()) //nolint:forbidigo // a bug in this package
	}
	return out
}

// renderEvent returns an event as Stripe's API has it. Products are in the given API version, since their fields differ
// between versions. Prices are as they were stored.
func (s *store) renderEvent(e *event, version string) eventJSON {
	out := eventJSON{
		ID: e.ID, Object: "event", APIVersion: version, Created: e.Created, Livemode: s.live,
		PendingWebhooks: len(s.pending[e.ID]),
		Request:         e.Request, Type: e.Type,
		Data: eventData{Object: e.Object, PreviousAttributes: e.Previous},
	}
	if strings.HasPrefix(e.Type, "product.") {
		out.Data.Object = reversion(e.Object, e.Version, version)
		if e.Previous != nil {
			out.Data.PreviousAttributes = reversion(e.Previous, e.Version, version)
		}
	}
	return out
}

// reversion renders a product, or its previous attributes, in another API version than the stored one. From
// marketingFeatures on, Stripe calls the features marketing_features and has no type.
func reversion(raw json.RawMessage, from, to string) json.RawMessage {
	if (from < marketingFeatures) == (to < marketingFeatures) {
		return raw
	}
	f := fields(raw)
	was, is := "features", "marketing_features"
	if to < marketingFeatures {
		was, is = is, was
		if f["object"] != nil {
			f["type"] = json.RawMessage(`"service"`)
		}
	} else {
		delete(f, "type")
	}
	if v, ok := f[was]; ok {
		f[is] = v
		delete(f, was)
	}
	return encode(f)
}

var listEventsParams = listParams(map[string]shape{
	"created": createdParam, "delivery_success": {kind: boolean}, "type": {max: 5000},
	"types": {kind: list, max: 20, item: &shape{max: 5000}},
})

func (t *tx) listEvents(c *call) (any, *refusal) {
	page, created, r := readCreatedPage(c, "event", &t.events)
	if r != nil {
		return nil, r
	}
	only, listed := c.form.text("type"), c.form.get("types")
	if only != "" && listed != nil {
		return nil, invalid("parameters_exclusive", "types",
			"You may only specify one of these parameters: type, types.")
	}
	types := values(listed)
	if only != "" {
		types = []string{only}
	}
	success, hasSuccess := c.form.flag("delivery_success")
	oldest := c.now.Add(-eventRetention).Unix()
	found, more := page.collect(func(e *event) bool {
		return e.Created >= oldest && created.contains(e.Created) && isSubscribed(types, e.Type) &&
			(!hasSuccess || success == (len(t.pending[e.ID]) == 0 && !t.failed[e.ID]))
	})
	out := make([]any, len(found))
	for i, e := range found {
		out[i] = t.renderEvent(e, e.Version)
	}
	return listJSON{Object: "list", Data: out, HasMore: more, URL: "/v1/events"}, nil
}

func (t *tx) getEvent(c *call) (any, *refusal) {
	if e := t.events.get(c.id); e != nil && e.Created >= c.now.Add(-eventRetention).Unix() {
		return t.renderEvent(e, e.Version), nil
	}
	return nil, missing(http.StatusNotFound, "event", c.id, "id")
}

// isSubscribed reports whether an event type matches one of the wanted names or patterns, such as "product.*". If none
// are given, every type matches.
func isSubscribed(wanted []string, kind string) bool {
	return len(wanted) == 0 || slices.ContainsFunc(wanted, func(w string) bool {
		prefix, wild := strings.CutSuffix(w, "*")
		return w == kind || wild && strings.HasPrefix(kind, prefix)
	})
}
