package main

import (
	"fmt"
	"strings"
)

type pushResult struct {
	// LimitUtilisation is the smallest share of Stripe's limit that was used, over all numbers of replicas.
	// RateLimitedAfterFirstSecond is the number of refused calls, without the first second of each. BareLoopRatio is
	// the rate of pushes without a limit, divided by that of a bare loop of the same calls.
	LimitUtilisation            float64 `json:"limit_utilisation"`
	RateLimitedAfterFirstSecond int     `json:"rate_limited_after_first_second"`
	BareLoopRatio               float64 `json:"bare_loop_ratio"`

	Unlimited  unlimitedResult  `json:"unlimited"`
	AtTheLimit []limitResult    `json:"at_the_limit"`
	Latency    []latencyResult  `json:"latency,omitempty"`
	Calls      coalescingResult `json:"calls"`
}

type unlimitedResult struct {
	Products        int     `json:"products"`
	PushesPerSecond float64 `json:"pushes_per_second"`
	BarePerSecond   float64 `json:"bare_per_second"`
	Ratio           float64 `json:"ratio"`
}

type limitResult struct {
	Replicas       int     `json:"replicas"`
	CallsPerSecond float64 `json:"calls_per_second"`
	Limit          float64 `json:"limit"`
	Ratio          float64 `json:"ratio"`
	// RateLimited counts the refused calls: in all, and after the first second.
	RateLimited      int `json:"rate_limited"`
	RateLimitedLater int `json:"rate_limited_later"`
}

type latencyResult struct {
	Beside string  `json:"beside"`
	P50    float64 `json:"p50_ms"`
	P99    float64 `json:"p99_ms"`
}

type coalescingResult struct {
	PerNewProduct float64 `json:"per_new_product"`
	Edits         int     `json:"edits"`
	ForEdits      int     `json:"for_edits"`
}

func (r *pushResult) text() string {
	var b strings.Builder
	u := r.Unlimited
	fmt.Fprintf(&b,
		"no limit: %d new products at %.0f a second; a bare stripe-go loop of the same calls: %.0f; ratio %.2f\n",
		u.Products, u.PushesPerSecond, u.BarePerSecond, u.Ratio)
	fmt.Fprintf(&b, "calls per new product with one price: %.2f; %d edits of one product, made at once: %d calls\n",
		r.Calls.PerNewProduct, r.Calls.Edits, r.Calls.ForEdits)
	for _, l := range r.AtTheLimit {
		fmt.Fprintf(&b,
			"%d replicas: %.1f calls a second of %.0f allowed, ratio %.3f; 429s: %d, after the first second %d\n",
			l.Replicas, l.CallsPerSecond, l.Limit, l.Ratio, l.RateLimited, l.RateLimitedLater)
	}
	for _, l := range r.Latency {
		fmt.Fprintf(&b, "live change, %s: p50 %.1f ms, p99 %.1f ms from commit to the call\n", l.Beside, l.P50, l.P99)
	}
	return b.String()
}
