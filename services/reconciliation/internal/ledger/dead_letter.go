package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// DeadLetterChange returns the change that a dead letter makes. The product is dead until a later version arrives, or
// the letter's version is applied after all. Only the letter about the latest version stays open, in whatever order
// letters arrive. Letters without a version stay open beside it, the latest of each service, until a later entry of the
// audit trail closes them.
func DeadLetterChange(letter *meshv1.DeadLetter, entry Entry) Change {
	c := Change{Product: letter.GetProductId(), Entry: entry}
	if letter.GetVersion() == 0 {
		c.edit = func(ctx context.Context, l *Ledger, tx pgx.Tx, p *Product) (bool, error) {
			return l.addUnversioned(ctx, tx, p, letter)
		}
	} else {
		c.edit = func(ctx context.Context, l *Ledger, tx pgx.Tx, p *Product) (bool, error) {
			return l.addLetter(ctx, tx, p, letter)
		}
	}
	return c
}

// addLetter stores a letter about a version and marks the product as dead, unless a later version supersedes the
// letter.
func (l *Ledger) addLetter(ctx context.Context, tx pgx.Tx, p *Product,
	letter *meshv1.DeadLetter,
) (changed bool, err error) {
	version := letter.GetVersion()
	superseded := p.desiredVersion > version || p.deadVersion != nil && *p.deadVersion > version
	var closed *time.Time
	if superseded {
		closed = new(l.now())
	}
	isNew, err := l.storeLetter(ctx, tx, letter, closed)
	if err != nil {
		return false, err
	}
	// A letter that arrives again has had its effect, and may have been closed since.
	if superseded {
		p.closedLetters = append(p.closedLetters, letter)
	}
	if superseded || !isNew {
		return false, nil
	}
	if err := l.close(ctx, tx, p, `version > 0 AND id <> $3`, letter.GetId()); err != nil {
		return false, err
	}
	p.deadVersion = &version
	p.noteLetter(letter)
	if letter.GetReason() == topology.ReasonWriteBackFailed {
		return true, l.requireDecision(ctx, tx, p, letter.GetMessage())
	}
	return true, nil
}

// addUnversioned stores a letter without a version and closes earlier ones of the same service.
func (l *Ledger) addUnversioned(ctx context.Context, tx pgx.Tx, p *Product,
	letter *meshv1.DeadLetter,
) (changed bool, err error) {
	if isNew, err := l.storeLetter(ctx, tx, letter, nil); err != nil || !isNew {
		return false, err
	}
	if err := l.close(ctx, tx, p, `service = $3 AND version = 0 AND at < (
		SELECT max(at) FROM driftless_ledger.dead_letter WHERE account = $1 AND product_id = $2 AND service = $3 AND closed_at IS NULL AND version = 0)`,
		letter.GetService()); err != nil {
		return false, err
	}
	p.deadUnversioned = true
	p.noteLetter(letter)
	return true, nil
}

// storeLetter stores a letter and reports whether it is new.
func (l *Ledger) storeLetter(ctx context.Context, tx pgx.Tx, letter *meshv1.DeadLetter,
	closed *time.Time,
) (isNew bool, err error) {
	body, err := proto.Marshal(letter)
	if err != nil {
		return false, fmt.Errorf("encode dead letter %s: %w", letter.GetId(), err)
	}
	tag, err := tx.Exec(ctx,
		`INSERT INTO driftless_ledger.dead_letter (id, account, product_id, service, reason, version, letter, at, closed_at, field)
		VALUES ($1, $2, $3, $4, $5, $6::text::numeric, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING`,
		letter.GetId(), l.account, letter.GetProductId(), letter.GetService(), letter.GetReason(),
		number(letter.GetVersion()), body,
		letter.GetLastAt().AsTime(), closed, letterField(letter.GetField()))
	if err != nil {
		return false, fmt.Errorf("store dead letter %s: %w", letter.GetId(), err)
	}
	return tag.RowsAffected() > 0, nil
}

// closeUnversioned closes dead letters without a version if a later entry of the audit trail shows that their product
// was synced. It considers the products of the changes. It runs after each side is stored, because another process may
// store the other side at the same time.
func (l *Ledger) closeUnversioned(ctx context.Context, changes []Change) error {
	var products []string
	for _, c := range changes {
		if c.closesLetters() {
			products = append(products, c.Product)
		}
	}
	if len(products) == 0 {
		return nil
	}
	const settled = `version = 0 AND at < (SELECT max(at) FROM driftless_ledger.history h WHERE h.account = d.account AND h.product_id = d.product_id AND kind = ANY(%s))`
	rows, err := l.pool.Query(ctx, `SELECT DISTINCT product_id FROM driftless_ledger.dead_letter d
		WHERE account = $1 AND product_id = ANY($2) AND closed_at IS NULL AND `+fmt.Sprintf(settled, "$3"), l.account,
		products, closingKinds)
	if err != nil {
		return fmt.Errorf("find dead letters to close: %w", err)
	}
	products, err = pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("find dead letters to close: %w", err)
	}
	if len(products) == 0 {
		return nil
	}
	closing := make([]Change, len(products))
	for i, product := range products {
		closing[i] = Change{
			Product: product,
			edit: func(ctx context.Context, l *Ledger, tx pgx.Tx, p *Product) (bool, error) {
				if err := l.close(ctx, tx, p, fmt.Sprintf(settled, "$3"), closingKinds); err != nil {
					return false, err
				}
				return true, l.loadUnversioned(ctx, tx, p)
			},
		}
	}
	return l.Apply(ctx, closing...)
}

// close closes the product's open letters that match a condition. The condition's arguments begin with $3; $1 is the
// account and $2 the product.
func (l *Ledger) close(ctx context.Context, tx pgx.Tx, p *Product, condition string, args ...any) error {
	args = append([]any{l.account, p.ID}, args...)
	rows, err := tx.Query(ctx, fmt.Sprintf(`UPDATE driftless_ledger.dead_letter d SET closed_at = $%d
		WHERE account = $1 AND product_id = $2 AND closed_at IS NULL AND %s RETURNING letter`, len(args)+1, condition),
		append(args, l.now())...)
	if err != nil {
		return fmt.Errorf("close dead letters of product %s: %w", p.ID, err)
	}
	closed, err := pgx.CollectRows(rows, scanLetter)
	if err != nil {
		return fmt.Errorf("close dead letters of product %s: %w", p.ID, err)
	}
	p.closedLetters = append(p.closedLetters, closed...)
	return nil
}

// loadUnversioned reads whether the product has an open letter without a version.
func (l *Ledger) loadUnversioned(ctx context.Context, tx pgx.Tx, p *Product) error {
	if err := tx.QueryRow(ctx,
		`SELECT EXISTS (SELECT FROM driftless_ledger.dead_letter WHERE account = $1 AND product_id = $2 AND closed_at IS NULL AND version = 0)`,
		l.account, p.ID).Scan(&p.deadUnversioned); err != nil {
		return fmt.Errorf("read dead letters of product %s: %w", p.ID, err)
	}
	return nil
}

// Drop closes an open letter on an operator's decision, with its entry in the audit trail. It reports whether the
// letter was open. The product's state is then derived as if the letter had never arrived.
func (l *Ledger) Drop(ctx context.Context, letter *meshv1.DeadLetter, entry Entry) (dropped bool, err error) {
	err = l.Apply(ctx,
		Change{
			Product: letter.GetProductId(),
			edit: func(ctx context.Context, l *Ledger, tx pgx.Tx, p *Product) (bool, error) {
				if err := l.close(ctx, tx, p, `id = $3`, letter.GetId()); err != nil {
					return false, err
				}
				if dropped = len(p.closedLetters) > 0; !dropped {
					return false, nil
				}
				if letter.GetVersion() > 0 {
					p.deadVersion = nil
				} else if err := l.loadUnversioned(ctx, tx, p); err != nil {
					return false, err
				}
				return true, l.record(ctx, tx, entry)
			},
		})
	return dropped && err == nil, err
}

// Letters selects open dead letters that match all the fields that are set.
type Letters struct {
	Products []string
	Reason   string
	Service  string
	// Field is a field as LetterGroup has it. Nil selects all.
	Field *string
	// After selects products with ids after this one, in byte order.
	After string
}

const openLetters = ` FROM driftless_ledger.dead_letter WHERE account = $1 AND closed_at IS NULL
	AND (cardinality($2::text[]) = 0 OR product_id = ANY($2)) AND ($3 = '' OR reason = $3) AND ($4 = '' OR service = $4) AND product_id COLLATE "C" > $5
	AND ($6::text IS NULL OR field = $6)`

// letterArguments returns the arguments of openLetters.
func (l *Ledger) letterArguments(of Letters) []any {
	if of.Products == nil {
		of.Products = []string{}
	}
	return []any{l.account, of.Products, of.Reason, of.Service, of.After, of.Field}
}

// CountDeadLetters returns the number of open dead letters of a selection.
func (l *Ledger) CountDeadLetters(ctx context.Context, of Letters) (uint64, error) {
	var n int64
	if err := l.pool.QueryRow(ctx, `SELECT count(*)`+openLetters, l.letterArguments(of)...).Scan(&n); err != nil {
		return 0, fmt.Errorf("count dead letters: %w", err)
	}
	return uint64(n), nil
}

func (l *Ledger) openLetters(ctx context.Context, of Letters, order string, limit int) ([]*meshv1.DeadLetter, error) {
	rows, err := l.pool.Query(ctx, `SELECT letter`+openLetters+` ORDER BY `+order+` LIMIT $7`,
		append(l.letterArguments(of), limit)...)
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	letters, err := pgx.CollectRows(rows, scanLetter)
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return letters, nil
}

// DeadLetters returns the latest open dead letters of a selection, latest first.
func (l *Ledger) DeadLetters(ctx context.Context, of Letters, limit int) ([]*meshv1.DeadLetter, error) {
	return l.openLetters(ctx, of, `at DESC`, limit)
}

// DeadLettersByProduct returns the open dead letters of a selection in the byte order of their products' ids. It
// returns about as many as the limit, and reports whether there are more products after these.
func (l *Ledger) DeadLettersByProduct(ctx context.Context, of Letters,
	limit int,
) (letters []*meshv1.DeadLetter, more bool, err error) {
	// A product has one letter about a version, and one without a version for each service. The limit may cut off
	// letters of the last product.
	letters, err = l.openLetters(ctx, of, `product_id COLLATE "C", at`, limit+1)
	if err != nil || len(letters) <= limit {
		return letters, false, err
	}
	cut := letters[limit].GetProductId()
	if letters[0].GetProductId() == cut {
		return letters, true, nil
	}
	return slices.DeleteFunc(letters, func(letter *meshv1.DeadLetter) bool { return letter.GetProductId() == cut }),
		true, nil
}

func scanLetter(row pgx.CollectableRow) (*meshv1.DeadLetter, error) {
	var data []byte
	if err := row.Scan(&data); err != nil {
		return nil, err
	}
	letter := &meshv1.DeadLetter{}
	return letter, proto.Unmarshal(data, letter)
}
