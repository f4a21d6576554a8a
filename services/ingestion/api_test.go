package ingestion_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestUpsertProducts_WritesAllOrNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	status, answer := r.call("UpsertProducts", `{"products":[
		{"id":"mug","name":"Mug","default_price":"mug-eur","metadata":{"sku":"1"},"marketing_features":[{"name":"Blue"}],
		 "prices":[{"id":"mug-eur","currency":"eur","unit_amount":"1400","recurring":{"interval":"month"}},
		           {"id":"mug-t","currency":"eur","billing_scheme":"tiered","recurring":{"interval":"month"},"tiers_mode":"volume","tiers":[{"up_to":"10","unit_amount_decimal":"0.000000000001"},{"unit_amount":"5"}]}]}]}`)
	require.Equal(t, http.StatusOK, status, answer)
	require.JSONEq(t, `{"products":[{"id":"mug","created":true}]}`, answer)
	r.waitCaptured()
	p := r.latest("mug").GetProduct()
	require.Equal(t, "mug-eur", p.GetDefaultPrice())
	require.Equal(t, "Blue", p.GetMarketingFeatures()[0].GetName())
	require.Len(t, p.GetPrices(), 2)
	for _, price := range p.GetPrices() {
		if price.GetId() == "mug-t" {
			require.Equal(t, "0.000000000001", price.GetTiers()[0].GetUnitAmountDecimal())
		}
	}

	status, answer = r.call("UpsertProducts", `{"products":[
		{"id":"fine","name":"Fine"},
		{"id":"bad id","name":"","prices":[{"id":"x","currency":"EUR"}]}]}`)
	require.Equal(t, http.StatusBadRequest, status)
	for _, want := range []string{
		"products[1].id", "products[1].name", "products[1].prices[0].currency",
		"products[1].prices[0].unit_amount", "invalid_argument",
	} {
		require.Contains(t, answer, want)
	}
	var rows int
	require.NoError(t, r.pool.QueryRow(t.Context(), `SELECT count(*) FROM driftless.products`).Scan(&rows))
	require.Equal(t, 1, rows, "nothing is written")

	status, answer = r.call("UpsertProducts", `{"products":[{"id":"a","nam":"A"}]}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, answer, "nam")

	status, answer = r.call("UpsertProducts",
		`{"products":[{"id":"other","name":"O","prices":[{"id":"mug-eur","currency":"eur","unit_amount":"1"}]}]}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, answer, "belongs to product mug")

	// A price that the product no longer lists is removed.
	status, answer = r.call("UpsertProducts", `{"products":[{"id":"mug","name":"Mug"}]}`)
	require.Equal(t, http.StatusOK, status, answer)
	require.NoError(t, r.pool.QueryRow(t.Context(), `SELECT count(*) FROM driftless.prices`).Scan(&rows))
	require.Zero(t, rows)

	status, answer = r.call("ArchiveProducts", `{"ids":["mug","nobody"]}`)
	require.Equal(t, http.StatusNotFound, status)
	require.Contains(t, answer, "nobody")
	status, answer = r.call("ArchiveProducts", `{"ids":["mug"]}`)
	require.Equal(t, http.StatusOK, status, answer)
	r.waitCaptured()
	require.False(t, r.latest("mug").GetProduct().GetActive())
}

func TestUpsertProducts_OverlappingBatchesDoNotDeadlock(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	body := func(offset, step int) string {
		var b bytes.Buffer
		b.WriteString(`{"products":[`)
		for i := range 50 {
			if i > 0 {
				b.WriteByte(',')
			}
			id := (offset + step*i + 50) % 50
			fmt.Fprintf(&b, `{"id":"p%d","name":"N%d","prices":[{"id":"p%d-1","currency":"eur","unit_amount":"%d"}]}`,
				id, offset, id, offset+1)
		}
		b.WriteString(`]}`)
		return b.String()
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 5 {
				if status, answer := r.call("UpsertProducts", body(i*7, 1-2*(i%2))); status != http.StatusOK {
					t.Error(answer)
				}
			}
		})
	}
	wg.Wait()
}

// It does not run in parallel: its open transaction would delay the slots of other tests.
func TestUpsertProducts_LockedRowDoesNotStopCapture(t *testing.T) {
	r := newRig(t)
	r.start()
	r.exec(`INSERT INTO driftless.products (id, name) VALUES ('mug', 'Mug'), ('cup', 'Cup')`)
	conn, err := pgx.Connect(t.Context(), r.cfg.DatabaseURL)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	_, err = conn.Exec(t.Context(), `BEGIN; UPDATE driftless.products SET name = name WHERE id = 'mug'`)
	require.NoError(t, err)

	var calls sync.WaitGroup
	var refused atomic.Int64
	for range 8 {
		calls.Go(func() {
			status, answer := r.call("UpsertProducts", `{"products":[{"id":"mug","name":"Big mug"}]}`)
			if status == http.StatusConflict && strings.Contains(answer, "another session has locked the rows") {
				refused.Add(1)
			}
		})
	}
	waiting := func() (n int) {
		require.NoError(t, r.pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE application_name = 'driftless-ingestion' AND datname = current_database()
			AND wait_event_type = 'Lock'`).Scan(&n))
		return n
	}
	r.eventually("calls wait for the row", func() bool { return waiting() >= 4 })
	// All calls have arrived before the last of these changes.
	for i := range 5 {
		name := fmt.Sprint("Cup ", i)
		r.exec(`UPDATE driftless.products SET name = $1 WHERE id = 'cup'`, name)
		r.eventually(name+" is captured", func() bool { return r.latest("cup").GetProduct().GetName() == name })
		require.LessOrEqual(t, waiting(), 4, "the other connections are for capture")
	}
	r.eventually("calls are refused", func() bool { return refused.Load() >= 4 })
	_, err = conn.Exec(t.Context(), `ROLLBACK`)
	require.NoError(t, err)
	calls.Wait()
}

func TestWaitCaptured_WaitsForSnapshot(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.waitCaptured()
	// This is the state while a snapshot runs. No process is notified of this one, so it does not change.
	cursor := r.stores.Record(topology.KeySnapshot, "default")
	require.NoError(t, cursor.PutString(t.Context(), "after mug"))
	status, answer := r.call("WaitCaptured", "{}", "Connect-Timeout-Ms", "2000")
	require.Equal(t, http.StatusGatewayTimeout, status, answer)
	require.Contains(t, answer, "a snapshot of the catalog is still running")
	require.NoError(t, cursor.PutString(t.Context(), "done"))
	r.waitCaptured()
}

func TestAPI_RequiresToken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.Auth.Token = "secret"
	r.start()
	status, answer := r.call("WaitCaptured", "{}")
	require.Equal(t, http.StatusUnauthorized, status)
	require.Contains(t, answer, "unauthenticated")
	status, _ = r.call("WaitCaptured", "{}", "Authorization", "Bearer secret")
	require.Equal(t, http.StatusOK, status)

	// Who made a change is in the log, and in the state.
	status, answer = r.call("UpsertProducts", `{"products": [{"id": "mug", "name": "Mug"}], "actor": "ann"}`,
		"Authorization", "Bearer secret")
	require.Equal(t, http.StatusOK, status, answer)
	r.exec(`WITH who AS (SELECT pg_logical_emit_message(true, 'driftless.actor', 'shop admin'))
		INSERT INTO driftless.products (id, name) SELECT 'cup', 'Cup' FROM who`)
	r.exec("INSERT INTO driftless.products (id, name) VALUES ('jar', 'Jar')")
	status, _ = r.call("WaitCaptured", "{}", "Authorization", "Bearer secret")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "ann", r.latest("mug").GetActor())
	require.Equal(t, "shop admin", r.latest("cup").GetActor())
	require.Empty(t, r.latest("jar").GetActor())
	status, answer = r.call("ArchiveProducts", `{"ids": ["mug"], "actor": "reconciliation"}`, "Authorization",
		"Bearer secret")
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, answer, "reconciliation is the name of a service")
}
