package reconciliation

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Who caused a Stripe event. A program gives its requests an idempotency key: every client library of Stripe does so
// for a write. A request without a key comes from the dashboard, or from a program that gives none.
const (
	causedByDriftless = "driftless"
	causedByDashboard = "dashboard"
	causedByAPIKey    = "api_key"
)

// aboutEvent reads from an event who caused it, and which attributes an update changed. It leaves out what it cannot
// decode, because pull checks the event itself.
func aboutEvent(c *meshv1.StripeChange) *controlv1.HistoryEntry {
	var event struct {
		Request *struct {
			ID string `json:"id"`
		} `json:"request"`
		Data struct {
			Object   map[string]json.RawMessage `json:"object"`
			Previous map[string]json.RawMessage `json:"previous_attributes"`
		} `json:"data"`
	}
	_ = json.Unmarshal(c.GetEvent(), &event)
	out := &controlv1.HistoryEntry{
		CausedBy:       causedByDashboard,
		StripeEventId:  c.GetEventId(),
		StripeObjectId: c.GetObjectId(),
		IdempotencyKey: c.GetIdempotencyKey(),
	}
	switch {
	case strings.HasPrefix(c.GetIdempotencyKey(), catalog.KeyPrefix):
		out.CausedBy = causedByDriftless
	case c.GetIdempotencyKey() != "":
		out.CausedBy = causedByAPIKey
	}
	if event.Request != nil {
		out.StripeRequestId = event.Request.ID
	}
	for _, name := range slices.Sorted(maps.Keys(event.Data.Previous)) {
		if !slices.Contains(bookkeeping, name) && name != "updated" {
			out.Changes = append(out.Changes, eventChanges(name, event.Data.Previous[name], event.Data.Object[name])...)
		}
	}
	return out
}

// eventChanges returns the changes of one attribute. For metadata it returns one change for each key that Stripe names.
func eventChanges(name string, before, after json.RawMessage) []*controlv1.FieldChange {
	if name != "metadata" {
		return []*controlv1.FieldChange{{Field: name, Old: jsonText(before), New: jsonText(after)}}
	}
	var was, is map[string]*string
	_, _ = json.Unmarshal(before, &was), json.Unmarshal(after, &is)
	var out []*controlv1.FieldChange
	for _, key := range slices.Sorted(maps.Keys(was)) {
		change := &controlv1.FieldChange{Field: "metadata." + key}
		if v := was[key]; v != nil {
			change.Old = *v
		}
		if v := is[key]; v != nil {
			change.New = *v
		}
		out = append(out, change)
	}
	return out
}

// jsonText returns a value as text: a string without its quotes, "" for null.
func jsonText(raw json.RawMessage) string {
	var s *string
	if err := json.Unmarshal(raw, &s); err == nil {
		if s == nil {
			return ""
		}
		return *s
	}
	return string(raw)
}
