package stripeprobe_test

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/doctor/probe/stripeprobe"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// found returns the ids of the checks in which a judgement finds something.
func found(t *testing.T, judge func(*doctor.Recorder)) (ids []string) {
	t.Helper()
	var all []string
	for _, c := range doctor.Checks() {
		all = append(all, c.ID)
	}
	report := doctor.Run(t.Context(), []doctor.Probe{{
		Name: "test", Covers: all,
		Run: func(_ context.Context, r *doctor.Recorder) error { judge(r); return nil },
	}}, doctor.Options{})
	for _, f := range report.Findings {
		ids = append(ids, f.ID)
	}
	slices.Sort(ids)
	return ids
}

func TestJudgeWebhooks_ChoosesTheEndpointOfTheMesh(t *testing.T) {
	t.Parallel()
	needs := stripeprobe.WebhookNeeds{Account: "eu", Path: "/stripe/webhook"}
	endpoint := func(change func(*stripeapi.Endpoint)) stripeapi.Endpoint {
		e := stripeapi.Endpoint{
			ID: "we_1", URL: "https://sync.example.com/stripe/webhook", Status: "enabled",
			APIVersion: stripeapi.PinnedVersion, Events: []string{"*"}, Livemode: true,
			Metadata: map[string]string{stripeapi.EndpointAccountKey: "eu"},
		}
		change(&e)
		return e
	}
	good := endpoint(func(*stripeapi.Endpoint) {})
	for name, c := range map[string]struct {
		all  []stripeapi.Endpoint
		want []string
	}{
		"good": {[]stripeapi.Endpoint{good}, nil},
		"one of two": {
			[]stripeapi.Endpoint{endpoint(func(e *stripeapi.Endpoint) { e.Status = "disabled" }), good}, nil,
		},
		"another account's": {[]stripeapi.Endpoint{endpoint(func(e *stripeapi.Endpoint) {
			e.Metadata[stripeapi.EndpointAccountKey] = "us"
		})}, []string{doctor.StripeWebhook}},
		"made by hand": {[]stripeapi.Endpoint{endpoint(func(e *stripeapi.Endpoint) { e.Metadata = nil })}, nil},
		"the shop's": {[]stripeapi.Endpoint{endpoint(func(e *stripeapi.Endpoint) {
			e.Metadata, e.URL = nil, "https://shop.example.com/hook"
		})}, []string{doctor.StripeWebhook}},
		"without TLS": {[]stripeapi.Endpoint{endpoint(func(e *stripeapi.Endpoint) {
			e.URL = "http://sync.example.com/stripe/webhook"
		})}, []string{doctor.StripeWebhookURL}},
		"an unknown version": {
			[]stripeapi.Endpoint{endpoint(func(e *stripeapi.Endpoint) { e.APIVersion = "" })},
			[]string{doctor.StripeWebhookVersion},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, found(t, func(r *doctor.Recorder) { stripeprobe.JudgeWebhooks(r, needs, c.all) }))
		})
	}
}
