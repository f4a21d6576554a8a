package proposal

import (
	"fmt"
	"slices"
	"strings"
)

// intervalValues are how tables write intervals, as Stripe's recurring.
var intervalValues = map[string]string{
	"day": `{"interval": "day"}`, "daily": `{"interval": "day"}`, "week": `{"interval": "week"}`,
	"weekly": `{"interval": "week"}`, "month": `{"interval": "month"}`, "monthly": `{"interval": "month"}`,
	"year": `{"interval": "year"}`, "yearly": `{"interval": "year"}`, "annual": `{"interval": "year"}`,
	"annually": `{"interval": "year"}`, "quarter": `{"interval": "month", "interval_count": 3}`,
	"quarterly": `{"interval": "month", "interval_count": 3}`,
	"once":      "", "one time": "", "onetime": "", "one off": "", "none": "", "single": "", "lifetime": "",
}

func intervalColumn(t *Table) *Column {
	return best(t, func(c *Column) int {
		if !c.isWord() && !c.isInteger() {
			return 0
		}
		switch phrase := strings.Join(c.words(), " "); phrase {
		case "billing interval", "billing period", "recurring interval", "billing cycle", "interval unit":
			return 3
		case "interval", "billing frequency", "recurrence":
			return 2
		case "period", "cycle", "frequency":
			return 1
		default:
			return 0
		}
	})
}

// addRecurring adds the interval of prices that recur.
func (p *proposer) addRecurring(s *selection, m money) {
	if m.interval != "" {
		s.add(literal(intervalValues[m.interval])+"::jsonb", "recurring", "")
		return
	}
	for _, t := range s.order {
		if c := intervalColumn(t); c != nil {
			p.addIntervalOf(s, t, c)
			return
		}
	}
	if i := p.answers.Interval; i != "" {
		if recurring := intervalValues[i]; recurring != "" {
			s.add(literal(recurring)+"::jsonb", "recurring", "")
		}
		return
	}
	if anyOf(p.products.words(), "plan", "subscription", "membership") {
		p.ask(Question{
			Kind: AskInterval, Flag: "--interval", Choices: []string{"once", "day", "week", "month", "year"},
			Text: "No column says how often the prices of " + p.products.sql() +
				" recur. They are one-time prices, and " +
				"Stripe cannot change that later.",
		})
	}
}

func (p *proposer) addIntervalOf(s *selection, t *Table, c *Column) {
	values, all := t.values(c)
	values = slices.Sorted(slices.Values(values))
	name := s.column(t, c.Name)
	var b strings.Builder
	fmt.Fprintf(&b, "CASE lower(%s::text)", name)
	var unknown []string
	for _, v := range values {
		recurring, ok := intervalValues[strings.Join(words(v), " ")]
		if !ok && p.answers.Interval != "" {
			recurring, ok = intervalValues[p.answers.Interval], true
		}
		value := strings.ToLower(literal(v))
		switch {
		case !ok:
			unknown = append(unknown, v)
			fmt.Fprintf(&b, "\n    WHEN %s THEN NULL -- QUESTION (interval)", value)
		case recurring == "":
			fmt.Fprintf(&b, "\n    WHEN %s THEN NULL", value)
		default:
			fmt.Fprintf(&b, "\n    WHEN %s THEN %s::jsonb", value, literal(recurring))
		}
	}
	if len(c.Labels) > 0 {
		b.WriteString("\n    ELSE NULL::jsonb\n  END")
	} else {
		// A later value must not become a one-time price in silence, because Stripe cannot change that.
		fmt.Fprintf(&b, "\n    ELSE jsonb_strip_nulls(jsonb_build_object('interval', nullif(lower(%s::text), '')))"+
			" -- refused if it is no interval\n  END", name)
	}
	s.add(b.String(), "recurring", "")
	if len(unknown) == 0 && all && len(values) > 0 {
		return
	}
	text := "Not all values of " + t.sql() + "." + ident(c.Name) + " are known intervals"
	if len(unknown) > 0 {
		text += " (" + strings.Join(unknown, ", ") + ")"
	}
	p.ask(Question{
		Kind: AskInterval, Flag: "--interval", Choices: []string{"once", "day", "week", "month", "year"},
		Text: text + ". Such prices are one-time prices, and Stripe cannot change that later: write their interval, " +
			`like '{"interval": "month"}'.`,
	})
}

var (
	startWords = []string{
		"start at", "starts at", "valid from", "start date", "effective from", "starts on", "effective at",
		"start on", "begin at",
	}
	endWords = []string{
		"end at", "ends at", "valid to", "valid until", "end date", "effective to", "expire at", "expires at",
		"end on", "ends on",
	}
	quantityWords = []string{"min quantity", "minimum quantity", "from quantity", "quantity from", "min qty"}
	listWords     = []string{"list", "group", "segment", "campaign", "promotion", "rule", "sale"}
)

// limitToNow leaves out prices that apply only to some customers, quantities or times.
func (p *proposer) limitToNow(s *selection) {
	t := p.prices
	for _, e := range p.graph.parents(t) {
		c := t.column(e.fromColumns[0])
		if c.NotNull || slices.ContainsFunc(p.way, func(w edge) bool { return w.to == e.to }) ||
			!anyOf(e.to.words(), listWords...) {
			continue
		}
		s.filter(s.column(t, c.Name) + " IS NULL")
		p.ask(Question{
			Kind: AskLists,
			Text: "Prices with " + ident(c.Name) + " belong to " + e.to.sql() +
				" and are left out. docs/cookbook.md has " +
				"a recipe for price lists.",
		})
	}
	for _, c := range t.Columns {
		switch {
		case c.isTime() && is(c.words(), startWords...):
			s.filter("coalesce(" + s.column(t, c.Name) + " <= now(), true)")
			p.usesTime = true
		case c.isTime() && is(c.words(), endWords...):
			s.filter("coalesce(" + s.column(t, c.Name) + " > now(), true)")
			p.usesTime = true
		case c.isInteger() && is(c.words(), quantityWords...):
			s.filter("coalesce(" + s.column(t, c.Name) + ", 1) <= 1")
			p.ask(Question{
				Kind: AskLists,
				Text: "Prices for larger quantities (" + ident(c.Name) +
					") are left out. docs/cookbook.md has a recipe " +
					"for tiers.",
			})
		}
	}
}
