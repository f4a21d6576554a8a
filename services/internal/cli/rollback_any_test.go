package cli

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/config"
)

// pastTest is a mesh whose catalog was edited at random, with what the catalog held at some times.
type pastTest struct {
	t       *testing.T
	client  controlv1connect.ControlServiceClient
	moments []time.Time
	// held are the products at each time, by id.
	held []map[string]*catalogv1.Product
}

// note stores what the catalog holds now.
func (p *pastTest) note() {
	p.t.Helper()
	resp, err := p.client.ListProducts(p.t.Context(), connect.NewRequest(&controlv1.ListProductsRequest{}))
	require.NoError(p.t, err)
	held := map[string]*catalogv1.Product{}
	for _, d := range resp.Msg.GetProducts() {
		if product := d.GetDesired().GetProduct(); product != nil {
			held[d.GetProductId()] = catalog.Canonical(product)
		}
	}
	p.moments, p.held = append(p.moments, time.Now()), append(p.held, held)
}

// checkStates compares the answers about each time with what was noted.
func (p *pastTest) checkStates() {
	p.t.Helper()
	for i, at := range p.moments {
		resp, err := p.client.ListStates(p.t.Context(), connect.NewRequest(&controlv1.ListStatesRequest{
			At: timestamppb.New(at), Side: controlv1.Side_SIDE_CATALOG,
		}))
		require.NoError(p.t, err)
		got := map[string]*catalogv1.Product{}
		for _, s := range resp.Msg.GetStates() {
			got[s.GetProductId()] = catalog.Canonical(s.GetCatalog().GetProduct())
		}
		require.Equal(p.t, slices.Sorted(maps.Keys(p.held[i])), slices.Sorted(maps.Keys(got)), "moment %d", i)
		for id, want := range p.held[i] {
			require.True(p.t, proto.Equal(want, got[id]), "moment %d: %s\nwant %s", i, got[id], want)
		}
	}
}

// rollback rolls a product back to a moment, and checks that the catalog has the state again. Prices that did not exist
// then are archived. It reports whether that was possible: some edits make a product that ingestion refuses.
func (p *pastTest) rollback(c *cli, id string, moment int) (done bool) {
	p.t.Helper()
	cmd := &rollbackCmd{
		Product: id,
		To:      p.moments[moment].Format(time.RFC3339Nano),
		Yes:     true,
		Timeout: time.Minute,
	}
	err := cmd.Run(p.t.Context(), c)
	if err != nil && strings.Contains(err.Error(), "ingestion refused the latest change") {
		return false
	}
	require.NoError(p.t, err, "%s to moment %d", id, moment)
	resp, err := p.client.ListProducts(p.t.Context(),
		connect.NewRequest(&controlv1.ListProductsRequest{ProductIds: []string{id}}))
	require.NoError(p.t, err)
	want, got := p.held[moment][id], catalog.Canonical(resp.Msg.GetProducts()[0].GetDesired().GetProduct())
	got.Prices = slices.DeleteFunc(got.GetPrices(), func(price *catalogv1.Price) bool {
		existed := slices.ContainsFunc(want.GetPrices(),
			func(w *catalogv1.Price) bool { return w.GetId() == price.GetId() })
		require.True(p.t, existed || !price.GetActive(), "%s is on sale and did not exist then", price.GetId())
		return !existed
	})
	require.True(p.t, proto.Equal(want, got), "%s to moment %d: %s\nwant %s", id, moment, got, want)
	return true
}

// TestRollback_RestoresAnyState edits a catalog at random, asks for the states of earlier times, and rolls products
// back to them.
func TestRollback_RestoresAnyState(t *testing.T) {
	t.Parallel()
	m := newTestMesh(t, nil)
	c := &cli{Local: config.Local{DataDir: t.TempDir()}, Output: "json"}
	require.NoError(t, m.endpoints().save(c.DataDir))
	client, err := address{}.control(c)
	require.NoError(t, err)
	p := &pastTest{t: t, client: client}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	e := &shopEditor{Rand: rand.New(rand.NewPCG(seed, 1))}
	first := []string{"INSERT INTO driftless.products (id, name) VALUES ('mug', 'Mug')"}
	for i := range 40 {
		first = append(first,
			fmt.Sprintf("INSERT INTO driftless.products (id, name) VALUES ('p%d', 'Product %d')", i, i),
			fmt.Sprintf(`INSERT INTO driftless.prices (id, product, currency, unit_amount)
				VALUES ('p%d-eur', 'p%d', 'eur', 1000), ('p%d-usd', 'p%d', 'usd', 1200)`, i, i, i, i))
	}
	commit(t, m.database, first)
	awaitQuiet(t, c)
	require.Eventually(t, func() bool {
		_, err := client.ListStates(t.Context(), connect.NewRequest(&controlv1.ListStatesRequest{
			At: timestamppb.Now(), Side: controlv1.Side_SIDE_STRIPE,
		}))
		return err == nil
	}, time.Minute, 50*time.Millisecond)
	p.note()
	const batches, batch, rollbacks = 4, 60, 25
	for range batches {
		statements := make([]string, batch)
		for i := range statements {
			statements[i] = e.statement()
		}
		commit(t, m.database, statements)
		awaitQuiet(t, c)
		p.note()
	}
	p.checkStates()
	done := 0
	for range rollbacks {
		moment := e.IntN(len(p.moments))
		ids := slices.Sorted(maps.Keys(p.held[moment]))
		if p.rollback(c, ids[e.IntN(len(ids))], moment) {
			done++
		}
	}
	require.Greater(t, done, rollbacks/3)
	// What was asked before is answered in the same way after.
	p.checkStates()
	awaitQuiet(t, c)
	checkPastPage(t, m)
}

// checkPastPage runs the commands of docs/time-machine.md, as if the ledger had known the product mug for long.
func checkPastPage(t *testing.T, m *testMesh) {
	t.Helper()
	page, err := os.ReadFile("../../../docs/time-machine.md")
	require.NoError(t, err)
	commit(t, m.database, []string{
		"UPDATE driftless_ledger.past_state_horizon SET known_from = '2026-01-01'",
		"UPDATE driftless_ledger.product SET desired_since = 'epoch', observed_since = 'epoch' WHERE product_id = 'mug'",
	})
	r := newPageRigOf(t, m)
	commands := 0
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		for command := range strings.Lines(block[1]) {
			command, _, _ = strings.Cut(strings.TrimSpace(command), "    #")
			if strings.Contains(command, "rollback") && !strings.Contains(command, "--dry-run") {
				command += " --yes"
			}
			out, code := r.run(command)
			require.Contains(t, []int{0, 2}, code, "%s\n%s", command, out)
			require.NotContains(t, out, "unknown", command)
			commands++
		}
	}
	require.Equal(t, 8, commands)
}
