package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

type reconcileResult struct {
	Products    int     `json:"products"`
	Objects     uint64  `json:"objects"`
	FillSeconds float64 `json:"fill_seconds"`

	BareListPerSecond float64 `json:"bare_list_per_second"`
	BareListCalls     int     `json:"bare_list_calls"`
	// ScanSeconds is the duration of the whole scan. ListSeconds, CompareSeconds and ConfirmSeconds are those of its
	// phases.
	ScanSeconds    float64 `json:"scan_seconds"`
	ListSeconds    float64 `json:"list_seconds"`
	CompareSeconds float64 `json:"compare_seconds"`
	ConfirmSeconds float64 `json:"confirm_seconds"`
	ScanPerSecond  float64 `json:"scan_per_second"`
	BareListRatio  float64 `json:"bare_list_ratio"`
	ListCalls      uint64  `json:"list_calls"`
	Reads          uint64  `json:"reads"`

	// The list calls per second of a scan that keeps to Stripe's limits, the maximum that Stripe allows, and their
	// ratio.
	LimitedListPerSecond float64 `json:"limited_list_per_second"`
	ListLimit            float64 `json:"list_limit"`
	ListLimitRatio       float64 `json:"list_limit_ratio"`

	ComparePerSecond float64 `json:"compare_per_second"`

	DriftPlanted       int            `json:"drift_planted"`
	DriftFound         int            `json:"drift_found"`
	DriftFoundByKind   map[string]int `json:"drift_found_by_kind"`
	DriftPlantedByKind map[string]int `json:"drift_planted_by_kind"`
	// SettleSeconds is how long after the scan the ledger had all of its results.
	SettleSeconds float64 `json:"settle_seconds"`

	PeakRSSMB               float64 `json:"peak_rss_mb"`
	PullPeakRSSMB           float64 `json:"pull_peak_rss_mb"`
	ReconciliationPeakRSSMB float64 `json:"reconciliation_peak_rss_mb"`
	PullReadyMS             float64 `json:"pull_ready_ms"`
	ReconciliationReadyMS   float64 `json:"reconciliation_ready_ms"`

	DetectWebhookMS float64 `json:"detect_webhook_ms"`
	DetectPollMS    float64 `json:"detect_poll_ms"`
	PollIntervalMS  float64 `json:"poll_interval_ms"`
}

func (r *reconcileResult) text() string {
	var b strings.Builder
	row := func(what, format string, values ...any) {
		fmt.Fprintf(&b, "%-52s %s\n", what, fmt.Sprintf(format, values...))
	}
	row("products on both sides, and objects in Stripe", "%d, %d", r.Products, r.Objects)
	row("full scan", "%.1f s, %.0f objects a second, %d list calls, %d reads", r.ScanSeconds, r.ScanPerSecond,
		r.ListCalls, r.Reads)
	row("- listing, comparing, confirming", "%.1f s, %.1f s, %.1f s", r.ListSeconds, r.CompareSeconds, r.ConfirmSeconds)
	row("bare stripe-go loop over the same lists", "%.0f objects a second, %d calls", r.BareListPerSecond,
		r.BareListCalls)
	row("scan's rate to the bare loop's", "%.2f", r.BareListRatio)
	row("a scan at Stripe's limits", "%.1f list calls a second of %.0f, ratio %.2f", r.LimitedListPerSecond,
		r.ListLimit, r.ListLimitRatio)
	row("comparison alone (decode and diff), one core", "%.0f products a second", r.ComparePerSecond)
	row("drift planted and found", "%d, %d; in the ledger %.1f s after the scan", r.DriftPlanted, r.DriftFound,
		r.SettleSeconds)
	for _, kind := range slices.Sorted(maps.Keys(r.DriftPlantedByKind)) {
		row("- "+kind, "%d, %d", r.DriftPlantedByKind[kind], r.DriftFoundByKind[kind])
	}
	row("peak resident memory: pull, reconciliation", "%.0f MB, %.0f MB", r.PullPeakRSSMB, r.ReconciliationPeakRSSMB)
	row("ready after a restart: pull, reconciliation", "%.0f ms, %.0f ms", r.PullReadyMS, r.ReconciliationReadyMS)
	row("change noticed by a webhook, median", "%.0f ms", r.DetectWebhookMS)
	row(fmt.Sprintf("change noticed without one, polled every %.0f ms", r.PollIntervalMS), "%.0f ms", r.DetectPollMS)
	return b.String()
}
