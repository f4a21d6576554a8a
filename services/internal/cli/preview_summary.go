package cli

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/driftless-sync/driftless/services/internal/forecast"
)

// previewSummary is what a preview found, beside the products.
type previewSummary struct {
	// Title says what was previewed: "migration.sql, next.yaml".
	Title string `json:"title"`
	// Statements are those that were run and rolled back.
	Statements []previewStatement `json:"statements"`
	// Before and After are the numbers of products of the catalog. Differing have another state after the change.
	Before    int `json:"products_before"`
	After     int `json:"products_after"`
	Differing int `json:"differing"`
	// Products are those for which push would do something. The other numbers are about them.
	Products int `json:"products_changed"`
	Create   int `json:"create"`
	Change   int `json:"change"`
	Archive  int `json:"archive"`
	Refused  int `json:"refused"`
	Held     int `json:"held"`
	Waiting  int `json:"waiting"`
	Reported int `json:"only_reported"`
	// Earlier are the products that differ from Stripe without the change, too.
	Earlier int `json:"differ_already"`
	// Prices are the prices that are created, replaced or archived.
	Prices int `json:"price_changes"`
	// Locks are the tables that others could not use while the statements ran.
	Locks         []previewLock `json:"locks"`
	LockedSeconds float64       `json:"locked_seconds"`
	// Unseen are effects that the preview could not see.
	Unseen []string `json:"not_seen"`
	// Unknown says why what is known about Stripe may be out of date. It is empty if it is not.
	Unknown string `json:"unknown"`
	AsOf    string `json:"as_of"`

	asOf string
}

type previewStatement struct {
	At   string `json:"at"`
	Rows int64  `json:"rows"`
}

type previewLock struct {
	Table  string `json:"table"`
	Mode   string `json:"mode"`
	Blocks string `json:"blocks"`
}

func newPreviewSummary(p *preview) *previewSummary {
	r, e := p.result, p.status.GetEquality()
	s := &previewSummary{
		Statements: []previewStatement{}, Locks: []previewLock{}, Unseen: []string{},
		Before: r.Before, After: r.After, Differing: r.Differing,
		Unknown: unknownBecause(e),
		asOf:    asOf(e),
	}
	if e.GetAsOf() != nil {
		s.AsOf = e.GetAsOf().AsTime().Format(time.RFC3339)
	}
	var sources []string
	for _, ran := range r.Statements {
		s.Statements = append(s.Statements, previewStatement(ran))
		source, _, _ := strings.Cut(ran.At, ":")
		if len(sources) == 0 || sources[len(sources)-1] != source {
			sources = append(sources, source)
		}
	}
	if p.changed.file != p.present.file {
		sources = append(sources, p.changed.file)
	}
	for i, source := range sources {
		sources[i] = filepath.Base(source)
	}
	s.Title = strings.Join(sources, ", ")
	for _, l := range r.Locks {
		s.Locks = append(s.Locks, previewLock(l))
	}
	if len(s.Locks) > 0 {
		s.LockedSeconds = r.LockedFor.Round(time.Millisecond).Seconds()
	}
	if len(r.Unseen) > 0 {
		s.Unseen = r.Unseen
	}
	return s
}

// add counts a product.
func (s *previewSummary) add(p forecast.Product) {
	s.Products++
	s.Prices += len(p.Prices)
	if p.Earlier {
		s.Earlier++
	}
	if p.IsHeld() {
		s.Held++
	}
	if p.GetWaiting() != "" {
		s.Waiting++
	}
	if p.GetRefused() != "" {
		s.Refused++
	}
	switch verb := productVerb(p); {
	case p.GetRefused() != "" && len(p.GetSteps()) == 0:
	case len(p.GetSteps()) == 0:
		s.Reported++
	case verb == "create":
		s.Create++
	case verb == "archive":
		s.Archive++
	default:
		s.Change++
	}
}

// productVerb returns what is done to a product as a whole.
func productVerb(p forecast.Product) string {
	if changes := p.GetChanges(); len(changes) > 0 && changes[0].GetPriceId() == "" {
		return changes[0].GetVerb()
	}
	return "update"
}

// rows returns how many rows the statements returned or changed.
func (s *previewSummary) rows() (n uint64) {
	for _, ran := range s.Statements {
		n += uint64(ran.Rows)
	}
	return n
}

// what describes what was previewed: "change.sql: 3 statements, 120 rows, rolled back".
func (s *previewSummary) what() string {
	out := "Preview of " + s.Title
	if n := uint64(len(s.Statements)); n > 0 {
		out += ": " + countOf(n, "statement", "statements") + ", " + countOf(s.rows(), "row", "rows") + ", rolled back"
	}
	return out
}

// plan describes what push would do: "1 to create, 2 to change, 0 to archive, 1 of them held by the guard".
func (s *previewSummary) plan() string {
	counts := []string{
		formatCount(uint64(s.Create)) + " to create",
		formatCount(uint64(s.Change)) + " to change",
		formatCount(uint64(s.Archive)) + " to archive",
	}
	for _, more := range []struct {
		n     int
		words string
	}{
		{s.Refused, "refused"},
		{s.Reported, "without a call to Stripe"},
		{s.Held, "of them held by the guard"},
		{s.Waiting, "of them waiting for push_create"},
	} {
		if more.n > 0 {
			counts = append(counts, formatCount(uint64(more.n))+" "+more.words)
		}
	}
	return strings.Join(counts, ", ")
}

// notes are the sentences below the summary.
func (s *previewSummary) notes() (out []string) {
	if s.Products == 0 && s.Differing > 0 {
		out = append(out, countOf(s.Differing, "product", "products")+
			" would differ in the catalog, without anything to do in Stripe.")
	}
	if s.Earlier > 0 {
		out = append(out, countOf(s.Earlier, "product differs", "products differ")+
			" from Stripe without this change, too. The plan is what push would do in all.")
	}
	for _, l := range s.Locks {
		out = append(out,
			"The statements lock table "+l.Table+" for "+l.Blocks+" of others until they end ("+l.Mode+").")
	}
	for _, u := range s.Unseen {
		out = append(out, "Not seen: "+u+".")
	}
	if note := s.unknownNote(); note != "" {
		out = append(out, note)
	}
	return out
}

// unknownNote says why what is known about Stripe may be out of date. It is empty if it is not.
func (s *previewSummary) unknownNote() string {
	if s.Unknown == "" {
		return ""
	}
	return "unknown whether Stripe still holds this: " + s.Unknown + "."
}
