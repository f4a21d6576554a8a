package settings

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

var lookedAt = time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)

func lookAs(host, state, text string) *controlv1.CheckLook {
	l := &controlv1.CheckLook{Service: "push", Process: host, State: state, At: timestamppb.New(lookedAt)}
	switch state {
	case stateFinding:
		l.Findings = []*meshv1.CheckFinding{{Message: text, Fix: "repair it"}}
	case stateFine:
		l.Saw = text
	default:
		l.Reason = text
	}
	return l
}

func TestCheck_PutsFindingsFirstAndNamesWhatNobodyLookedAt(t *testing.T) {
	t.Parallel()
	k := check(&controlv1.GetFindingsResponse{Checks: []*controlv1.CheckStatus{
		{Id: "clocks.nats", Severity: "warning", State: stateFinding, Looks: []*controlv1.CheckLook{
			lookAs("a", stateFinding, "the clock is wrong"), lookAs("b", stateFine, ""),
			lookAs("c", stateNotLooked, "no answer"),
		}},
		{Id: "nats.stream", State: stateNotLooked, Looks: []*controlv1.CheckLook{{State: stateNotLooked}}},
		{Id: "nats.sync", State: stateNotLooked, Looks: []*controlv1.CheckLook{{State: stateNotLooked}}},
		{
			Id: "stripe.key", Severity: "error", State: stateFinding, Fix: "Stripe knows no such key.",
			Looks: []*controlv1.CheckLook{
				lookAs("a", stateFinding, "Stripe refuses the key"),
			},
		},
		{Id: "stripe.mode", State: stateNotLooked, Looks: []*controlv1.CheckLook{
			lookAs("c", stateNotLooked, "no answer"), lookAs("a", stateFine, "test"),
		}},
		{Id: "nats.version", State: stateFine, Looks: []*controlv1.CheckLook{lookAs("a", stateFine, "2.14.0")}},
	}})
	require.Equal(t, "2 checks found something. 1 check is fine, and 1 was not looked at.", k.sentence())
	require.Equal(t, "bad", k.tone())
	require.Equal(t, "stripe.key", k.found[0].id, "errors come before warnings")
	require.Equal(t, "Fine for push (b).", k.found[1].others)
	require.Equal(t, "The clock is wrong", k.found[1].message)
	require.Equal(t, []missed{{ids: []string{"clocks.nats", "stripe.mode"}, by: "push (c)", reason: "no answer"}},
		k.missed)
	require.Equal(t, []fine{{id: "nats.version", looks: []look{{by: "push (a)", saw: "2.14.0", at: lookedAt}}}}, k.fine)
	require.Equal(t, "Stripe knows no such key.", k.found[0].fix)
	require.Equal(t, "repair it", k.found[0].proposed, "a record is not signed")
	require.Equal(t, "driftless doctor --only stripe.key", k.found[0].command)
	require.Equal(t, 2, k.byHand)
	require.Equal(t, "driftless doctor --only nats.stream,nats.sync", k.command)
}

func TestChecked_SaysFineOnlyOfWhatIsKnown(t *testing.T) {
	t.Parallel()
	for want, k := range map[string]checked{
		"It is not known what the services found: it is away": {unknown: "it is away"},
		"No service has looked at anything.":                  check(&controlv1.GetFindingsResponse{}),
		"Nothing was found, but 2 were not looked at. 3 checks are fine.": {
			counts: map[string]int{stateFine: 3, stateNotLooked: 2},
		},
		"3 checks are fine. Nothing was found.": {counts: map[string]int{stateFine: 3}},
		"1 check found something. 3 checks are fine.": {
			counts: map[string]int{stateFine: 3, stateFinding: 1},
		},
		"1 check found something. 0 checks are fine, and 1 was not looked at.": {
			counts: map[string]int{stateNotLooked: 1, stateFinding: 1},
		},
	} {
		require.Equal(t, want, k.sentence())
	}
	require.Equal(t, "held", checked{unknown: "it is away"}.tone())
	require.Equal(t, "held", checked{missed: []missed{{}}}.tone())
	require.NotEqual(t, "good", check(&controlv1.GetFindingsResponse{}).tone(), "nobody looked")
}

// Who can write to the bucket PROCESS can write any fix. The page must not offer it as a command of Driftless.
func TestFindings_OffersNoCommandOfAProcessForCopying(t *testing.T) {
	t.Parallel()
	var page strings.Builder
	k := check(&controlv1.GetFindingsResponse{Checks: []*controlv1.CheckStatus{{
		Id: "stripe.key", Severity: "error", State: stateFinding, Fix: "Create a key.",
		Looks: []*controlv1.CheckLook{lookAs("a", stateFinding, "Stripe refuses the key")},
	}}})
	require.NoError(t, findings(k).Render(t.Context(), &page))
	require.Contains(t, page.String(), "Fix: Create a key.")
	require.Contains(t, page.String(), `<code class="wrap">repair it</code>`)
	require.Contains(t, page.String(), `data-copy="driftless doctor --only stripe.key"`)
	require.NotContains(t, page.String(), `data-copy="repair it"`)
}
