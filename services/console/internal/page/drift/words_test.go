package drift

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

// An empty page is no proof that nothing drifts.
func TestNothing_SaysOnlyWhatWasLookedAt(t *testing.T) {
	t.Parallel()
	known := &controlv1.Equality{AsOf: timestamppb.Now()}
	for want, c := range map[string]struct {
		q query
		e *controlv1.Equality
	}{
		"No drift":          {query{}, known},
		"No more drift":     {query{after: "mug"}, known},
		"No such drift":     {query{kind: "missing"}, known},
		"No drift is known": {query{}, &controlv1.Equality{AsOf: timestamppb.Now(), Unknown: "capture is stopped"}},
	} {
		title, _ := nothing(c.q, c.e)
		require.Equal(t, want, title)
	}
	title, _ := nothing(query{}, nil)
	require.Equal(t, "No drift is known", title)
}
