package config

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// effectiveOf parses settings and returns them by name.
func effectiveOf(t *testing.T, yaml string, args ...string) map[string]Effective {
	t.Helper()
	path := filepath.Join(t.TempDir(), "driftless.yaml")
	require.NoError(t, os.WriteFile(path, []byte(yaml), 0o600))
	var s settings
	_, all, err := ParseEffective(&s, "test", "", "v0", append(args, "--config", path))
	require.NoError(t, err)
	out := map[string]Effective{}
	for _, e := range all {
		require.NotContains(t, out, e.Name, "a setting is there once")
		e.At = filepath.Base(e.At)
		out[e.Name] = e
	}
	return out
}

func TestParseEffective_NamesOrigins(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(secret, []byte("sk_test_hidden"), 0o600))
	t.Setenv("STRIPE_API_KEY_FILE", secret)
	t.Setenv("DRIFTLESS_SLOT", "mine")
	t.Setenv("DRIFTLESS_PUBLICATION", "")
	t.Setenv("STRIPE_WEBHOOK_SECRET", "whsec_hidden")
	t.Setenv("DRIFTLESS_TOKENS", "")
	t.Setenv("STRIPE_API_BASE", "http://user:hidden@127.0.0.1:1")
	e := effectiveOf(t, "poll_interval: 600s\npush_create: false\nguard_share: 0.25\nallowed_hosts: [a, b]\n"+
		"policy:\n  description: stripe\n", "--grace-period", "90s")
	for name, want := range map[string]Effective{
		"slot": {
			Value: "mine", Default: "driftless", IsSet: true, Origin: FromEnvironment, At: "DRIFTLESS_SLOT",
		},
		"publication": {Value: "driftless", Default: "driftless", IsSet: true, Origin: FromDefault, At: "."},
		"poll-interval": {
			Value: "10m", Default: "10m", IsSet: true, Origin: FromFile, At: "driftless.yaml:1:1",
		},
		"push-create":  {Value: "false", Default: "true", IsSet: true, Origin: FromFile, At: "driftless.yaml:2:1"},
		"guard-share":  {Value: "0.25", Default: "0.1", IsSet: true, Origin: FromFile, At: "driftless.yaml:3:1"},
		"grace-period": {Value: "1m30s", Default: "30s", IsSet: true, Origin: FromFlag, At: "."},
		"stripe-api-key": {
			IsSecret: true, IsSet: true, Origin: FromSecretFile, At: "key",
		},
		"stripe-webhook-secret": {
			IsSecret: true, IsSet: true, Origin: FromEnvironment, At: "STRIPE_WEBHOOK_SECRET",
		},
		"token":             {IsSecret: true, Origin: FromDefault, At: "."},
		"history-retention": {Value: "9600h", Default: "9600h", IsSet: true, Origin: FromDefault, At: "."},
		"stripe-ids":        {Value: "false", Default: "false", IsSet: true, Origin: FromDefault, At: "."},
	} {
		want.Name = name
		require.Equal(t, want, e[name])
	}
	require.Contains(t, e["policy"].Value, "description=stripe")
	require.Equal(t, FromFile, e["policy"].Origin)
	require.True(t, e["tokens"].IsSecret)
	for _, setting := range e {
		require.NotContains(t, setting.Value+setting.Default+setting.At, "hidden", setting.Name)
	}
	require.Contains(t, e["stripe-api-base"].Value, "127.0.0.1:1")
}

// Every setting of every program can be announced: its default has the form of its value.
func TestParseEffective_DefaultsAreNotChanges(t *testing.T) {
	for _, program := range []any{
		&IngestionService{}, &PushService{}, &PullService{}, &ReconciliationService{}, &ConsoleService{},
	} {
		for _, env := range Variables(reflect.ValueOf(program).Elem().Interface()) {
			t.Setenv(env, "") // as if it was not set
		}
		_, all, err := ParseEffective(program, "test", "", "v0", nil)
		require.NoError(t, err)
		require.NotEmpty(t, all)
		for _, e := range all {
			require.Equal(t, FromDefault, e.Origin, e.Name)
			require.Equal(t, e.Default, e.Value, e.Name)
		}
	}
}
