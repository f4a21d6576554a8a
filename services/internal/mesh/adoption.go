package mesh

import (
	"maps"
	"slices"
	"strings"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// AdoptionID returns the id of the outcome of a command to adopt, from the command's id.
func AdoptionID(kind meshv1.OutcomeKind, command string) string {
	return topology.OutcomeName(kind) + ":" + command
}

// DescribeAdoption lists the ids that an adoption links: "prod_1, price_2 for mug-eur".
func DescribeAdoption(a *meshv1.Adopt) string {
	words := []string{a.GetStripeId()}
	for _, id := range slices.Sorted(maps.Keys(a.GetPrices())) {
		words = append(words, a.GetPrices()[id]+" for "+id)
	}
	return strings.Join(words, ", ")
}
