package schemas

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// Querier is a connection or a pool.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// tables reads whole tables. It keeps the first error, and returns nothing after that.
type tables struct {
	ctx  context.Context //nolint:containedctx // lives as long as one call of Want
	conn Querier
	err  error
}

// row is a row as Postgres writes it in JSON. Numbers keep all their digits.
type row map[string]any

// all reads a table, ordered by the named columns.
func (t *tables) all(table string, order ...string) []row {
	if t.err != nil {
		return nil
	}
	rows, err := t.conn.Query(t.ctx, "SELECT to_jsonb(t) FROM "+table+" t")
	if err != nil {
		t.err = fmt.Errorf("read %s: %w", table, err)
		return nil
	}
	out, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (row, error) {
		var text []byte
		if err := r.Scan(&text); err != nil {
			return nil, err
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var decoded row
		err := d.Decode(&decoded)
		return decoded, err
	})
	if err != nil {
		t.err = fmt.Errorf("read %s: %w", table, err)
	}
	slices.SortFunc(out, func(a, b row) int {
		for _, column := range order {
			if c := compare(a[column], b[column]); c != 0 {
				return c
			}
		}
		return 0
	})
	return out
}

// compare orders numbers by value and all other values as text.
func compare(a, b any) int {
	x, isNumber := number(a)
	y, bothNumbers := number(b)
	if isNumber && bothNumbers {
		return x.Cmp(y)
	}
	return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b))
}

func number(v any) (*big.Rat, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return nil, false
	}
	return new(big.Rat).SetString(n.String())
}

// by indexes a table by a unique column.
func by(rows []row, column string) map[string]row {
	out := make(map[string]row, len(rows))
	for _, r := range rows {
		out[r.text(column)] = r
	}
	return out
}

// grouped indexes a table by a column that is not unique.
func grouped(rows []row, column string) map[string][]row {
	out := map[string][]row{}
	for _, r := range rows {
		out[r.text(column)] = append(out[r.text(column)], r)
	}
	return out
}

// text returns a column's value, empty for NULL. A list or an object is written as Go prints it. No value in Stripe
// equals that, so a comparison fails.
func (r row) text(column string) string {
	switch v := r[column].(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	default:
		return fmt.Sprint(v)
	}
}

func (r row) null(column string) bool { return r[column] == nil }

func (r row) flag(column string) bool { return r[column] == true }

// texts returns a column that contains a list of texts.
func (r row) texts(column string) (out []string) {
	values, _ := r[column].([]any)
	for _, v := range values {
		out = append(out, fmt.Sprint(v))
	}
	return out
}

// object returns a column that contains a JSON object, empty for NULL.
func (r row) object(column string) row {
	m, _ := r[column].(map[string]any)
	return m
}

// objects returns a column that contains a list of JSON objects.
func (r row) objects(column string) (out []row) {
	values, _ := r[column].([]any)
	for _, v := range values {
		m, _ := v.(map[string]any)
		out = append(out, m)
	}
	return out
}

// fail keeps the first error.
func (t *tables) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

// amount parses a number in a text. If the text is not a number, it returns zero and records an error.
func (t *tables) amount(text string) *big.Rat {
	n, ok := new(big.Rat).SetString(text)
	if !ok {
		t.fail(fmt.Errorf("%q is no number", text))
		return new(big.Rat)
	}
	return n
}

// moment parses a time as Postgres writes it in JSON. If the text is not a time, it returns zero and records an error.
func (t *tables) moment(text string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.fail(fmt.Errorf("%q is no time: %w", text, err))
	}
	return at
}

// decimals are the decimal places of currencies that do not have two.
var decimals = map[string]int{"jpy": 0, "krw": 0, "kwd": 3}

// minor converts an amount in major units to the currency's minor unit, rounded half away from zero. Stripe accepts
// currencies with three places only in steps of ten: https://docs.stripe.com/currencies#three-decimal
func (t *tables) minor(amount, currency string) string {
	places, ok := decimals[currency]
	if !ok {
		places = 2
	}
	n := t.amount(amount)
	if places == 3 {
		return wholeOf(n, 100) + "0"
	}
	factor := int64(1)
	for range places {
		factor *= 10
	}
	return wholeOf(n, factor)
}

func wholeOf(n *big.Rat, factor int64) string {
	return new(big.Rat).Mul(n, big.NewRat(factor, 1)).FloatString(0)
}

// cents converts an amount in major units to cents, exactly and without needless zeros.
func (t *tables) cents(amount string) string {
	n := new(big.Rat).Mul(t.amount(amount), big.NewRat(100, 1))
	if n.IsInt() {
		return n.Num().String()
	}
	text := n.FloatString(12)
	for text[len(text)-1] == '0' {
		text = text[:len(text)-1]
	}
	return text
}
