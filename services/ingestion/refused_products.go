package ingestion

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// recordRefusals records why Stripe would refuse the first products, grouped by reason.
func (c *comparison) recordRefusals(dead []deadProduct) {
	counts, order := map[string]int{}, []string{}
	for _, d := range dead {
		_, why, ok := strings.Cut(d.letter.GetMessage(), ": ")
		if !ok {
			why = d.letter.GetMessage()
		}
		if counts[why] == 0 {
			order = append(order, why)
		}
		counts[why]++
	}
	slices.SortStableFunc(order, func(a, b string) int { return counts[b] - counts[a] })
	var parts []string
	for i, why := range order {
		const most = 3
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d other reasons", len(order)-most))
			break
		}
		parts = append(parts, fmt.Sprintf("%d times: %s", counts[why], why))
	}
	c.result.Error = strings.Join(parts, "; ")
}

// allRefusedError returns the error of a first snapshot whose first products Stripe would all refuse. The mapping is at
// fault, not the products.
func (c *comparison) allRefusedError(context.Context) error {
	return fmt.Errorf(
		"%w: all of the first %d (%s). Correct the mapping, the checks or the rows; ingestion then continues by itself",
		errAllRefused, firstPageSize, c.result.GetError())
}
