package ledger

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// maxGroups is how many groups of letters are returned.
const maxGroups = 1000

// LetterGroup are the open dead letters of a service with the same reason and field.
type LetterGroup struct {
	Service, Reason, Field string
	N                      uint64
	Oldest, Latest         time.Time
	// Example is the latest letter.
	Example *meshv1.DeadLetter
}

// letterField returns the field of a letter as the policy names it. An id of a price would make a group of every
// letter.
func letterField(field string) string {
	rest, isPrice := strings.CutPrefix(field, "prices.")
	if !isPrice {
		return cleanKey(field)
	}
	if i := strings.LastIndexByte(rest, '.'); i >= 0 {
		return cleanKey("prices." + rest[i+1:])
	}
	return "prices"
}

// LetterGroups returns the open dead letters in groups, the largest first, at most maxGroups, and the number of all
// letters. An empty service or reason selects all.
func (l *Ledger) LetterGroups(ctx context.Context,
	service, reason string,
) (groups []LetterGroup, total uint64, err error) {
	rows, err := l.pool.Query(ctx, `SELECT g.service, g.reason, g.field, g.n, g.oldest, g.latest, d.letter, g.total
		FROM (SELECT service, reason, field, count(*) AS n, min(at) AS oldest, max(at) AS latest,
				(array_agg(id ORDER BY at DESC, id))[1] AS example, sum(count(*)) OVER ()::bigint AS total
			FROM driftless_ledger.dead_letter WHERE account = $1 AND closed_at IS NULL
				AND ($2 = '' OR service = $2) AND ($3 = '' OR reason = $3)
			GROUP BY service, reason, field ORDER BY n DESC, service, reason, field LIMIT $4) g
		JOIN driftless_ledger.dead_letter d ON d.id = g.example
		ORDER BY g.n DESC, g.service, g.reason, g.field`, l.account, service, reason, maxGroups)
	if err != nil {
		return nil, 0, fmt.Errorf("group dead letters: %w", err)
	}
	groups, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (LetterGroup, error) {
		g := LetterGroup{Example: &meshv1.DeadLetter{}}
		var n, all int64
		var letter []byte
		if err := row.Scan(&g.Service, &g.Reason, &g.Field, &n, &g.Oldest, &g.Latest, &letter, &all); err != nil {
			return g, err
		}
		g.N, total = uint64(n), uint64(all)
		return g, proto.Unmarshal(letter, g.Example)
	})
	if err != nil {
		return nil, 0, fmt.Errorf("group dead letters: %w", err)
	}
	return groups, total, nil
}
