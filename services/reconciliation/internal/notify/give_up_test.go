package notify

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// A notification that is given up is not sent again. Its problems are in the next one, with those that are new.
func TestNotifier_GivesUpANotification(t *testing.T) {
	hook := newReceiver(t)
	r := newRig(t, config.Notify{NotifyURL: config.Secret(hook.URL + "/hook"), NotifySecret: secret})
	products := func(got []received) (ids []string) {
		require.Len(t, got, 1)
		for _, p := range decode(t, got[0].body).Data.Problems[0].First {
			ids = append(ids, p.ProductID)
		}
		return ids
	}
	hook.answer(http.StatusRequestEntityTooLarge)
	r.letter("mug")
	r.pass(0)
	require.Equal(t, []string{"mug"}, products(hook.take()))
	hook.answer(http.StatusOK)
	require.NoError(t, r.Ledger.RetryNotifications(t.Context()))
	r.letter("cup")
	r.pass(checkInterval)
	require.Empty(t, hook.take(), "at most one message a minute")
	r.pass(time.Minute)
	require.ElementsMatch(t, []string{"mug", "cup"}, products(hook.take()))

	hook.answer(http.StatusServiceUnavailable)
	r.letter("jar")
	r.pass(2 * time.Minute)
	first := hook.take()
	require.Equal(t, []string{"jar"}, products(first))
	r.pass(23 * time.Hour)
	again := hook.take()
	require.Len(t, again, 1)
	require.Equal(t, first[0].body, again[0].body, "it is not given up before a day")
	r.pass(2 * time.Hour)
	last := hook.take()
	require.Len(t, last, 1)
	require.Equal(t, first[0].body, last[0].body)
	hook.answer(http.StatusOK)
	r.letter("pan")
	r.pass(checkInterval)
	require.Empty(t, hook.take(), "at most one message a minute")
	r.pass(time.Minute)
	require.ElementsMatch(t, []string{"jar", "pan"}, products(hook.take()), "what the target took is not repeated")
	r.pass(time.Hour)
	require.Empty(t, hook.take())
}

// A notification that is refused is not made again each minute. It is made when the problems change, after a restart,
// and after a delay that grows to an hour.
func TestNotifier_RemembersARefusal(t *testing.T) {
	hook := newReceiver(t)
	r := newRig(t, config.Notify{NotifyURL: config.Secret(hook.URL + "/hook"), NotifySecret: secret})
	passMinutes := func(n int) (sent int) {
		for range n {
			r.pass(time.Minute)
			sent += len(hook.take())
		}
		return sent
	}
	hook.answer(http.StatusNotFound)
	r.letter("mug")
	r.pass(0)
	require.Len(t, hook.take(), 1)
	// It is due after 2, 6, 14, 30, 62, 122 and 182 minutes.
	require.Zero(t, passMinutes(1))
	require.Equal(t, 7, passMinutes(200))
	r.letter("cup")
	require.Equal(t, 1, passMinutes(1), "another problem")
	require.Zero(t, passMinutes(1))
	require.NoError(t, r.Ledger.RetryNotifications(t.Context()))
	require.Equal(t, 1, passMinutes(1), "a restart")
	r.problem = []ledger.Problem{{Kind: ledger.ProblemHalted, Since: r.clock}}
	require.Equal(t, 1, passMinutes(1), "a problem that the ledger does not know")
	r.problem = nil
	require.Equal(t, 1, passMinutes(1), "the problem ended")
	require.Zero(t, passMinutes(1))

	hook.answer(http.StatusOK)
	results, err := r.Test(t.Context())
	require.NoError(t, err)
	require.NoError(t, results[0].Err)
	hook.take()
	r.pass(time.Minute)
	got := hook.take()
	require.Len(t, got, 1, "a test has succeeded")
	require.Len(t, decode(t, got[0].body).Data.Problems[0].First, 2)
	require.Zero(t, passMinutes(200))
}

func TestMessage_MakesTextsOfOthersHarmless(t *testing.T) {
	t.Parallel()
	id := "a`b\n\u202e*x*"
	m := newMessage("shop", time.Now(), []ledger.Problem{
		{Kind: ledger.ProblemDeadLetter, Count: 1, Product: id, Letter: &meshv1.DeadLetter{
			Reason: "refused_by_stripe", Message: "line\nnext `x` \x1b[31m", Field: "name",
		}},
		{Kind: ledger.ProblemDrift, Count: 1, Product: "it's", Drift: &ledger.Drift{Difference: catalog.Difference{
			Field: "description", Catalog: strings.Repeat("ä", 22_000), Stripe: strings.Repeat("b", 22_000),
		}}},
	})
	dead, drift := m.Data.Problems[0].First[0], m.Data.Problems[1].First[0]
	require.Equal(t, id, dead.ProductID)
	require.Equal(t, `line\nnext `+"`x`"+` \x1b[31m`, dead.Message)
	require.Equal(t, `driftless dead show $'a\x60b\n\u202e*x*'`, dead.Command)
	require.Equal(t, `driftless drift show 'it'\''s'`, drift.Command)
	require.Equal(t, strings.Repeat("ä", maxText-1)+"…", drift.Catalog)
	require.Equal(t, strings.Repeat("b", maxText-1)+"…", drift.Stripe)
	body, err := json.Marshal(m)
	require.NoError(t, err)
	require.Less(t, len(body), 8000)
	text := slackText(m)
	require.Len(t, strings.Split(text, "\n"), 4, text)
	require.Equal(t, 8, strings.Count(text, "`"), text)
	require.NotContains(t, text, "\u202e")
}
