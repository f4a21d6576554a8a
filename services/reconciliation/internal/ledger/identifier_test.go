package ledger_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// sell stores both sides of a product with one price, whose lookup key is key.
func (b *bench) sell(id, price, key string) {
	b.t.Helper()
	b.sequence++
	wanted := &catalogv1.Price{Id: price, LookupKey: key, Currency: "eur", UnitAmount: "1400"}
	require.NoError(b.t, b.Apply(b.t.Context(), ledger.DesiredChange(&catalogv1.ProductChange{
		Account: "default", ProductId: id, Version: b.sequence, Operation: catalogv1.Operation_OPERATION_UPSERT,
		Product: &catalogv1.Product{Id: id, Name: id, Prices: []*catalogv1.Price{wanted}},
	}, at(b.sequence),
		ledger.Entry{EventID: id + key, Product: id, At: b.now, Kind: "catalog_change", TraceID: trace})))
	held := proto.CloneOf(wanted)
	held.Active = proto.Bool(true)
	require.NoError(b.t, b.Apply(b.t.Context(), ledger.ObservedChange(&catalogv1.Observed{
		Account: "default", ProductId: id, Version: b.sequence, StripeId: "prod_" + id,
		Product: &catalogv1.Product{Id: id, Name: id, Active: proto.Bool(true)},
		Prices:  []*catalogv1.ObservedPrice{{StripeId: "price_" + price, Price: held}},
	}, at(b.sequence))))
}

const trace = "0af7651916cd43dd8448eb211c80319c"

// A program of a version without ids stores states only, also while this one runs. The ids are stored at the next
// change of the product, and by the backfill.
func TestBackfillIdentifiers_StoresIDsOfOlderProgram(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	conn, err := pgx.Connect(t.Context(), b.url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	products := []string{"cup", "jug", "mug"}
	for _, id := range products {
		b.sell(id, id+"-small", id+"-key")
		b.sell(id, id+"-large", id+"-other-key")
	}
	// An older program has written the latest state.
	_, err = conn.Exec(t.Context(), `DELETE FROM driftless_ledger.identifier WHERE id LIKE '%large' OR id LIKE '%other%'`)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(),
		`UPDATE driftless_ledger.product SET identified_desired = identified_desired - 1, identified_observed = -1`)
	require.NoError(t, err)
	finds := func(id string) []string {
		t.Helper()
		found, err := b.Find(t.Context(), id, 10)
		require.NoError(t, err)
		return found.Products
	}
	require.Empty(t, finds("cup-large"))
	b.observeBeside("Mug", "by hand")
	require.Equal(t, []string{"mug"}, finds("price_mug-large"), "the next change stores them")
	pages := 0
	for after := ""; ; pages++ {
		if after, err = b.BackfillIdentifiers(t.Context(), after); after == "" {
			break
		}
	}
	require.NoError(t, err)
	require.Equal(t, 1, pages)
	for _, id := range products {
		for _, known := range []string{id + "-large", id + "-other-key", "price_" + id + "-large", id + "-small"} {
			require.Equal(t, []string{id}, finds(known), known)
		}
	}
	last, err := b.BackfillIdentifiers(t.Context(), "")
	require.NoError(t, err)
	require.Empty(t, last, "nothing is left")
}

// entry stores an entry of the audit trail about the mug.
func (b *bench) entry(id, kind string, after time.Duration, data *controlv1.HistoryEntry) {
	b.t.Helper()
	encoded, err := ledger.EncodeData(data)
	require.NoError(b.t, err)
	require.NoError(b.t, b.Apply(b.t.Context(), ledger.AuditEntry(ledger.Entry{
		EventID: id, Product: product, At: noon.Add(after), Kind: kind, Data: encoded, Detail: "Stripe: " + id,
	})))
}

func TestFind_ResolvesEveryKindOfID(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.sell(product, "mug-eur", "mug")
	b.sell("cup", "cup-eur", "cups")
	b.entry(ledger.StripeEntryID("default", "evt_1"), "stripe_event", 0,
		&controlv1.HistoryEntry{StripeRequestId: "req_1"})
	b.entry("applied", "applied", 0,
		&controlv1.HistoryEntry{Steps: []*meshv1.AppliedStep{{StripeRequestId: "req_2"}, {StripeRequestId: "req_3"}}})
	b.entry("failed", "failed", 0, &controlv1.HistoryEntry{StripeRequestId: "req_4", Attempts: 1})
	for id, want := range map[string]ledger.Match{
		"mug":                   {Kind: ledger.ProductID, Products: []string{"mug"}},
		"mug-eur":               {Kind: ledger.PriceID, Products: []string{"mug"}},
		"cups":                  {Kind: ledger.LookupKey, Products: []string{"cup"}},
		"prod_mug":              {Kind: ledger.StripeProductID, Products: []string{"mug"}},
		"price_cup-eur":         {Kind: ledger.StripePriceID, Products: []string{"cup"}},
		"evt_1":                 {Kind: ledger.EventID, Products: []string{"mug"}},
		"req_1":                 {Kind: ledger.RequestID, Products: []string{"mug"}},
		"req_3":                 {Kind: ledger.RequestID, Products: []string{"mug"}},
		"req_4":                 {Kind: ledger.RequestID, Products: []string{"mug"}},
		trace:                   {Kind: ledger.TraceID, Products: []string{"cup", "mug"}},
		"nothing":               {},
		"req_9":                 {},
		"evt_9":                 {},
		strings.Repeat("0", 32): {},
	} {
		found, err := b.Find(t.Context(), id, 20)
		require.NoError(t, err, id)
		require.Equal(t, want, found, id)
	}
	found, err := b.Find(t.Context(), trace, 1)
	require.NoError(t, err)
	require.Equal(t, ledger.Match{Kind: ledger.TraceID, Products: []string{"cup"}, More: true}, found)
}

func TestFind_PrefersTheProductThatHasTheIDNow(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.sell(product, "mug-eur", "best")
	b.sell(product, "mug-new", "other")
	found, err := b.Find(t.Context(), "best", 20)
	require.NoError(t, err)
	require.Equal(t, []string{"mug"}, found.Products, "a key of the past still leads to its product")
	found, err = b.Find(t.Context(), "price_mug-eur", 20)
	require.NoError(t, err)
	require.Equal(t, ledger.Match{Kind: ledger.StripePriceID, Products: []string{"mug"}}, found)
	b.sell("cup", "cup-eur", "best")
	found, err = b.Find(t.Context(), "best", 20)
	require.NoError(t, err)
	require.Equal(t, ledger.Match{Kind: ledger.LookupKey, Products: []string{"cup"}}, found)
}

// The products that had the key before come first in the order of their ids.
func TestFind_PrefersTheProductThatHasTheIDNowAmongVeryMany(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	const products = 205
	for i := range products {
		id := fmt.Sprintf("p%03d", i)
		b.sell(id, id+"-eur", "best")
		if i < products-1 {
			b.sell(id, id+"-eur", "other-"+id)
		}
	}
	found, err := b.Find(t.Context(), "best", 20)
	require.NoError(t, err)
	require.Equal(t, ledger.Match{Kind: ledger.LookupKey, Products: []string{"p204"}}, found)
	b.sell("p204", "p204-eur", "other")
	found, err = b.Find(t.Context(), "best", 20)
	require.NoError(t, err)
	require.Len(t, found.Products, 20)
	require.True(t, found.More, "nobody has it now, and there are more that had it")
}

func TestFailure_CountsFromTheLastSuccess(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	failure := func() *ledger.Failure {
		f, err := b.Failure(t.Context(), product)
		require.NoError(t, err)
		return f
	}
	require.Nil(t, failure())
	next := timestamppb.New(noon.Add(time.Minute))
	for i, attempts := range []uint64{1, 2, 4} {
		b.entry("failed"+string(rune('0'+i)), "failed", time.Duration(i)*time.Second,
			&controlv1.HistoryEntry{Attempts: attempts, NextAttemptAt: next, StripeRequestId: "req_1"})
	}
	f := failure()
	require.EqualValues(t, 4, f.Attempts)
	require.True(t, f.First.Equal(noon) && f.At.Equal(noon.Add(2*time.Second)) && f.Next.Equal(next.AsTime()), "%+v", f)
	require.Equal(t, "Stripe: failed2", f.Message)
	require.Equal(t, "req_1", f.RequestID)
	for i, kind := range []string{"applied", "dead", "held"} {
		at := time.Duration(3+2*i) * time.Second
		b.entry(kind, kind, at, &controlv1.HistoryEntry{})
		require.Nil(t, failure(), kind)
		b.entry("after "+kind, "failed", at+time.Second, &controlv1.HistoryEntry{Attempts: 1})
		require.EqualValues(t, 1, failure().Attempts, kind)
	}
	id, err := b.LatestTrace(t.Context(), product)
	require.NoError(t, err)
	require.Empty(t, id)
}
