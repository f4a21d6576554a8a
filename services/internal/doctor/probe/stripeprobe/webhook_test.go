package stripeprobe_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
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

// Everybody with the role read sees what a check saw and found.
func TestJudgeWebhooks_HidesSecretsInTheAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"https://user:hunter2@sync.example.com/wrong", "https://sync.example.com/wrong?token=hunter2",
	} {
		covers := []string{
			doctor.StripeWebhook, doctor.StripeWebhookStatus, doctor.StripeWebhookEvents, doctor.StripeWebhookURL,
		}
		e := stripeapi.Endpoint{
			ID: "we_1", URL: address, Status: "disabled",
			Metadata: map[string]string{stripeapi.EndpointAccountKey: "eu"},
		}
		judge := func(path string) doctor.Report {
			return doctor.Run(t.Context(), []doctor.Probe{{
				Name: "test", Covers: covers,
				Run: func(_ context.Context, r *doctor.Recorder) error {
					stripeprobe.JudgeWebhooks(r, stripeprobe.WebhookNeeds{Account: "eu", Path: path},
						[]stripeapi.Endpoint{e})
					return nil
				},
			}}, doctor.Options{Selection: doctor.Selection{Only: covers}})
		}
		report := judge("/hook")
		require.Len(t, report.Findings, 3)
		require.Contains(t, report.Findings[0].Fix, "driftless webhook create with the address of endpoint we_1")
		require.NotContains(t, fmt.Sprint(report), "hunter2")
		report = judge("/wrong")
		require.Len(t, report.Fine, 2)
		require.Contains(t, fmt.Sprint(report.Fine), "sync.example.com/wrong")
		require.NotContains(t, fmt.Sprint(report), "hunter2")
	}
}

// The services have no need to list endpoints, so a key that may not is no reason to ask Stripe again and again.
func TestOfPull_SettlesThatTheKeyMayNotListEndpoints(t *testing.T) {
	t.Parallel()
	const forbidden = `{"error": {"type": "invalid_request_error", "message": "The provided key does not have access"}}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Stripe-Version", stripeapi.PinnedVersion)
		if r.URL.Path == "/v1/webhook_endpoints" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, forbidden)
			return
		}
		_, _ = io.WriteString(w, `{"object": "list", "data": [], "has_more": false}`)
	}))
	t.Cleanup(server.Close)
	account := stripeprobe.New(stripeprobe.Config{
		Account: "eu",
		Client:  stripeapi.Config{Key: "sk_test_1", Base: server.URL},
		Mode:    func(context.Context) (string, error) { return "test", nil },
	})
	report := doctor.Run(t.Context(), account.OfPull(), doctor.Options{})
	isSettled := map[string]bool{}
	for _, n := range report.NotLooked {
		isSettled[n.ID] = report.IsSettled(n.ID)
	}
	require.True(t, isSettled[doctor.StripeWebhook])
	require.True(t, isSettled[doctor.StripeWebhookURL])
	require.True(t, isSettled[doctor.StripeWebhookDelivery], "there are no events")
}
