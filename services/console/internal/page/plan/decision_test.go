package plan

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

func TestTally_SaysWhatWasDone(t *testing.T) {
	t.Parallel()
	require.Equal(t, "2 changes are approved. 1 needs the approval of somebody else too. 3 stay held by another rule.",
		tally{decided: 2, waiting: 1, heldByOthers: 3}.approved())
	require.Equal(t, "1 change is rejected. The catalog stays as it is for 1 product: the mapping cannot write name.",
		tally{decided: 1, blocked: 1, blocker: "the mapping cannot write name"}.rejected())
	broken := errors.New("broken")
	require.Equal(t, broken, tally{}.failed("approved", broken))
	require.EqualError(t, tally{decided: 200}.failed("approved", broken),
		"200 changes are approved, then it stopped: broken")
}

func TestCommand(t *testing.T) {
	t.Parallel()
	require.Equal(t, "driftless approve mug 'my cup' --reason ...",
		choice{ids: []string{"mug", "my cup"}}.command("approve"))
	require.Equal(t, "driftless reject --rule zero_amount --reason ...", choice{rule: "zero_amount"}.command("reject"))
	require.Equal(t, "driftless approve --all --reason ...",
		choice{held: &controlv1.MatchingProducts{}}.command("approve"))
}
