package proposal

import (
	"slices"
	"strings"
)

// nameColumn returns the column with what a row is called, nil if there is none.
func nameColumn(t *Table) *Column {
	return best(t, func(c *Column) int { return nameScore(t, c) })
}

// otherName is the score of a column with names of another kind, as common_name.
const otherName = 2

func nameScore(t *Table, c *Column) int {
	table, w := strings.Join(t.words(), " "), c.words()
	switch phrase := strings.Join(w, " "); {
	case !c.isText():
		return 0
	case phrase == "display name":
		return 9
	case phrase == "name", phrase == "title":
		return 8
	case phrase == table+" name", phrase == table+" title", last(t.words())+" name" == phrase,
		last(t.words())+" title" == phrase:
		return 7
	case phrase == "label", phrase == "full name", phrase == "heading":
		return 5
	case len(w) > 1 && (last(w) == "name" || last(w) == "title") && !anyOf(w, notNames...):
		return otherName
	default:
		return 0
	}
}

// notNames are words of names that are not what a customer calls a product.
var notNames = strings.Fields(`file user first last middle sur nick legal host domain brand company customer supplier vendor
	column schema class internal system meta seo url path category group author owner contact country city street`)

func descriptionColumn(t *Table) *Column {
	return best(t, func(c *Column) int {
		switch {
		case !c.isText():
			return 0
		case is(c.words(), "description plaintext", "plain description"):
			return 5
		case is(c.words(), "description"):
			return 4
		case is(c.words(), "short description", "summary", "blurb", "excerpt", last(t.words())+" excerpt"):
			return 3
		case is(c.words(), "body", "details", "long description", last(t.words())+" description"):
			return 2
		default:
			return 0
		}
	})
}

func skuColumn(t *Table) *Column {
	return best(t, func(c *Column) int {
		switch {
		case !c.isText() || slices.Contains(t.Key, c.Name):
			return 0
		case is(c.words(), "sku"):
			return 3
		case is(c.words(), "code", "article number", "product code"):
			return 2
		default:
			return 0
		}
	})
}

// best returns the first column with the highest score above 0.
func best(t *Table, score func(*Column) int) *Column {
	var out *Column
	highest := 0
	for _, c := range t.Columns {
		if s := score(c); s > highest {
			out, highest = c, s
		}
	}
	return out
}

func languageColumn(t *Table) *Column {
	return best(t, func(c *Column) int {
		if c.isWord() && is(c.words(), "language code", "locale code", "language", "lang", "locale", "locale id") {
			return 1
		}
		return 0
	})
}

// isCurrency reports whether a column holds codes of currencies.
func isCurrency(t *Table, c *Column) bool {
	w := c.words()
	if !c.isWord() {
		return false
	}
	if anyOf(w, "currency") && (last(w) == "currency" || last(w) == "code" || last(w) == "iso") {
		return true
	}
	return last(t.words()) == "currency" && is(w, "code", "iso", "iso code", "iso3", "id", "symbol code")
}

func currencyColumn(t *Table) *Column {
	return best(t, func(c *Column) int {
		if isCurrency(t, c) {
			return 1
		}
		return 0
	})
}

var (
	moneyWords = []string{"price", "amount", "fee", "tariff", "cent", "msrp", "rrp"}
	// notMoney are words of amounts that are not what a customer pays for a product.
	notMoney = strings.Fields(`cost discount tax vat shipping compare min max minimum maximum count quantity total weight original
		old previous wholesale purchase id percent percentage balance paid due refund refunded sale special
		margin deposit rate type model floor undiscounted prior`)
)

// money is a column with amounts.
type money struct {
	column *Column
	// currency and interval are those that the name of the column has: price_usd, monthly_price.
	currency, interval string
}

var intervalWords = map[string]string{
	"day": "day", "daily": "day", "week": "week", "weekly": "week", "month": "month", "monthly": "month",
	"year": "year", "yearly": "year", "annual": "year", "annually": "year",
}

// commonCurrencies are currencies that names of columns have. Other words of three letters are too likely others.
var commonCurrencies = strings.Fields(
	"usd eur gbp jpy chf cad aud nzd sek nok dkk pln czk huf brl mxn inr cny hkd sgd krw")

// moneyColumns returns the columns with amounts that customers pay, the likeliest first.
func moneyColumns(t *Table) []money {
	var out []money
	scores := map[string]int{}
	for _, c := range t.Columns {
		score := moneyScore(c)
		if score == 0 || c.Generated {
			continue
		}
		m := money{column: c}
		for _, w := range c.words() {
			if slices.Contains(commonCurrencies, w) {
				m.currency = w
			}
			if i := intervalWords[w]; i != "" {
				m.interval = i
			}
		}
		scores[c.Name] = score
		out = append(out, m)
	}
	slices.SortStableFunc(out, func(a, b money) int { return scores[b.column.Name] - scores[a.column.Name] })
	return out
}

func moneyScore(c *Column) int {
	w := c.words()
	switch {
	case c.Type == "money":
		return 5
	case !c.isInteger() && !c.isFloat() && c.Type != "numeric", anyOf(w, notMoney...), !anyOf(w, moneyWords...):
		return 0
	case is(w, "price", "unit price", "amount", "price amount", "price cent", "amount cent", "unit amount"):
		return 4
	case anyOf(w, "price"):
		return 3
	default:
		return 2
	}
}

// isSalePrice reports whether a column has amounts that replace the price at times.
func isSalePrice(c *Column) bool {
	return (c.isInteger() || c.isFloat() || c.Type == "numeric") && anyOf(c.words(), "price", "amount") &&
		anyOf(c.words(), "sale", "special", "discounted")
}

// unitOf returns the unit of a column's amounts. proved is false if the tables do not say it.
func unitOf(c *Column) (unit string, proved bool) {
	said := slices.Concat(c.words(), words(c.Domain), words(c.Comment))
	switch {
	case anyOf(said, "cent", "minor", "penny"):
		return UnitMinor, !c.isFloat()
	case c.Type == "money", c.isFloat(), c.Type == "numeric" && c.Scale > 0, anyOf(said, "major"):
		return UnitMajor, true
	case c.Type == "numeric" && c.Sample.Places > 0:
		return UnitMajor, true
	case c.Type == "numeric" && c.Scale < 0:
		return UnitMajor, false
	default:
		return UnitMinor, false
	}
}

// flag is a condition that a row must meet.
type flag struct {
	// sql has %s for the alias.
	sql string
	// why says what it follows from.
	why     string
	columns []string
}

var (
	onWords = strings.Fields(`active enabled published publish available visible live sellable purchasable listed current open`)
	// offFlags are names of columns and values that say that a product is not on sale. offStates are only values.
	offFlags  = strings.Fields(`discontinued disabled hidden archived inactive retired suspended blocked unpublished`)
	offStates = strings.Fields(`draft inherit pending private rejected proposed closed review scheduled unlisted`)
	goneWords = []string{"deleted", "removed", "trash", "trashed"}
)

// softDeletion returns the condition that a row is not deleted, nil if the table has none.
func softDeletion(t *Table) *flag {
	for _, c := range t.Columns {
		w := slices.DeleteFunc(c.words(),
			func(w string) bool { return slices.Contains([]string{"is", "at", "on", "date", "time"}, w) })
		if !is(w, "deleted", "removed") {
			continue
		}
		f := &flag{why: "deleted rows stay in " + t.sql(), columns: []string{c.Name}}
		switch {
		case c.isTime():
			f.sql = "%s." + ident(c.Name) + " IS NULL"
		case c.isBoolean():
			f.sql = "%s." + ident(c.Name) + " IS NOT TRUE"
		case c.isInteger():
			f.sql = "coalesce(%s." + ident(c.Name) + ", 0) = 0"
		default:
			continue
		}
		return f
	}
	return nil
}

// activity returns the conditions that a row is on sale. unknown are columns that seem to say so in a way that is not
// understood.
func activity(t *Table) (flags []flag, unknown []*Column) {
	for _, c := range t.Columns {
		w := slices.DeleteFunc(c.words(),
			func(w string) bool { return slices.Contains([]string{"is", "at", "date"}, w) })
		name := "%s." + ident(c.Name)
		isOn, isOff := len(w) == 1 && slices.Contains(onWords, w[0]), len(w) == 1 && slices.Contains(offFlags, w[0])
		add := func(sql, why string) {
			flags = append(flags, flag{sql: sql, why: why, columns: []string{c.Name}})
		}
		switch {
		case isOn && c.isBoolean() && c.NotNull:
			add(name, "")
		case isOn && c.isBoolean():
			add("coalesce("+name+", false)", "active must not be NULL")
		case isOff && c.isBoolean():
			add(name+" IS NOT TRUE", "")
		case (isOn || isOff) && c.isInteger():
			if values, _ := t.values(c); len(values) == 0 || len(without(values, "0", "1")) > 0 {
				unknown = append(unknown, c)
			} else if isOn {
				add("coalesce("+name+", 0) = 1", "0 and 1 are false and true")
			} else {
				add("coalesce("+name+", 0) = 0", "0 and 1 are false and true")
			}
		case isOff && c.isTime():
			add(name+" IS NULL", "")
		case isOn && c.isTime():
			unknown = append(unknown, c)
		case c.isWord() && (is(w, "status", "state") || last(w) == "status"):
			if f, ok := statusFlag(t, c); ok {
				flags = append(flags, f)
			} else {
				unknown = append(unknown, c)
			}
		}
	}
	return flags, unknown
}

// notActive are words of flags that do not say whether a product is on sale.
var notActive = strings.Fields(`tax taxable ship shippable shipping feature featured gift giftcard discountable digital virtual
	downloadable new default required track tracked reviewable refundable returnable`)

// unexplainedFlags returns the booleans of a table that may say whether its rows are on sale.
func unexplainedFlags(t *Table) (out []*Column) {
	for _, c := range t.Columns {
		if c.isBoolean() && !anyOf(c.words(), notActive...) && !anyOf(c.words(), goneWords...) {
			out = append(out, c)
		}
	}
	return out
}

// statusFlag returns the condition of a column like status. ok is false if one of its values is not known.
func statusFlag(t *Table, c *Column) (_ flag, ok bool) {
	values, all := t.values(c)
	var on, unknown []string
	for _, v := range values {
		switch w := words(v); {
		case len(w) > 0 && slices.Contains(onWords, last(w)) && len(w) == 1:
			on = append(on, literal(v))
		case !anyOf(w, offFlags...) && !anyOf(w, offStates...) && !anyOf(w, goneWords...):
			unknown = append(unknown, v)
		}
	}
	if len(on) == 0 || len(unknown) > 0 {
		return flag{}, false
	}
	sql := "%s." + ident(c.Name) + " = " + on[0]
	if len(on) > 1 {
		sql = "%s." + ident(c.Name) + " IN (" + strings.Join(on, ", ") + ")"
	}
	if !c.NotNull {
		sql = "coalesce(" + sql + ", false)"
	}
	why := "values: "
	if !all {
		why = "others count as not on sale; values in a sample: "
	}
	return flag{sql: sql, why: why + strings.Join(values, ", "), columns: []string{c.Name}}, true
}

// goneStatus returns the condition that a column like status does not say that the row is deleted.
func goneStatus(t *Table) *flag {
	for _, c := range t.Columns {
		if !c.isWord() || last(c.words()) != "status" && last(c.words()) != "state" {
			continue
		}
		values, _ := t.values(c)
		for _, v := range values {
			if is(words(v), goneWords...) {
				return &flag{
					sql:     "%s." + ident(c.Name) + " IS DISTINCT FROM " + literal(v),
					why:     "deleted rows stay in " + t.sql(),
					columns: []string{c.Name},
				}
			}
		}
	}
	return nil
}

func without(list []string, values ...string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(v string) bool { return slices.Contains(values, v) })
}
