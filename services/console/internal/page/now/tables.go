package now

import (
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

// pauseEffect says what a pause does, by service.
var pauseEffect = map[string]string{
	"ingestion": "Changes of the tables are not captured. The database keeps its log until ingestion goes on.",
	"push":      "Nothing is written to Stripe. Changes are captured, and wait.",
	"pull":      "Webhooks are stored, and Stripe is not read. Changes in Stripe are noticed later.",
}

func isPaused(s *controlv1.GetStatusResponse, service string) bool {
	for _, p := range s.GetPaused() {
		if p.GetService() == service {
			return true
		}
	}
	return false
}

// problemTone returns the tone of a problem by its kind.
func problemTone(kind string) string {
	switch kind {
	case "paused", "held":
		return "held"
	}
	return "bad"
}

// problemLink returns the page with more about a problem, by its kind. It is empty if there is none.
func problemLink(kind string) string {
	return map[string]string{
		"dead":    "/dead",
		"drifted": "/drift",
		"held":    "/plan",
		"failing": "/products?state=pending",
	}[kind]
}

// stateCount is the number of products in a state.
type stateCount struct {
	label, tone, link string
	count             uint64
}

func states(s *controlv1.GetStatusResponse) []stateCount {
	some := func(n uint64, tone string) string {
		if n == 0 {
			return "none"
		}
		return tone
	}
	return []stateCount{
		{"equal", some(s.GetInSync(), "good"), "/products?state=in_sync", s.GetInSync()},
		{"pending", some(s.GetPending(), "busy"), "/products?state=pending", s.GetPending()},
		{"held", some(s.GetHeld(), "held"), "/plan?held=1", s.GetHeld()},
		{"drifted", some(s.GetDrifted(), "bad"), "/drift", s.GetDrifted()},
		{"dead", some(s.GetDead(), "bad"), "/dead", s.GetDead()},
		{"in Stripe only", some(s.GetOrphans(), "none"), "/products?state=orphan", s.GetOrphans()},
		{"left the catalog", some(s.GetLeft(), "none"), "/products?kind=left", s.GetLeft()},
	}
}
