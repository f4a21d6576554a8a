package ingestion_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/config"
)

func TestCapture_SaysHowLongReplacedPricesStay(t *testing.T) {
	r := newRig(t)
	r.exec(`CREATE TABLE items (id text PRIMARY KEY, name text, overlap interval)`)
	r.exec(`INSERT INTO items VALUES ('own', 'Own', '2 hours'), ('none', 'None', '0'), ('default', 'Default', NULL)`)
	r.cfg.Mapping = &config.Mapping{
		Products: `SELECT id, name, overlap AS archive_after FROM items`,
		Prices:   `SELECT 'price-' || id AS id, id AS product, 'eur' AS currency, 100 AS unit_amount FROM items`,
		Watch:    []config.WatchedTable{{Table: "items", ProductID: "id"}},
	}
	r.cfg.PricesArchiveAfter = time.Hour
	r.start()
	require.Eventually(t, func() bool { return r.latest("default") != nil }, testTimeout, 20*time.Millisecond)
	r.waitCaptured()
	require.Equal(t, 2*time.Hour, r.latest("own").GetArchiveAfter().AsDuration())
	require.Nil(t, r.latest("none").GetArchiveAfter(), "prices are archived at once")
	require.Equal(t, time.Hour, r.latest("default").GetArchiveAfter().AsDuration())
	require.NotContains(t, r.latest("own").GetUnmanagedFields(), "archive_after", "it is no field of Stripe's")

	r.exec(`UPDATE items SET overlap = '3 hours' WHERE id = 'own'`)
	r.waitCaptured()
	require.Equal(t, 3*time.Hour, r.latest("own").GetArchiveAfter().AsDuration())

	// The comparison after a start finds what another setting changes.
	r.stop()
	r.cfg.PricesArchiveAfter = 0
	version := r.latest("own").GetVersion()
	r.start()
	require.Eventually(t, func() bool { return r.latest("default").GetArchiveAfter() == nil }, testTimeout,
		20*time.Millisecond)
	require.Equal(t, version, r.latest("own").GetVersion(), "the setting does not concern it")
}
