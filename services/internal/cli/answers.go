package cli

import (
	"time"

	"github.com/driftless-sync/driftless/services/internal/adoption"
	"github.com/driftless-sync/driftless/services/internal/forecast"
	"github.com/driftless-sync/driftless/services/internal/jaeger"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// The answers of `-o json` that are not answers of an API. Names of fields are stable, because programs read them.

type applyAnswer struct {
	Products int `json:"products"`
	Created  int `json:"created"`
}

type configAnswer struct {
	// Valid are the accounts whose configuration is valid.
	Valid []string `json:"valid"`
	// Accounts has the findings of each account, with --database.
	Accounts []accountCheck `json:"accounts"`
}

type demoAnswer struct {
	OK    bool         `json:"ok"`
	Steps []demoResult `json:"steps"`
}

type doctorAnswer struct {
	Accounts []accountReport `json:"accounts"`
}

type keyAnswer struct {
	ID         string `json:"id"`
	TrustedKey string `json:"trusted_key"`
	// SigningKey is a secret. Empty if it was written to --key-file, and for a key that exists.
	SigningKey string `json:"signing_key,omitempty"`
}

type migrateAnswer struct {
	UpToDate []string `json:"up_to_date"`
}

// unknownAnswer is the answer when nothing can be asked. It has no counts, since none is known.
type unknownAnswer struct {
	Equality unknownEquality `json:"equality"`
}

type unknownEquality struct {
	Unknown string `json:"unknown"`
}

type tokenAnswer struct {
	Name string `json:"name"`
	Role string `json:"role"`
	// Token is a secret. Empty if it was written to a file, and for `token hash`, which never shows a token.
	Token string `json:"token,omitempty"`
	Entry string `json:"entry"`
	// Expires is null if the token works for ever.
	Expires *time.Time `json:"expires"`
}

type topAnswer struct {
	Status  message `json:"status"`
	Retries message `json:"retries"`
}

type topologyAnswer struct {
	// LeftAlone are the differences that need --allow-lowering.
	LeftAlone []topologyLeft `json:"left_alone"`
}

type topologyLeft struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Lowers string `json:"lowers"`
}

type traceAnswer struct {
	Traces   []*jaeger.Trace `json:"traces"`
	Verdict  verdict         `json:"verdict"`
	Warnings []string        `json:"warnings"`
}

type webhooksAnswer struct {
	Endpoints []judgedEndpoint `json:"endpoints"`
}

type judgedEndpoint struct {
	stripeapi.Endpoint

	Lacks []string `json:"lacks"`
}

type webhookAnswer struct {
	Endpoint stripeapi.Endpoint `json:"endpoint"`
	// Secret is the signing secret. Stripe shows it once, when it makes the endpoint. Empty if it was written to
	// --secret-file.
	Secret string `json:"secret,omitempty"`
	// Repaired is what an existing endpoint lacked.
	Repaired []string `json:"repaired"`
	// Deleted is the id of the endpoint that this one has replaced.
	Deleted string `json:"deleted"`
}

// startedAnswer is the answer of a command that does not wait.
type startedAnswer struct {
	// IDs are those of the scan or of the comparisons that were started.
	IDs []string `json:"ids"`
}

type syncedProduct struct {
	Product string `json:"product"`
	Result  string `json:"result"`
	Reason  string `json:"reason"`
}

type syncTotals struct {
	Total     int `json:"total"`
	Equal     int `json:"equal"`
	Differing int `json:"differing"`
	Unknown   int `json:"unknown"`
	// AsOf is null if equality is unknown.
	AsOf           *time.Time `json:"as_of"`
	UnknownBecause string     `json:"unknown_because"`
}

type adoptMatch struct {
	adoption.Entry

	Name       string   `json:"name"`
	StripeName string   `json:"stripe_name"`
	Create     []string `json:"create"`
	Reasons    []string `json:"reasons"`
	Candidates []string `json:"candidates"`
}

type adoptTotals struct {
	File            string `json:"file"`
	CatalogProducts int    `json:"catalog_products"`
	StripeProducts  int    `json:"stripe_products"`
	Certain         int    `json:"certain"`
	Doubtful        int    `json:"doubtful"`
}

type adoptedProduct struct {
	Product string `json:"product"`
	Stripe  string `json:"stripe"`
	Result  string `json:"result"`
	Detail  string `json:"detail"`
}

type adoptedTotals struct {
	Approved  int `json:"approved"`
	Adopted   int `json:"adopted"`
	Already   int `json:"already"`
	Ordered   int `json:"ordered"`
	Refused   int `json:"refused"`
	Differing int `json:"differing"`
	Unknown   int `json:"unknown"`
}

// previewedPlan is a product of a preview of a change.
type previewedPlan struct {
	Plan           message                `json:"plan"`
	PriceChanges   []forecast.PriceChange `json:"price_changes"`
	DiffersAlready bool                   `json:"differs_already"`
}

type previewEnd struct {
	Summary *previewSummary `json:"summary"`
}
