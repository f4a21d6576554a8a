package budget

import (
	"maps"
	"slices"
	"time"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// Slowest returns the endpoint whose rate is lowered most, because Stripe refused calls as too many. "" is the sum of
// all. It also returns the rate at a time of the NATS server's clock, in thousandths of the full one. That is 1000 if
// none is lowered.
func Slowest(b *meshv1.Budget, at time.Time) (endpoint string, permille int64) {
	permille = fullPermille
	for _, key := range slices.Sorted(maps.Keys(b.GetSlowed())) {
		if rate := ratePermille(b, key, at.UnixNano()); rate < permille {
			endpoint, permille = key, rate
		}
	}
	return endpoint, permille
}
