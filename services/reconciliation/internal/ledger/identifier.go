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

// An id may have moved among very many products. These are read in pages, up to a number that one answer may read.
const (
	identifierPage  = 100
	maxIdentifierOf = 20 * identifierPage
)

// findIdentifier finds a price, a lookup key, or an id of Stripe's.
func (l *Ledger) findIdentifier(ctx context.Context, id string, limit int) (Match, error) {
	var past []string
	current := map[IDKind][]string{}
	isWhole := false
	for after, read := "", 0; !isWhole && read < maxIdentifierOf; {
		page, err := l.find(ctx, "", identifierPage, `SELECT DISTINCT product_id FROM driftless_ledger.identifier
			JOIN driftless_ledger.product USING (account, product_id)
			WHERE account = $1 AND id = $2 AND product_id > $3`, l.account, cleanKey(id), after)
		if err != nil {
			return page, err
		}
		if len(page.Products) > 0 {
			if err := l.addCurrent(ctx, current, id, page.Products); err != nil {
				return Match{}, err
			}
			after = page.Products[len(page.Products)-1]
		}
		past, read, isWhole = append(past, page.Products...), read+len(page.Products), !page.More
	}
	for _, kind := range []IDKind{PriceID, LookupKey, StripeProductID, StripePriceID} {
		if len(current[kind]) > 0 {
			return matchOf(kind, current[kind], limit, isWhole), nil
		}
	}
	if len(past) == 0 {
		return Match{}, nil
	}
	found := matchOf("", past, limit, isWhole)
	err := l.pool.QueryRow(ctx, `SELECT kind FROM driftless_ledger.identifier WHERE account = $1 AND id = $2 LIMIT 1`,
		l.account, cleanKey(id)).Scan(&found.Kind)
	return found, err
}

// addCurrent adds those of the products that have an id now, by its kind.
func (l *Ledger) addCurrent(ctx context.Context, current map[IDKind][]string, id string, ids []string) error {
	products, err := l.Products(ctx, ids)
	if err != nil {
		return err
	}
	for _, p := range products {
		has := identifiers(p)
		for _, kind := range []IDKind{PriceID, LookupKey, StripeProductID, StripePriceID} {
			if has[identifier{cleanKey(id), kind}] {
				current[kind] = append(current[kind], p.ID)
			}
		}
	}
	return nil
}

// matchOf returns a match of products, at most limit. isWhole reports whether these are all.
func matchOf(kind IDKind, products []string, limit int, isWhole bool) Match {
	slices.Sort(products)
	return Match{
		Kind:     kind,
		Products: products[:min(len(products), limit)],
		More:     len(products) > limit || !isWhole,
	}
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
