package settings

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

func names(list []*controlv1.EffectiveSetting) []string {
	out := []string{}
	for _, s := range list {
		out = append(out, s.GetName())
	}
	return out
}

func TestGroups_ShowsWhatIsNotDefaultFirst(t *testing.T) {
	t.Parallel()
	setting := func(name, value string, changed, differs bool) *controlv1.EffectiveSetting {
		return &controlv1.EffectiveSetting{
			Name: name, Changed: changed, Differs: differs,
			Values: []*controlv1.SettingValue{{Setting: &meshv1.Setting{Name: name, Value: value, Set: true}}},
		}
	}
	services := []*controlv1.ServiceSettings{
		{Service: "push", Settings: []*controlv1.EffectiveSetting{
			setting("slot", "driftless", false, false),
			setting("stripe-rate", "50", true, false),
			setting("push-create", "true", false, true),
		}},
		{Service: "pull", Unknown: "no process of pull is known to run"},
	}
	own := []*meshv1.Setting{
		{Name: "console-token", Secret: true, Set: true}, {Name: "console-addr", Value: "a", Default: "a", Set: true},
	}
	all := groups(query{}, services, own)
	require.Len(t, all, 3)
	require.Equal(t, []string{"push-create", "stripe-rate"}, names(all[0].first), "differences come first")
	require.Equal(t, []string{"slot"}, names(all[0].rest))
	require.Empty(t, all[1].empty(query{}), "what is not known is not empty")
	require.Equal(t, consoleName, all[2].service)
	require.Equal(t, []string{"console-token"}, names(all[2].first))

	found := groups(query{search: "STRIPE_RATE", service: "push"}, services, own)
	require.Len(t, found, 1)
	require.Equal(t, []string{"stripe-rate"}, names(found[0].first))
	require.Empty(t, found[0].rest)
	found = groups(query{search: "nosuch", service: "push"}, services, own)
	require.NotEmpty(t, found[0].empty(query{search: "nosuch"}))
}

func TestValue_HidesSecretsAndSaysWhatIsNotSet(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]*meshv1.Setting{
		"set, and secret": {Secret: true, Set: true},
		"not set":         {Secret: true},
		"long…":           {Value: "long", Set: true, Truncated: true},
		"7":               {Value: "7", Set: true},
	} {
		require.Equal(t, want, value(s))
	}
	require.Equal(t, "file of its own: /run/secrets/key", origin(&meshv1.Setting{
		Origin: "secret_file", At: "/run/secrets/key",
	}))
}

func TestParse_RoundTrip(t *testing.T) {
	t.Parallel()
	q := parse(url.Values{"q": {" rate "}, "service": {"push"}})
	require.Equal(t, "/settings?q=rate&service=push", q.path())
	require.Equal(t, "driftless settings push --all --search rate", q.command())
	require.Equal(t, "driftless settings", query{service: consoleName}.command())
}
