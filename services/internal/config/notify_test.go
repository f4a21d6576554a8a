package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/config"
)

const notifySecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func TestNotify_ChecksSettingsWithoutShowingSecrets(t *testing.T) {
	for want, n := range map[string]config.Notify{
		"":                                {},
		`there is no kind "weather"`:      {NotifyKinds: []string{"dead_letter", "weather"}},
		"without DRIFTLESS_NOTIFY_SECRET": {NotifyURL: "https://example.com/secret-path"},
		"without DRIFTLESS_NOTIFY_URL":    {NotifySecret: notifySecret},
		"24 to 64 bytes": {
			NotifyURL:    "https://example.com/secret-path",
			NotifySecret: "whsec_c2hvcnQ=",
		},
		"use https":    {NotifySlackURL: "http://example.com/secret-path"},
		"not a scheme": {NotifySlackURL: "ftp://example.com/secret-path"},
		"not a URL":    {NotifySlackURL: "secret-path"},
	} {
		err := n.Check()
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret-path")
		require.NotContains(t, err.Error(), notifySecret)
	}
	require.NoError(t, config.Notify{
		NotifyURL: "https://example.com/hook", NotifySecret: notifySecret,
		NotifySlackURL: "https://hooks.slack.com/services/T/B/X",
		NotifyKinds:    config.NotifyKinds,
	}.Check())
}

func TestParseNotifyURL_AllowsHTTPOnlyNearby(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://example.com/hook":               true,
		"http://example.com/hook":                false,
		"http://8.8.8.8/hook":                    false,
		"http://127.0.0.1:9000/hook":             true,
		"http://[::1]:9000/hook":                 true,
		"http://localhost/hook":                  true,
		"http://10.1.2.3/hook":                   true,
		"http://receiver/hook":                   true,
		"http://receiver.ops.svc/hook":           true,
		"http://receiver.ops.svc.cluster.local/": true,
		"http://svc.example.com/hook":            false,
		"file:///etc/passwd":                     false,
	} {
		_, err := config.ParseNotifyURL(address)
		require.Equal(t, ok, err == nil, "%s: %v", address, err)
	}
}
