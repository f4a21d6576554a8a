package ledger

import (
	"slices"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// storedDecisions returns decisions with their texts as the ledger stores them, so that they can be compared with
// stored ones. It remembers the names of fields that are stored under another name.
func (p *Product) storedDecisions(decisions []catalog.Decision) []catalog.Decision {
	out := slices.Clone(decisions)
	for i, d := range out {
		field := cleanKey(d.Field)
		if field != d.Field {
			if p.fieldNames == nil {
				p.fieldNames = map[string]string{}
			}
			p.fieldNames[field] = d.Field
		}
		out[i].Field, out[i].Catalog, out[i].Stripe = field, clean(d.Catalog), clean(d.Stripe)
	}
	return out
}

// Field returns the name that both sides use for the field of drift. The ledger may have had to store another.
func (p *Product) Field(d *Drift) string {
	if name, ok := p.fieldNames[d.Field]; ok {
		return name
	}
	return d.Field
}

// loadFieldNames restores the names of fields whose open drift was read from the ledger under another name.
func (l *Ledger) loadFieldNames(p *Product) {
	unknown := func(d *Drift) bool { return strings.Contains(d.Field, ", sha256 ") && p.Field(d) == d.Field }
	if slices.ContainsFunc(p.open, unknown) {
		p.storedDecisions(catalog.Resolve(l.policy, p.Desired, p.Observed, catalog.Exceptions{}).Decisions)
	}
}
