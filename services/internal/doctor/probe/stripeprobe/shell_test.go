package stripeprobe_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/doctor/probe/stripeprobe"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// A shell would run what follows &.
func TestJudgeWebhooks_QuotesTheAddressForAShell(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://a.example.com:443/hook":    "driftless webhook create https://a.example.com:443/hook",
		"https://a.example.com/ho&ok":       "driftless webhook create 'https://a.example.com/ho&ok'",
		"https://a.example.com/it's;reboot": `driftless webhook create 'https://a.example.com/it'\''s;reboot'`,
	} {
		report := doctor.Run(t.Context(), []doctor.Probe{{
			Name: "test", Covers: []string{doctor.StripeWebhookStatus},
			Run: func(_ context.Context, r *doctor.Recorder) error {
				stripeprobe.JudgeWebhooks(r, stripeprobe.WebhookNeeds{Account: "eu"}, []stripeapi.Endpoint{{
					ID: "we_1", URL: url, Status: "disabled",
					Metadata: map[string]string{stripeapi.EndpointAccountKey: "eu"},
				}})
				return nil
			},
		}}, doctor.Options{Selection: doctor.Selection{Only: []string{doctor.StripeWebhookStatus}}})
		require.Len(t, report.Findings, 1)
		require.Equal(t, want, report.Findings[0].Fix)
	}
}
