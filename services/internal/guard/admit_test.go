package guard_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/guard"
)

func itoa(n int) string { return strconv.Itoa(n) }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// shop returns the totals of an account with products of one price each in euros.
func shop(record *meshv1.Guard, products int) *guard.Totals {
	totals := guard.NewTotals(record, noon)
	for i := range products {
		totals.Add(&catalogv1.Observed{
			ProductId: fmt.Sprint("product", i), Product: &catalogv1.Product{Active: proto.Bool(true)},
			Prices: []*catalogv1.ObservedPrice{
				{Price: &catalogv1.Price{Id: "one", Currency: "eur", Active: proto.Bool(true)}},
				{Price: &catalogv1.Price{Id: "old", Currency: "usd", Active: proto.Bool(false)}},
			},
		})
	}
	return totals
}

func archives(i int) guard.Counted {
	return guard.Counted{Product: fmt.Sprint("product", i), Archived: true}
}

func TestAdmit_HoldsWhatExceedsTheShare(t *testing.T) {
	t.Parallel()
	record := &meshv1.Guard{}
	admit := func(c guard.Counted, at time.Time) []guard.Finding {
		var totals *guard.Totals
		if guard.NeedsTotals(record, all, c, at) {
			totals = shop(record, 40)
		}
		return guard.Admit(record, all, c, totals, at)
	}
	for i := range 4 {
		require.Empty(t, admit(archives(i), noon), "a tenth of forty")
	}
	require.Empty(t, admit(archives(2), noon), "a retry counts once")
	held := admit(archives(4), noon)
	require.Equal(t, []guard.Finding{{
		Rule:    guard.ArchivedProducts,
		Message: "5 of 40 products were archived within an hour, and 4 are allowed without approval",
	}}, held)
	require.Equal(t, held, admit(archives(4), noon), "and the same again")
	require.Equal(t, []string{"product4"}, record.GetCounts()["archived_products"].GetHeld())
	require.Empty(t, admit(guard.Counted{Product: "product9", Prices: []string{"price_1"}}, noon), "another rule")

	require.NotEmpty(t, admit(archives(5), noon.Add(2*time.Hour)), "the hour does not end while a product is held")
	require.True(t, guard.Release(record, "product4"))
	require.False(t, guard.Release(record, "product4"))
	require.True(t, guard.Release(record, "product5"))
	require.Empty(t, admit(archives(5), noon.Add(2*time.Hour)))
	require.Equal(t, uint64(1), record.GetCounts()["archived_products"].GetChanged())
}

func TestAdmit_RefersToTheBeginOfTheHour(t *testing.T) {
	t.Parallel()
	record := &meshv1.Guard{}
	totals := shop(record, 40)
	for i := range 4 {
		require.Empty(t, guard.Admit(record, all, archives(i), totals, noon))
	}
	require.NotEmpty(t, guard.Admit(record, all, archives(4), totals, noon), "totals that are kept")
	require.Equal(t, uint64(40), record.GetCounts()["archived_products"].GetTotal())
	require.NotEmpty(t, guard.Admit(record, all, archives(4), shop(record, 40), noon), "totals that are taken again")
	require.Equal(t, uint64(40), record.GetCounts()["archived_products"].GetTotal())
}

func TestAdmit_HoldsAProductForTheRulesOfItsLatestChange(t *testing.T) {
	t.Parallel()
	record := &meshv1.Guard{}
	cfg := all
	cfg.Products, cfg.Currencies = guard.Limit{Share: 0.001}, guard.Limit{Share: 0.001}
	require.NotEmpty(t, guard.Admit(record, cfg, archives(1), shop(record, 40), noon))
	change := guard.Counted{Product: "product1", Currencies: []string{"eur"}}
	require.NotEmpty(t, guard.Admit(record, cfg, change, shop(record, 40), noon))
	require.Empty(t, record.GetCounts()["archived_products"].GetHeld())
	require.Equal(t, []string{"product1"}, record.GetCounts()["lost_currency:eur"].GetHeld())
}

func TestAdmit_CountsAllOfAChangeOrNothing(t *testing.T) {
	t.Parallel()
	record := &meshv1.Guard{}
	change := guard.Counted{Product: "product1", Prices: []string{"price_1"}, Currencies: []string{"eur"}}
	cfg := all
	cfg.Currencies = guard.Limit{Share: 0.001}
	require.NotEmpty(t, guard.Admit(record, cfg, change, shop(record, 40), noon))
	require.Zero(t, record.GetCounts()["replaced_prices"].GetChanged())
	require.Empty(t, record.GetCounts()["replaced_prices"].GetHeld())
	require.Equal(t, []string{"product1"}, record.GetCounts()["lost_currency:eur"].GetHeld())
}

func TestOpen_LetsARulePassForAWhile(t *testing.T) {
	t.Parallel()
	record := &meshv1.Guard{}
	cfg := all
	cfg.Products = guard.Limit{Share: 0.001}
	require.NotEmpty(t, guard.Admit(record, cfg, archives(1), shop(record, 40), noon))
	guard.Open(record, guard.ReplacedPrices, noon.Add(time.Minute))
	require.NotEmpty(t, guard.Admit(record, cfg, archives(1), shop(record, 40), noon), "another rule")
	for _, rule := range []guard.Rule{guard.ArchivedProducts, ""} {
		guard.Open(record, rule, noon.Add(time.Minute))
		require.Empty(t, guard.Admit(record, cfg, archives(1), shop(record, 40), noon))
		require.NotEmpty(t, guard.Admit(record, cfg, archives(1), shop(record, 40), noon.Add(time.Minute)))
		guard.Open(record, rule, time.Time{})
		require.NotEmpty(t, guard.Admit(record, cfg, archives(1), shop(record, 40), noon))
	}
}

func TestJudge_AddsTheViolatedChecks(t *testing.T) {
	t.Parallel()
	record := &meshv1.Guard{}
	report := guard.Report{Findings: []guard.Finding{{Rule: guard.ZeroAmount}}}
	violations := []*catalogv1.CheckViolation{{Check: "margin", Message: "margin below 10 percent"}}
	require.Equal(t, []guard.Finding{
		{Rule: guard.ZeroAmount}, {Rule: "check:margin", Message: "margin below 10 percent"},
	}, guard.Judge(record, report, violations, noon))
	guard.Open(record, guard.Check("margin"), noon.Add(time.Hour))
	require.Len(t, guard.Judge(record, report, violations, noon), 1)
	guard.Open(record, guard.ZeroAmount, noon.Add(time.Hour))
	require.Empty(t, guard.Judge(record, report, violations, noon))
}

// Within an hour no more changes pass than the limit allows, whatever comes in whatever order.
func TestAdmit_NeverExceedsItsLimit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		record := &meshv1.Guard{}
		cfg := guard.Config{Products: guard.Limit{
			Share: rapid.Float64Range(0.01, 1).Draw(t, "share"), Least: rapid.Uint64Range(0, 5).Draw(t, "least"),
		}}
		passed := map[int]bool{}
		at := noon
		for range rapid.IntRange(1, 60).Draw(t, "changes") {
			i := rapid.IntRange(0, 40).Draw(t, "product")
			at = at.Add(time.Duration(rapid.IntRange(0, 50).Draw(t, "seconds")) * time.Second)
			totals := guard.NewTotals(record, at)
			for j := range 40 {
				if !passed[j] {
					totals.Add(&catalogv1.Observed{
						ProductId: fmt.Sprint("product", j), Product: &catalogv1.Product{Active: proto.Bool(true)},
					})
				}
			}
			if !guard.NeedsTotals(record, cfg, archives(i), at) {
				totals = nil
			}
			if len(guard.Admit(record, cfg, archives(i), totals, at)) == 0 {
				passed[i] = true
			}
		}
		require.LessOrEqual(t, uint64(len(passed)), max(cfg.Products.Least, uint64(cfg.Products.Share*41)))
		require.Equal(t, uint64(len(passed)), record.GetCounts()["archived_products"].GetChanged())
	})
}

// A list has room for a thousand products. The hour must not end while others are held.
func TestRelist_KeepsTheHourWhileMoreAreHeldThanListed(t *testing.T) {
	t.Parallel()
	record := &meshv1.Guard{}
	cfg := guard.Config{Products: guard.Limit{Share: 0.001, Least: 1}}
	rules := map[string][]guard.Rule{}
	for i := range 1202 {
		if len(guard.Admit(record, cfg, archives(i), shop(record, 1500), noon)) > 0 {
			rules[archives(i).Product] = []guard.Rule{guard.ArchivedProducts}
		}
	}
	require.Len(t, rules, 1201)
	require.Len(t, guard.Held(record), 1000)
	require.True(t, guard.HasMoreHeld(record))
	for _, product := range guard.Held(record) {
		guard.Release(record, product)
		delete(rules, product)
	}
	tomorrow := noon.Add(24 * time.Hour)
	findings := guard.Admit(record, cfg, archives(1400), shop(record, 1500), tomorrow)
	require.Len(t, findings, 1, "201 products are held still")
	require.Contains(t, findings[0].Message, "since 2026-03-01 12:00:00 UTC", "it is no longer within an hour")
	guard.Relist(record, rules, tomorrow)
	require.Len(t, guard.Held(record), 202)
	require.False(t, guard.HasMoreHeld(record))
}
