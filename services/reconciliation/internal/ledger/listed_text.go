package ledger

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/singleflight"
)

// maxFound is how many products a search may match to be looked up one by one. The products of a search that matches
// more, a wide one, are compared while they are listed. They are counted up to about this number.
const maxFound = 10_000

// textMatch is what a search matches.
type textMatch struct {
	// parts are in the texts of a product, and words are beginnings of words of these texts.
	parts, words []string
	// isWide reports that more products match than are looked up.
	isWide bool
	// ids are the products that match. If the search is wide, they are some of them, or none if nobody needs them.
	ids []string
	// isExact makes conditions that are best to compare every product.
	isExact bool
}

// textSearch finds the products that searches match, and remembers what lets it find less. Its zero value is ready to
// use. It is safe for concurrent use.
type textSearch struct {
	// max is that of wide searches. Defaults to maxFound.
	max int
	// finding lets a page and counts that are read at the same time share what they find.
	finding singleflight.Group

	mu sync.Mutex
	// wide are searches that were found to be wide, and when.
	wide map[string]time.Time
}

const (
	// wideAge is for how long a search counts as wide. One that no longer is has the same results, only slower.
	wideAge = time.Minute
	// maxWide is how many wide searches are remembered.
	maxWide = 256
)

// limit is the largest number of products of a search that is not wide.
func (t *textSearch) limit() int { return cmp.Or(t.max, maxFound) }

func (t *textSearch) isWide(search string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.wide[search]
	return ok && time.Since(at) < wideAge
}

func (t *textSearch) noteWide(search string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wide == nil || len(t.wide) >= maxWide {
		t.wide = map[string]time.Time{}
	}
	t.wide[search] = time.Now()
}

// selection prepares a filter for what is done to the products. It searches at once, unless it knows that the search is
// wide.
func (l *Ledger) selection(ctx context.Context, f ProductFilter) (s selection, err error) {
	if s, err = l.parsed(ctx, f); err != nil || s.Search == "" {
		return s, err
	}
	if l.search.isWide(s.Search) {
		s.text.isWide = true
		return s, nil
	}
	s.text, err = l.findText(ctx, s.Search, s.text)
	return s, err
}

// listable prepares a filter for a page. It shares what counts find at the same time.
func (l *Ledger) listable(ctx context.Context, f ProductFilter) (s selection, err error) {
	if s, err = l.parsed(ctx, f); err != nil || s.Search == "" {
		return s, err
	}
	if l.search.isWide(s.Search) {
		s.text.isWide = true
		return s, nil
	}
	return l.findShared(ctx, s)
}

// countable prepares a filter for counts. Those that are made at the same time share what they find.
func (l *Ledger) countable(ctx context.Context, f ProductFilter) (s selection, err error) {
	if s, err = l.parsed(ctx, f); err != nil || s.Search == "" {
		return s, err
	}
	return l.findShared(ctx, s)
}

// findShared finds the products that a search matches, or waits for those that another call is finding.
func (l *Ledger) findShared(ctx context.Context, s selection) (selection, error) {
	found := l.search.finding.DoChan(s.Search, func() (any, error) {
		// The caller may leave while others wait for the same.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), findTimeout)
		defer cancel()
		return l.findText(ctx, s.Search, s.text)
	})
	select {
	case <-ctx.Done():
		return s, context.Cause(ctx)
	case result := <-found:
		s.text, _ = result.Val.(textMatch)
		return s, result.Err
	}
}

// findTimeout bounds a search that several callers wait for.
const findTimeout = 10 * time.Second

// parsed returns a filter with the parts and words of its search. Postgres changes the case, because its rules differ
// from Go's.
func (l *Ledger) parsed(ctx context.Context, f ProductFilter) (selection, error) {
	s := selection{ProductFilter: f}
	if s.Search = strings.Join(strings.Fields(f.Search), " "); s.Search == "" {
		return s, nil
	}
	if err := l.pool.QueryRow(ctx, `SELECT string_to_array(lower($1), ' '), driftless_ledger.words($1)`,
		s.Search).Scan(&s.text.parts, &s.text.words); err != nil {
		return s, fmt.Errorf("search for %q: %w", f.Search, err)
	}
	return s, nil
}

// findText finds the products that a search matches.
func (l *Ledger) findText(ctx context.Context, search string, m textMatch) (textMatch, error) {
	s := selection{text: m, args: []any{l.account}}
	most := l.search.limit()
	rows, err := l.pool.Query(ctx, `SELECT t.product_id FROM driftless_ledger.product_text t WHERE t.account = $1`+
		s.found()+` LIMIT `+strconv.Itoa(most+1), append([]any{perQuery}, s.args...)...)
	if err != nil {
		return m, fmt.Errorf("search for %q: %w", search, err)
	}
	if m.ids, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return m, fmt.Errorf("search for %q: %w", search, err)
	}
	if m.isWide = len(m.ids) > most; m.isWide {
		l.search.noteWide(search)
	}
	return m, nil
}

// found returns the conditions of a search on the table product_text t, whose rows the index finds.
func (s *selection) found() string {
	var out strings.Builder
	if len(s.text.words) > 0 {
		terms := make([]string, len(s.text.words))
		for i, w := range s.text.words {
			terms[i] = "'" + w + "':*"
		}
		out.WriteString(` AND array_to_tsvector(driftless_ledger.words(t.lines)) @@ ` +
			s.arg(strings.Join(terms, " & ")) + `::tsquery`)
	}
	for _, part := range s.text.parts {
		out.WriteString(` AND t.lines LIKE ` + s.arg("%"+likePattern(part)+"%"))
	}
	return out.String()
}

// compared returns the condition that a product of listed_product l matches a search. It looks at the texts of one
// product, ten times as fast as to compute the words that the index has. As a value it cannot become a join, which
// would compare all products although a few are enough.
func (s *selection) compared() string {
	conditions := []string{`true`}
	for _, part := range s.text.parts {
		conditions = append(conditions, `t.lines LIKE `+s.arg("%"+likePattern(part)+"%"))
	}
	for _, w := range s.text.words {
		// A word has letters and digits only, as the function words says. Many are at the beginning of a line, which
		// takes a fifth of the time of the expression.
		conditions = append(conditions, `(t.lines LIKE `+s.arg("%\n"+w+"%")+` OR t.lines ~ `+
			s.arg("(^|[^[:alnum:]])"+w)+`)`)
	}
	return `(SELECT ` + strings.Join(conditions, ` AND `) + ` FROM driftless_ledger.product_text t
		WHERE t.account = l.account AND t.product_id = l.product_id)`
}

// likePattern returns a pattern of LIKE that matches a text as it is.
func likePattern(text string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text)
}
