package doctor

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A check that no table names would be made by driftless doctor only, and no service would say that it is not made.
func TestMakers_AreDecidedForEveryCheck(t *testing.T) {
	t.Parallel()
	for _, c := range Checks() {
		_, ofGroup := makers[c.Group()]
		_, ofCheck := makersOf[c.ID]
		require.True(t, ofGroup || ofCheck,
			"say in own.go which services make %s; nil if only driftless doctor does", c.ID)
	}
	for id := range makersOf {
		_, found := Find(id)
		require.True(t, found, "own.go names %s, which is no check", id)
	}
}
