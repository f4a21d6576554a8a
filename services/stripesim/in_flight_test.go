package stripesim_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/stripesim"
)

func TestStats_CountWritesInFlight(t *testing.T) {
	t.Parallel()
	h := startWithLamp(t)
	price := h.create("/v1/prices", "product", "lamp", "currency", "usd", "unit_amount", "1")
	require.Equal(t, map[string]int{"product": 1}, h.sim.Stats().MaxInFlight,
		"a price that is made is a write to its product")
	_, err := h.sim.AddFault(stripesim.Fault{Kind: stripesim.FaultLatency, Delay: 100 * time.Millisecond, Count: 1})
	require.NoError(t, err)
	var slow sync.WaitGroup
	slow.Go(func() { h.post("/v1/products/lamp", "name", "Slow").ok() })
	eventually(t, func() bool { return h.sim.Faults()[0].Hits == 1 }, "at work")
	h.post("/v1/prices/"+price, "nickname", "x").ok()
	slow.Wait()
	s := h.sim.Stats()
	require.Equal(t, map[string]int{"product": 2, "price": 1}, s.MaxInFlight)
	require.Equal(t, map[string]int{"product lamp": 2}, s.Contended)
	h.sim.ResetStats()
	require.Empty(t, h.sim.Stats().MaxInFlight)
}
