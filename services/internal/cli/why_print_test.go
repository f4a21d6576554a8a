package cli

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

var whyNow = time.Date(2026, 11, 24, 10, 26, 7, 0, time.UTC)

func whyBefore(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(whyNow.Add(-d)) }

func whyText(answer *controlv1.ExplainResponse, colours bool) string {
	var out bytes.Buffer
	printWhy(&out, answer, whyNow, colours)
	return out.String()
}

func failingMug() *controlv1.Explanation {
	return &controlv1.Explanation{
		ProductId:     "mug",
		Name:          "Stoneware Mug",
		PriceId:       "mug-eur",
		StripePriceId: "price_1AJSYQ",
		StripeId:      "mug",
		Verdict:       "failing",
		Summary:       "push fails to write the change to Stripe, and tries again",
		Since:         whyBefore(9*time.Minute + 23*time.Second),
		Attempts:      10,
		NextAttemptAt: whyBefore(-298 * time.Second),
		Words:         []string{"product mug: create price mug-eur: Stripe: An unknown error occurred [req_jK2XFQkdCpR9Aw]"},
		Notes:         []string{"3 products wait for a retry; Stripe answered pull 4s ago, so not every request fails"},
		Remedy: "Remove the cause. To try at once, sync the product. Stripe's support finds the call by " +
			"req_jK2XFQkdCpR9Aw.",
		Command:  "driftless sync mug",
		TraceId:  "36cca14d96296d0f5903cf9e628c98ed",
		Row:      &controlv1.PlaceState{AsOf: whyBefore(0)},
		Captured: &controlv1.PlaceState{Version: 26741024, CommittedAt: whyBefore(9*time.Minute + 23*time.Second)},
		Stripe:   &controlv1.PlaceState{AsOf: whyBefore(4 * time.Second)},
		Fields: []*controlv1.FieldValues{{
			Field:    "prices.mug-eur",
			Row:      "18.00 EUR",
			Captured: "18.00 EUR",
			Stripe:   "17.50 EUR",
			Differs:  true,
		}},
	}
}

func TestPrintWhy_IsAsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/why.md")
	require.NoError(t, err)
	out := whyText(&controlv1.ExplainResponse{Explanations: []*controlv1.Explanation{failingMug()}}, false)
	require.Contains(t, string(page), "```\n"+out+"```\n")
}

func TestPrintWhy_SaysWhatNobodyLookedAt(t *testing.T) {
	e := failingMug()
	e.Row = &controlv1.PlaceState{Unknown: "no answer"}
	e.Captured = &controlv1.PlaceState{Absent: true}
	e.Fields[0].Row, e.Fields[0].Captured = "", ""
	e.AtLeast, e.NextAttemptAt, e.Verdict = true, nil, "not_captured"
	out := whyText(&controlv1.ExplainResponse{Explanations: []*controlv1.Explanation{e}}, false)
	require.Contains(t, out, "  prices.mug-eur  ?              -         17.50 EUR  differs\n")
	require.Contains(t, out, "  as of           not looked at  -         events read 4s ago\n")
	require.Contains(t, out, "\nNOT CAPTURED for 9m23s: ")
	require.Contains(t, out, "  failed at least 10 times\n")
}

func TestPrintWhy_ListsSeveralProducts(t *testing.T) {
	equal := &controlv1.Explanation{ProductId: "cup", Verdict: "equal", Equal: true, Summary: "equal"}
	out := whyText(&controlv1.ExplainResponse{
		IdKind: "trace", Truncated: true, Explanations: []*controlv1.Explanation{equal, failingMug()},
	}, false)
	require.Equal(t, `This trace stands for more than 2 products; these are the first.

PRODUCT  VERDICT  FOR
mug      FAILING  9m23s  push fails to write the change to Stripe, and tries again
cup      EQUAL           equal

`+"`driftless why PRODUCT` has the rest about one of them.\n", out, "those that differ come first")
}

func TestPrintWhy_Colours(t *testing.T) {
	answer := &controlv1.ExplainResponse{Explanations: []*controlv1.Explanation{failingMug()}}
	require.Contains(t, whyText(answer, true), "\x1b[1;31mFAILING\x1b[0m for 9m23s")
	answer.GetExplanations()[0].Equal = true
	require.Contains(t, whyText(answer, true), "\x1b[1;32mFAILING")
}

func TestIsEverythingEqual(t *testing.T) {
	equal, differs := &controlv1.Explanation{Equal: true}, &controlv1.Explanation{}
	for name, c := range map[string]struct {
		answer *controlv1.ExplainResponse
		want   bool
	}{
		"one":  {&controlv1.ExplainResponse{Explanations: []*controlv1.Explanation{equal}}, true},
		"many": {&controlv1.ExplainResponse{Explanations: []*controlv1.Explanation{equal, differs}}, false},
		"more": {&controlv1.ExplainResponse{Explanations: []*controlv1.Explanation{equal}, Truncated: true}, false},
	} {
		require.Equal(t, c.want, isEverythingEqual(c.answer), name)
	}
}
