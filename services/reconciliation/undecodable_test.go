package reconciliation

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// A message that breaks after an operator has deleted another is not taken for that one.
func TestUndecodableLog_LogsOtherMessagesAndRepeats(t *testing.T) {
	t.Parallel()
	var log undecodableLog
	at := noon
	for _, step := range []struct {
		after time.Duration
		rows  []int64
		isDue bool
	}{
		{0, nil, false},
		{time.Second, []int64{5}, true},
		{time.Second, []int64{5}, false},
		{time.Second, []int64{9}, true},
		{time.Second, nil, false},
		{time.Second, []int64{9}, true},
		{time.Second, []int64{9, 12}, true},
		{undecodableInterval - time.Second, []int64{9, 12}, false},
		{time.Second, []int64{9, 12}, true},
		{time.Second, []int64{9, 12}, false},
	} {
		at = at.Add(step.after)
		var left *ledger.UndecodableError
		if step.rows != nil {
			left = &ledger.UndecodableError{Rows: step.rows}
		}
		require.Equal(t, step.isDue, log.isDue(left, at), "%+v", step)
	}
}
