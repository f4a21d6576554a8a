package finding_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/ingestion/internal/finding"
)

func TestList_KeepsWhatIsUnprovenApart(t *testing.T) {
	t.Parallel()
	var found finding.List
	found.Warnf("", "a table is not watched")
	found.As(finding.RowIDs).Unprovenf("it takes longer than %d s", 5)
	require.NoError(t, found.Err())
	require.False(t, found.Refuses())
	require.Len(t, found.Warnings(), 1)
	require.Len(t, found.Proven(), 1)
	require.True(t, found[1].IsUnproven())

	tagged := found.Tagged(finding.Unwatched)
	require.Equal(t, finding.Unwatched, tagged[0].ID)
	require.Equal(t, finding.RowIDs, tagged[1].ID, "it has a kind")
	require.Empty(t, found[0].ID, "the list itself stays as it is")

	found.As(finding.Role).Refusef("ALTER ROLE x REPLICATION;", "role %s may not replicate", "x")
	require.EqualError(t, found.Err(), "role x may not replicate: run `ALTER ROLE x REPLICATION;`")
}
