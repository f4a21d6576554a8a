package budget

import "time"

// Stripe's reasons for a rate-limited call (header Stripe-Rate-Limited-Reason).
const (
	reasonGlobalRate          = "global-rate"
	reasonEndpointRate        = "endpoint-rate"
	reasonGlobalConcurrency   = "global-concurrency"
	reasonEndpointConcurrency = "endpoint-concurrency"
)

// calmDelay is how long Stripe must refuse no call for concurrency before one more may be in flight.
const calmDelay = time.Second

func (b *Budget) callEnded(endpoint, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	switch reason {
	case reasonGlobalRate:
		b.refusedRates = append(b.refusedRates, "")
	case reasonEndpointRate:
		b.refusedRates = append(b.refusedRates, endpoint)
	case reasonGlobalConcurrency, reasonEndpointConcurrency:
		b.maxInFlight = max(b.inFlight/2, 1)
		b.calmSince = now
		b.logger.Warn("Stripe refused a call for concurrency; making fewer calls at once", "at_once", b.maxInFlight,
			"reason", reason)
	default:
		if b.maxInFlight > 0 && now.Sub(b.calmSince) > calmDelay {
			b.calmSince = now
			if b.maxInFlight++; b.maxInFlight > 2*b.inFlight+8 {
				b.maxInFlight = 0
			}
		}
	}
	b.inFlight--
	if len(b.refusedRates) > 0 || len(b.waiting) > 0 {
		b.start()
	}
}
