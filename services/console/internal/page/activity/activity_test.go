package activity

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

func TestFilter_IsAnAddressAndACommand(t *testing.T) {
	t.Parallel()
	for query, command := range map[string]string{
		"":                         "driftless tail -f",
		"product=my+mug":           "driftless tail -f 'my mug'",
		"failed=1&product=mug":     "driftless tail -f --failed mug",
		"actor=ann&kind=approved":  "",
		"before=12&product=mug":    "",
		"actor=a%26b&text=a%3Fb+c": "",
	} {
		v, err := url.ParseQuery(query)
		require.NoError(t, err)
		f, err := parse(v)
		require.NoError(t, err)
		require.Equal(t, command, f.command(), query)
		u, err := url.Parse(f.path())
		require.NoError(t, err)
		require.Equal(t, v, u.Query())
	}
	_, err := parse(url.Values{"before": {"x"}})
	require.ErrorContains(t, err, `before: "x" is no number`)
}

func TestFilter_ReadsBackwards(t *testing.T) {
	t.Parallel()
	f := filter{actor: "ann", kind: "approved"}
	require.Empty(t, f.older(make([]*controlv1.ActivityEntry, shown-1)), "there are no more")
	entries := make([]*controlv1.ActivityEntry, shown)
	entries[shown-1] = &controlv1.ActivityEntry{Id: 17}
	require.Equal(t, "/activity?actor=ann&before=17&kind=approved", f.older(entries))
	require.Empty(t, f.latest())
	f.before = 17
	require.Equal(t, "/activity?actor=ann&kind=approved", f.latest())
	require.Empty(t, f.live(), "what is past does not change")
	require.Equal(t, []string{"approved"}, f.request().GetKinds())
	require.Empty(t, f.only(true).request().GetKinds(), "the API takes kinds or failures")
}
