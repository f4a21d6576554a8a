package ingestion_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// A row may have any values. Its product becomes a dead letter, and the others continue.
func TestCapture_HandlesRowsOfAnySize(t *testing.T) {
	r := newRig(t)
	r.start()
	for id, prices := range map[string]string{
		"digits":  `custom_unit_amount) VALUES ('digits-p', 'digits', 'eur', jsonb_build_object('minimum', repeat('9', 3000000), 'maximum', repeat('8', 3000000), 'preset', repeat('7', 3000000)))`,
		"fifths":  `currency_options, unit_amount) VALUES ('fifths-p', 'fifths', 'eur', jsonb_build_object('usd', jsonb_build_object('unit_amount_decimal', '0.' || repeat('3', 900000))), 1)`,
		"bounds":  `tiers, tiers_mode, recurring) VALUES ('bounds-p', 'bounds', 'eur', jsonb_build_array(jsonb_build_object('up_to', repeat('9', 900000), 'unit_amount', 1), jsonb_build_object('unit_amount', 1)), 'volume', '{"interval": "month"}')`,
		"tiers":   `tiers, tiers_mode, recurring) SELECT 'tiers-p', 'tiers', 'eur', jsonb_agg('{}'::jsonb), 'volume', '{"interval": "month"}'::jsonb FROM generate_series(1, 1000000)`,
		"options": `currency_options, unit_amount) SELECT 'options-p', 'options', 'eur', jsonb_object_agg(n::text, '{"unit_amount": 1}'::jsonb), 1 FROM generate_series(1, 100000) n`,
		"many":    `metadata) SELECT 'many-' || n, 'many', 'eur', '{}'::jsonb FROM generate_series(1, 20000) n`,
	} {
		r.exec("INSERT INTO driftless.products (id, name) VALUES ($1, $1)", id)
		r.exec("INSERT INTO driftless.prices (id, product, currency, " + prices)
	}
	r.exec("INSERT INTO driftless.products (id, name, images) SELECT 'images', 'images', array_agg('x'::text) FROM generate_series(1, 600000)")
	r.exec("INSERT INTO driftless.products (id, name) VALUES ('fine', 'Fine')")
	require.Eventually(t, func() bool { return r.latest("fine").GetProduct().GetName() == "Fine" }, testTimeout,
		20*time.Millisecond)
	for id, want := range map[string]string{
		"digits":  `prices["digits-p"].custom_unit_amount: must have at most 1048576 bytes`,
		"fifths":  "must be a number of 0 or more with at most 12 digits and 12 decimals",
		"bounds":  "up_to: must be",
		"tiers":   "tiers: must have at most 1048576 bytes",
		"options": "currency_options: must have at most 1048576 bytes",
		"many":    "and at least 80 more",
		"images":  "images: must have at most 1048576 bytes",
	} {
		require.Eventually(t, func() bool { return r.dead(id) != nil }, testTimeout, 20*time.Millisecond, id)
		letter := r.dead(id)
		require.Equal(t, topology.ReasonInvalidProduct, letter.GetReason(), id)
		require.Contains(t, letter.GetMessage(), want, id)
		require.Less(t, len(letter.GetMessage()), 8<<10+1, id)
	}
}

// Everyone who may log in may write a message of any size into the log. Capture keeps nothing of it.
func TestCapture_DropsLongLogicalMessages(t *testing.T) {
	r := newRig(t)
	r.start()
	r.waitCaptured()
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for _, prefix := range []string{"traceparent", "driftless.barrier", "theirs"} {
		r.exec("SELECT pg_logical_emit_message(true, $1, repeat('x', 64000000))", prefix)
	}
	r.waitCaptured()
	require.Eventually(t, func() bool { return heap()-before < 32<<20 }, testTimeout, 20*time.Millisecond, "%d kB",
		(heap()-before)>>10)
}
