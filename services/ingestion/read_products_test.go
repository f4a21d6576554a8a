package ingestion_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
)

// read reads products by the API.
func (r *rig) read(ids ...string) []*ingestv1.TableProduct {
	r.t.Helper()
	body, err := json.Marshal(map[string]any{"ids": ids})
	require.NoError(r.t, err)
	status, answer := r.call("ReadProducts", string(body))
	require.Equal(r.t, http.StatusOK, status, answer)
	out := &ingestv1.ReadProductsResponse{}
	require.NoError(r.t, protojson.Unmarshal([]byte(answer), out))
	return out.GetProducts()
}

func TestReadProducts_ReadsTheTablesNow(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.exec(`INSERT INTO driftless.products (id, name) VALUES ('mug', 'Mug'), ('cup', 'Cup')`)
	r.exec(`INSERT INTO driftless.prices (id, product, currency, unit_amount) VALUES ('mug-eur', 'mug', 'eur', 1400)`)
	r.waitCaptured()
	// Nothing is captured while ingestion is paused, but the API reads the tables.
	r.pause()
	r.exec(`UPDATE driftless.prices SET unit_amount = 1500`)
	r.exec(`INSERT INTO driftless.prices (id, product, currency, unit_amount) VALUES ('cup-eur', 'cup', 'eur', -5)`)
	before := r.messages("catalog.>")
	got := r.read("mug", "none", "cup")
	require.Equal(t, "1500", got[0].GetProduct().GetPrices()[0].GetUnitAmount())
	require.Empty(t, got[0].GetRefused())
	require.WithinDuration(t, time.Now(), got[0].GetReadAt().AsTime(), time.Minute)
	require.Equal(t, "none", got[1].GetId())
	require.Nil(t, got[1].GetProduct())
	require.Contains(t, got[2].GetRefused(), "unit_amount")
	require.Equal(t, before, r.messages("catalog.>"), "a read publishes nothing")
	for _, body := range []string{`{}`, `{"ids":["a","a"]}`, `{"ids":[""]}`} {
		status, answer := r.call("ReadProducts", body)
		require.Equal(t, http.StatusBadRequest, status, answer)
	}
}

func TestReadProducts_SaysThatATableIsLocked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.exec(`INSERT INTO driftless.products (id, name) VALUES ('mug', 'Mug')`)
	tx, err := r.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE driftless.products IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	status, answer := r.call("ReadProducts", `{"ids":["mug"]}`)
	require.NoError(t, tx.Rollback(t.Context()))
	require.Equal(t, http.StatusServiceUnavailable, status, answer)
	require.Contains(t, answer, "is a table locked?")
	require.Equal(t, "Mug", r.read("mug")[0].GetProduct().GetName())
}
