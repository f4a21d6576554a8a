package ledger

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// IDKind is what an id is that people know a product by.
type IDKind string

// The kinds of ids, as the API names them. The ledger stores the ids of the second to fifth kind.
const (
	ProductID       IDKind = "product"
	PriceID         IDKind = "price"
	LookupKey       IDKind = "lookup_key"
	StripeProductID IDKind = "stripe_product"
	StripePriceID   IDKind = "stripe_price"
	EventID         IDKind = "event"
	RequestID       IDKind = "request"
	TraceID         IDKind = "trace"
)

type identifier struct {
	id   string
	kind IDKind
}

// identifiers returns the ids that people know a product by, as both sides have them now.
func identifiers(p *Product) map[identifier]bool {
	out := map[identifier]bool{}
	add := func(id string, kind IDKind) {
		if id != "" {
			out[identifier{cleanKey(id), kind}] = true
		}
	}
	add(p.Observed.GetStripeId(), StripeProductID)
	for _, price := range p.Desired.GetProduct().GetPrices() {
		add(price.GetId(), PriceID)
		add(price.GetLookupKey(), LookupKey)
	}
	for _, held := range p.Observed.GetPrices() {
		add(held.GetStripeId(), StripePriceID)
		add(held.GetPrice().GetId(), PriceID)
		// A price's own id is its default lookup key.
		if key := held.GetPrice().GetLookupKey(); key != held.GetPrice().GetId() {
			add(key, LookupKey)
		}
	}
	return out
}

const insertIdentifiers = `INSERT INTO driftless_ledger.identifier (account, id, kind, product_id)
	SELECT $1, x.id, x.kind, $2 FROM unnest($3::text[], $4::text[]) x(id, kind) ON CONFLICT DO NOTHING`

// queueIdentifiers adds the statement that stores the ids that a product got since it was read. It reports whether
// there are any.
func (l *Ledger) queueIdentifiers(batch *pgx.Batch, p *Product) bool {
	var ids, kinds []string
	all := identifiers(p)
	maps.Copy(all, p.missingIdentifiers)
	for i := range all {
		if !p.knownIdentifiers[i] {
			ids, kinds = append(ids, i.id), append(kinds, string(i.kind))
		}
	}
	if len(ids) > 0 {
		batch.Queue(insertIdentifiers, l.account, p.ID, ids, kinds)
	}
	return len(ids) > 0
}

// noteIdentifiers notes the ids that the product has, before it changes.
func (p *Product) noteIdentifiers() {
	if p.isIdentified {
		p.knownIdentifiers = identifiers(p)
	} else {
		p.missingIdentifiers = identifiers(p)
	}
}

// Match is what an id stands for.
type Match struct {
	Kind IDKind
	// Products is empty if nothing is known of the id.
	Products []string
	// More reports that there are more products than the limit.
	More bool
}

var traceIDs = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Find returns the products that an id stands for, at most limit: the id of a product, price, event, request or trace,
// or a lookup key. If products had the id at different times, it returns those that have it now.
func (l *Ledger) Find(ctx context.Context, id string, limit int) (Match, error) {
	lookups := []func(context.Context, string, int) (Match, error){l.findProduct, l.findIdentifier, l.findHistory}
	switch {
	case strings.HasPrefix(id, "evt_"):
		lookups = append(lookups, l.findEvent)
	case strings.HasPrefix(id, "req_"):
		lookups = append(lookups, l.findRequest)
	case traceIDs.MatchString(id):
		lookups = append(lookups, l.findTrace)
	}
	for _, lookup := range lookups {
		found, err := lookup(ctx, id, limit)
		if err != nil {
			return Match{}, fmt.Errorf("find what %s is: %w", id, err)
		}
		if len(found.Products) > 0 {
			return found, nil
		}
	}
	return Match{}, nil
}

// find returns the products that a query selects, at most limit.
func (l *Ledger) find(ctx context.Context, kind IDKind, limit int, sql string, args ...any) (Match, error) {
	rows, err := l.pool.Query(ctx, sql+fmt.Sprintf(" ORDER BY 1 LIMIT %d", limit+1), args...)
	if err != nil {
		return Match{}, err
	}
	products, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return Match{}, err
	}
	found := Match{Kind: kind, Products: products, More: len(products) > limit}
	found.Products = products[:min(len(products), limit)]
	return found, nil
}

func (l *Ledger) findProduct(ctx context.Context, id string, limit int) (Match, error) {
	return l.find(ctx, ProductID, limit,
		`SELECT product_id FROM driftless_ledger.product WHERE account = $1 AND product_id = $2`, l.account, id)
}

// findIdentifier finds a price, a lookup key, or an id of Stripe's.
func (l *Ledger) findIdentifier(ctx context.Context, id string, limit int) (Match, error) {
	found, err := l.find(ctx, "", limit, `SELECT DISTINCT product_id FROM driftless_ledger.identifier
		JOIN driftless_ledger.product USING (account, product_id) WHERE account = $1 AND id = $2`, l.account,
		cleanKey(id))
	if err != nil || len(found.Products) == 0 {
		return found, err
	}
	products, err := l.Products(ctx, found.Products)
	if err != nil {
		return found, err
	}
	current := map[string]bool{}
	for _, kind := range []IDKind{PriceID, LookupKey, StripeProductID, StripePriceID} {
		for _, p := range products {
			if identifiers(p)[identifier{cleanKey(id), kind}] && (found.Kind == "" || found.Kind == kind) {
				found.Kind, current[p.ID] = kind, true
			}
		}
	}
	if len(current) > 0 {
		found.Products = slices.Sorted(maps.Keys(current))
		return found, nil
	}
	err = l.pool.QueryRow(ctx, `SELECT kind FROM driftless_ledger.identifier WHERE account = $1 AND id = $2 LIMIT 1`,
		l.account, cleanKey(id)).Scan(&found.Kind)
	return found, err
}

// findHistory finds a product that only the audit trail still knows.
func (l *Ledger) findHistory(ctx context.Context, id string, limit int) (Match, error) {
	return l.find(ctx, ProductID, limit,
		`SELECT DISTINCT product_id FROM driftless_ledger.history WHERE account = $1 AND product_id = $2`, l.account,
		id)
}

func (l *Ledger) findEvent(ctx context.Context, id string, limit int) (Match, error) {
	return l.find(ctx, EventID, limit,
		`SELECT product_id FROM driftless_ledger.history WHERE account = $1 AND event_id = $2`, l.account,
		cleanKey(StripeEntryID(l.account, id)))
}

// StripeEntryID returns the id of the audit trail's entry about an event of Stripe's.
func StripeEntryID(account, event string) string { return "STRIPE:" + account + ":" + event }

// findRequest finds a call of Stripe's API. The conditions are those of the index.
func (l *Ledger) findRequest(ctx context.Context, id string, limit int) (Match, error) {
	return l.find(ctx, RequestID, limit, `SELECT DISTINCT product_id FROM driftless_ledger.history WHERE account = $1
		AND data IS NOT NULL AND kind IN ('applied', 'failed', 'dead', 'stripe_event')
		AND (jsonb_path_query_array(data, '$.steps[*].stripe_request_id') || jsonb_path_query_array(data, '$.stripe_request_id'))
			@> to_jsonb($2::text)`, l.account, id)
}

func (l *Ledger) findTrace(ctx context.Context, id string, limit int) (Match, error) {
	return l.find(ctx, TraceID, limit, `SELECT DISTINCT product_id FROM driftless_ledger.history
		WHERE account = $1 AND trace_id = $2 AND trace_id <> '' AND product_id <> '*'`, l.account, id)
}
