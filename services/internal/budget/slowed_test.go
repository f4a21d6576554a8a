package budget

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

func TestSlowest_ReturnsTheLowestRateThatHasNotRecovered(t *testing.T) {
	at := time.Unix(1000, 0)
	b := &meshv1.Budget{Slowed: map[string]*meshv1.Slowdown{
		"":                  {Permille: 700, At: at.UnixNano()},
		"POST /v1/products": {Permille: 490, At: at.Add(-time.Second).UnixNano()},
	}}
	endpoint, rate := Slowest(b, at)
	require.Equal(t, "POST /v1/products", endpoint)
	require.EqualValues(t, 540, rate, "it recovers by a twentieth each second")
	endpoint, rate = Slowest(b, at.Add(time.Minute))
	require.Empty(t, endpoint)
	require.EqualValues(t, 1000, rate)
}
