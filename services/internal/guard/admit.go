package guard

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

const (
	// window is the time within which changes are counted.
	window = time.Hour
	// maxRecent and maxHeld bound the size of the record.
	maxRecent = 1000
	maxHeld   = 1000
)

// Totals are what the shares of the rules with a limit refer to: what was active in Stripe when the hour began.
type Totals struct {
	products, prices uint64
	currencies       map[string]uint64
	// counted are the products that were counted in this hour, by key. An archived product stays active in OBSERVED
	// until its call is recorded, and it must count once.
	counted map[string]map[string]bool
	// changed is how much was counted in this hour, by key. What is counted later is still among the totals.
	changed map[string]uint64
}

// NewTotals begins to count. Add then counts each product of the account once. The totals may be kept for a while: they
// are those of the hour's begin, whatever is counted since.
func NewTotals(record *meshv1.Guard, now time.Time) *Totals {
	t := &Totals{
		currencies: map[string]uint64{},
		counted:    map[string]map[string]bool{},
		changed:    map[string]uint64{},
	}
	for key := range record.GetCounts() {
		g := current(record, key, now)
		t.counted[key], t.changed[key] = map[string]bool{}, g.GetChanged()
		for _, id := range g.GetRecent() {
			t.counted[key][id] = true
		}
	}
	return t
}

// Add counts a product in Stripe.
func (t *Totals) Add(o *catalogv1.Observed) {
	if o.GetDeleted() || !isActive(o.GetProduct()) {
		return
	}
	if !t.counted[string(ArchivedProducts)][o.GetProductId()] {
		t.products++
	}
	var active []*catalogv1.Price
	for _, p := range o.GetPrices() {
		if p.GetPrice().GetActive() {
			active = append(active, p.GetPrice())
		}
		// A kept price has a successor that counts.
		if p.GetPrice().GetActive() && p.GetReplacedAt() == nil && catalog.IsMarked(p) {
			t.prices++
		}
	}
	for _, currency := range lost(active, nil) {
		if !t.counted[currencyKey(currency)][o.GetProductId()] {
			t.currencies[currency]++
		}
	}
}

func currencyKey(currency string) string { return string(LostCurrency) + ":" + currency }

// count is what one rule with a limit is asked about a change.
type count struct {
	rule  Rule
	key   string
	ids   []string
	limit Limit
	// total returns what the share applies to, without what was counted in this hour if gone is true.
	total func(*Totals) uint64
	gone  bool
	// things says what is counted: "prices were replaced or archived".
	things string
}

func (cfg Config) counts(c Counted) (out []count) {
	if c.Archived {
		out = append(out, count{
			ArchivedProducts, string(ArchivedProducts),
			[]string{c.Product},
			cfg.Products,
			func(t *Totals) uint64 { return t.products }, true, "products were archived",
		})
	}
	if len(c.Prices) > 0 {
		out = append(out, count{
			ReplacedPrices, string(ReplacedPrices), c.Prices, cfg.Prices,
			func(t *Totals) uint64 { return t.prices }, false, "prices were replaced or archived",
		})
	}
	for _, currency := range c.Currencies {
		out = append(out, count{
			LostCurrency, currencyKey(currency),
			[]string{c.Product},
			cfg.Currencies,
			func(t *Totals) uint64 { return t.currencies[currency] }, true,
			"products lost their prices in " + strings.ToUpper(currency),
		})
	}
	return slices.DeleteFunc(out, func(c count) bool { return c.limit.Share <= 0 })
}

// NeedsTotals reports whether Admit needs the totals for this change. Taking them reads all observed states. Below the
// number that may always change they do not matter.
func NeedsTotals(record *meshv1.Guard, cfg Config, c Counted, now time.Time) bool {
	return slices.ContainsFunc(cfg.counts(c), func(n count) bool {
		held := current(record, n.key, now)
		return held.GetChanged()+n.added(held) > n.limit.Least
	})
}

// Admit counts a change in the record, in place, or returns why it is held. It counts all of a change or nothing. A
// change whose rule lets everything pass is not counted. A held product is on the record's lists of the rules that hold
// it now, and on no other. Release takes it off. totals may be nil if NeedsTotals reports false.
func Admit(record *meshv1.Guard, cfg Config, c Counted, totals *Totals, now time.Time) (findings []Finding) {
	counts := slices.DeleteFunc(cfg.counts(c), func(n count) bool { return IsOpen(record, n.rule, now) })
	records := make([]*meshv1.GuardCount, len(counts))
	held := map[string]bool{}
	for i, n := range counts {
		g := current(record, n.key, now)
		if totals != nil {
			if g.Total = n.total(totals); n.gone {
				g.Total += totals.changed[n.key]
			}
		}
		if g.Allowed = n.limit.allowed(g.GetTotal()); g.GetChanged()+n.added(g) > g.GetAllowed() {
			findings = append(findings, Finding{Rule: n.rule, Message: fmt.Sprintf(
				"%d of %d %s %s, and %d are allowed without approval", g.GetChanged()+n.added(g), g.GetTotal(),
				n.things, within(g, now), g.GetAllowed())})
			hold(g, c.Product, now)
			held[n.key] = true
		}
		records[i] = g
	}
	if record.Counts == nil && len(counts) > 0 {
		record.Counts = map[string]*meshv1.GuardCount{}
	}
	for i, n := range counts {
		if len(findings) == 0 {
			n.add(records[i])
		}
		record.Counts[n.key] = records[i]
	}
	for key, g := range record.GetCounts() {
		if !held[key] {
			release(g, c.Product)
		}
	}
	return findings
}

// within says in which time a rule has counted. Held products keep its hour from ending.
func within(g *meshv1.GuardCount, now time.Time) string {
	if since := g.GetSince().AsTime(); now.Sub(since) > window {
		return "since " + since.Format(time.DateTime) + " UTC"
	}
	return "within an hour"
}

// current returns the count of a rule in the hour that now belongs to.
func current(record *meshv1.Guard, key string, now time.Time) *meshv1.GuardCount {
	g := record.GetCounts()[key]
	if g == nil || now.Sub(g.GetSince().AsTime()) > window && len(g.GetHeld()) == 0 && !g.GetMoreHeld() {
		return &meshv1.GuardCount{Since: timestamppb.New(now)}
	}
	return g
}

// added returns how much of a change is not counted yet.
func (n count) added(g *meshv1.GuardCount) (added uint64) {
	for _, id := range n.ids {
		if !slices.Contains(g.GetRecent(), id) {
			added++
		}
	}
	return added
}

func (n count) add(g *meshv1.GuardCount) {
	g.Changed += n.added(g)
	for _, id := range n.ids {
		if !slices.Contains(g.GetRecent(), id) {
			g.Recent = append(g.Recent, id)
		}
	}
	if over := len(g.GetRecent()) - maxRecent; over > 0 {
		g.Recent = g.GetRecent()[over:]
	}
}

func hold(g *meshv1.GuardCount, product string, now time.Time) {
	if slices.Contains(g.GetHeld(), product) {
		return
	}
	if len(g.GetHeld()) >= maxHeld {
		g.MoreHeld = true
		return
	}
	if len(g.GetHeld()) == 0 {
		g.HeldSince = timestamppb.New(now)
	}
	g.Held = append(g.Held, product)
}

func release(g *meshv1.GuardCount, product string) {
	if g.Held = slices.DeleteFunc(g.GetHeld(), func(id string) bool { return id == product }); len(g.GetHeld()) == 0 {
		g.HeldSince = nil
	}
}

// HasMoreHeld reports whether a rule holds more products than its list has.
func HasMoreHeld(record *meshv1.Guard) bool {
	for _, g := range record.GetCounts() {
		if g.GetMoreHeld() {
			return true
		}
	}
	return false
}

// Relist makes the lists that lack held products again, in place. rules has every held product, with the rules that
// hold it. A product that lost a currency is on the lists of all currencies then.
func Relist(record *meshv1.Guard, rules map[string][]Rule, now time.Time) {
	for key, g := range record.GetCounts() {
		if !g.GetMoreHeld() {
			continue
		}
		g.MoreHeld = false
		for _, product := range slices.Sorted(maps.Keys(rules)) {
			if slices.Contains(rules[product], Rule(key).Kind()) {
				hold(g, product, now)
			}
		}
	}
}

// Release takes a product off the lists of held ones, in place, and reports whether it was on one. It has been
// approved, or the catalog no longer wants the change.
func Release(record *meshv1.Guard, product string) (released bool) {
	for _, key := range slices.Sorted(maps.Keys(record.GetCounts())) {
		g := record.GetCounts()[key]
		if slices.Contains(g.GetHeld(), product) {
			release(g, product)
			released = true
		}
	}
	return released
}

// Held returns the products on the lists of held ones, in order of their ids.
func Held(record *meshv1.Guard) []string {
	held := map[string]bool{}
	for _, g := range record.GetCounts() {
		for _, product := range g.GetHeld() {
			held[product] = true
		}
	}
	return slices.Sorted(maps.Keys(held))
}

// Open lets a rule, or every rule if it is empty, pass everything until a time, in place. A zero time ends that.
func Open(record *meshv1.Guard, rule Rule, until time.Time) {
	if until.IsZero() {
		if rule == "" {
			record.Approved = nil
		}
		delete(record.Approved, string(rule))
		return
	}
	if record.Approved == nil {
		record.Approved = map[string]*timestamppb.Timestamp{}
	}
	record.Approved[string(rule)] = timestamppb.New(until)
}

// IsOpen reports whether an operator has let a rule pass everything at this time.
func IsOpen(record *meshv1.Guard, rule Rule, now time.Time) bool {
	for _, name := range []Rule{"", rule.Kind(), rule} {
		if until := record.GetApproved()[string(name)]; until != nil && now.Before(until.AsTime()) {
			return true
		}
	}
	return false
}

// Judge returns the findings of one product that are not let pass: those of Inspect, and the violated checks.
func Judge(record *meshv1.Guard, report Report, violations []*catalogv1.CheckViolation, now time.Time) []Finding {
	findings := slices.Clone(report.Findings)
	for _, v := range violations {
		findings = append(findings, Finding{Rule: Check(v.GetCheck()), Message: v.GetMessage()})
	}
	return slices.DeleteFunc(findings, func(f Finding) bool { return IsOpen(record, f.Rule, now) })
}
