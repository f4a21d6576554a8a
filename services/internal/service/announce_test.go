package service

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/config"
)

// A record has the settings of a whole program, without secrets, and stays small.
func TestAnnounced_IsBoundedAndHasNoSecrets(t *testing.T) {
	t.Setenv("STRIPE_API_KEY", "sk_test_hidden")
	t.Setenv("NATS_URL", "nats://user:hidden@127.0.0.1:4222")
	t.Setenv("DRIFTLESS_SLOT", "")
	var s config.PushService
	_, effective, err := config.ParseEffective(&s, "push", "", "v0",
		[]string{"--stripe-account", strings.Repeat("é", 1000)})
	require.NoError(t, err)
	settings := announced(effective)
	byName := map[string]*meshv1.Setting{}
	for _, setting := range settings {
		byName[setting.GetName()] = setting
	}
	require.True(t, byName["stripe-api-key"].GetSet())
	require.True(t, byName["stripe-api-key"].GetSecret())
	require.True(t, byName["nats-url"].GetSecret())
	require.True(t, byName["stripe-account"].GetTruncated())
	require.Equal(t, "flag", byName["stripe-account"].GetOrigin())
	record, err := proto.Marshal(&meshv1.Process{Settings: settings})
	require.NoError(t, err)
	require.NotContains(t, string(record), "hidden")
	require.Less(t, len(record), 8<<10)
}
