package ingestion

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// equalProducts reports whether two states of a product are equal. A state that an earlier release stored may have its
// prices in the order of the rows.
func equalProducts(a, b *catalogv1.Product) bool {
	if proto.Equal(a, b) || a == nil || b == nil || len(a.GetPrices()) != len(b.GetPrices()) {
		return proto.Equal(a, b)
	}
	ordered := proto.CloneOf(a)
	slices.SortFunc(ordered.GetPrices(),
		func(x, y *catalogv1.Price) int { return strings.Compare(x.GetId(), y.GetId()) })
	return proto.Equal(ordered, b)
}

// catalogDifference is a product whose state in CATALOG differs from the tables.
type catalogDifference struct {
	id  string
	out mesh.Outgoing
	// inCatalog reports whether CATALOG has a state of the product. latestVersion is the version of that state.
	inCatalog     bool
	latestVersion uint64
	// hasLetter reports whether the product has an open dead letter about its state.
	hasLetter bool
	// isUnsigned reports whether CATALOG has the same state, but not signed with the current key.
	isUnsigned bool
	// isProductEqual reports whether only the violations of checks differ. They may depend on more than the log has.
	isProductEqual bool
}

// differences returns the products that differ from CATALOG, and dead letters for those that Stripe would refuse.
func (c *comparison) differences(ctx context.Context, ids []string,
	reading mapping.Reading,
) (out []catalogDifference, dead []deadProduct, err error) {
	latest, err := c.in.stores.Desired().States(ctx, c.in.account, ids)
	if err != nil {
		return nil, nil, err
	}
	letters, err := c.in.mesh.OpenLetters(ctx, topology.Ingestion, c.in.account, ids)
	if err != nil {
		return nil, nil, err
	}
	for i, id := range ids {
		change := &catalogv1.ProductChange{
			Account: c.in.account, ProductId: id, Version: c.label.version, Source: c.source(),
			CapturedAt: timestamppb.Now(),
		}
		o, letter := c.in.newMessage(change, reading.States[id], topology.Bulk)
		open := isStateLetter(letters[i])
		if letter != nil {
			if open && letters[i].GetMessage() == letter.GetMessage() && !c.isFirst {
				// The letter is open already.
				c.result.Dead++
				continue
			}
			dead = append(dead, deadProduct{letter: letter, ctx: ctx})
			continue
		}
		have := latest[i].Change
		// A later version closes an open letter, even if the product is again as CATALOG has it.
		same := equalChanges(have, change) && !open
		if same && latest[i].Current {
			continue
		}
		out = append(out, catalogDifference{
			id:             id,
			out:            o,
			inCatalog:      have != nil,
			latestVersion:  have.GetVersion(),
			hasLetter:      open,
			isUnsigned:     same,
			isProductEqual: wantSame(have, change),
		})
	}
	out, err = c.withoutUnknownRemovals(ctx, out)
	return out, dead, err
}

// equalChanges reports whether a state in CATALOG wants the same as a change, and violates the same checks.
func equalChanges(have, want *catalogv1.ProductChange) bool {
	return wantSame(have, want) && slices.EqualFunc(have.GetViolations(), want.GetViolations(),
		func(a, b *catalogv1.CheckViolation) bool { return proto.Equal(a, b) })
}

// wantSame reports whether a state in CATALOG wants the same as a change, whatever the checks say.
func wantSame(have, want *catalogv1.ProductChange) bool {
	if have == nil || have.GetOperation() != want.GetOperation() {
		return false
	}
	return equalProducts(have.GetProduct(), want.GetProduct()) &&
		proto.Equal(have.GetArchiveAfter(), want.GetArchiveAfter()) && slices.Equal(have.GetUnmanagedFields(),
		want.GetUnmanagedFields())
}
