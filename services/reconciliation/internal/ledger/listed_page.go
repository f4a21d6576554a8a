package ledger

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// Sort is an order of products.
type Sort string

// The orders of products. Products that do not differ come last in SortDiffersSince, in both directions.
const (
	SortID           Sort = "id"
	SortName         Sort = "name"
	SortDiffersSince Sort = "differs_since"
	SortChangedAt    Sort = "changed_at"
)

// Page is a part of a list of products.
type Page struct {
	Sort       Sort
	Descending bool
	// From is the place where the page begins, without the product there. Nil is the beginning of the list.
	From *Place
	// Backwards selects the products before From instead of those after it.
	Backwards bool
	// Limit is the maximum number of products.
	Limit int
}

// Place is a product's place in an order.
type Place struct {
	// Key is what the order compares before the id, as a text. Empty in SortID.
	Key string
	ID  string
}

// Row is what a list shows of a product.
type Row struct {
	ID    string
	State State
	Kind  string
	// Desired and Observed are the sides, nil if there is none.
	Desired  *catalogv1.ProductChange
	Observed *catalogv1.Observed
	// DiffersSince is zero if the sides do not differ, ChangedAt if it is not known.
	DiffersSince, ChangedAt                time.Time
	DriftKinds, Causes, DeadReasons, Rules []string
	NoActivePrice                          bool
	Place                                  Place
}

// order is how a page is read: what it compares before the id, the type of that, and whether it goes up.
func (p *Page) order() (key, kind string, up bool) {
	up = !p.Descending
	switch p.Sort {
	case SortID:
	case SortName:
		key, kind = `l.name_key`, `text`
	case SortChangedAt:
		key, kind = `l.changed_at`, `bigint`
	case SortDiffersSince:
		// Each direction has an index in which products that do not differ are last.
		sign := ""
		if p.Descending {
			sign = "-"
		}
		key, kind, up = `coalesce(`+sign+`l.differs_since, 9223372036854775807)`, `bigint`, true
	}
	return key, kind, up != p.Backwards
}

// Page returns a page of the products that a filter selects, in the page's order. It reports whether there are more in
// the direction in which the page was read.
func (l *Ledger) Page(ctx context.Context, f ProductFilter, page Page) (rows []Row, more bool, err error) {
	s, err := l.listable(ctx, f)
	if err != nil {
		return nil, false, err
	}
	statement := s.page(l.account, page)
	result, err := l.pool.Query(ctx, statement, append([]any{perQuery}, s.args...)...)
	if err != nil {
		return nil, false, fmt.Errorf("list products: %w", err)
	}
	if rows, err = pgx.CollectRows(result, scanRow); err != nil {
		return nil, false, fmt.Errorf("list products: %w", err)
	}
	if more = len(rows) > page.Limit; more {
		rows = rows[:page.Limit]
	}
	if page.Backwards {
		slices.Reverse(rows)
	}
	return rows, more, nil
}

// page returns the statement that reads a page, and sets its arguments. It reads the wide rows of the page only.
func (s *selection) page(account string, page Page) string {
	where := s.conditions(account)
	key, kind, up := page.order()
	direction, beyond := `DESC`, `<`
	if up {
		direction, beyond = `ASC`, `>`
	}
	by, shown := ``, `''`
	if key != "" {
		by, shown = key+` `+direction+`, `, key+`::text`
	}
	switch from := page.From; {
	case from == nil:
	case key == "":
		where += ` AND l.product_id ` + beyond + ` ` + s.arg(from.ID)
	default:
		where += ` AND (` + key + `, l.product_id) ` + beyond + ` (` + s.arg(from.Key) + `::text::` + kind + `, ` +
			s.arg(from.ID) + `)`
	}
	columns := `account, product_id, state, kind, differs_since, changed_at, drift_kinds, causes, dead_reasons, held_by,
		no_active_price, ` + shown + ` AS key, row_number() OVER (ORDER BY ` + by + `l.product_id ` + direction +
		`) AS n`
	return `WITH l AS MATERIALIZED (SELECT ` + columns + ` FROM driftless_ledger.listed_product l
			WHERE ` + where + ` ORDER BY ` + by + `l.product_id ` + direction + ` LIMIT ` + strconv.Itoa(page.Limit+1) +
		`)
		SELECT l.product_id, l.state, l.kind, l.differs_since, l.changed_at, l.drift_kinds, l.causes, l.dead_reasons,
			l.held_by, l.no_active_price, l.key, p.desired, p.observed
		FROM l JOIN driftless_ledger.product p
			ON p.account = l.account COLLATE "default" AND p.product_id = l.product_id COLLATE "default" ORDER BY l.n`
}

// ProductIDs returns the ids of the products that a filter selects, in their byte order after the given one, at most
// limit. It reports whether there are more.
func (l *Ledger) ProductIDs(ctx context.Context, f ProductFilter, after string,
	limit int,
) (ids []string, more bool, err error) {
	s, err := l.selection(ctx, f)
	if err != nil {
		return nil, false, err
	}
	statement := `SELECT l.product_id FROM driftless_ledger.listed_product l WHERE ` + s.conditions(l.account) +
		` AND l.product_id > ` + s.arg(after) + ` ORDER BY l.product_id LIMIT ` + strconv.Itoa(limit+1)
	rows, err := l.pool.Query(ctx, statement, append([]any{perQuery}, s.args...)...)
	if err != nil {
		return nil, false, fmt.Errorf("select products: %w", err)
	}
	if ids, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return nil, false, fmt.Errorf("select products: %w", err)
	}
	if more = len(ids) > limit; more {
		ids = ids[:limit]
	}
	return ids, more, nil
}

func scanRow(row pgx.CollectableRow) (Row, error) {
	var r Row
	var state string
	var differs *int64
	var changed int64
	var desired, observed []byte
	if err := row.Scan(&r.ID, &state, &r.Kind, &differs, &changed, &r.DriftKinds, &r.Causes, &r.DeadReasons, &r.Rules,
		&r.NoActivePrice, &r.Place.Key, &desired, &observed); err != nil {
		return r, err
	}
	r.State, r.Place.ID = State(state), r.ID
	if differs != nil {
		r.DiffersSince = time.UnixMicro(*differs)
	}
	if changed != 0 {
		r.ChangedAt = time.UnixMicro(changed)
	}
	if desired != nil {
		r.Desired = &catalogv1.ProductChange{}
		if err := proto.Unmarshal(desired, r.Desired); err != nil {
			return r, err
		}
	}
	if observed != nil {
		r.Observed = &catalogv1.Observed{}
		if err := proto.Unmarshal(observed, r.Observed); err != nil {
			return r, err
		}
	}
	return r, nil
}
