package cli

import (
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// maxWhyCell is how many characters of a value a screen shows.
const maxWhyCell = 40

// printWhy writes an answer for people: one product in full, several as a list.
func printWhy(w io.Writer, answer *controlv1.ExplainResponse, now time.Time, colours bool) {
	all := answer.GetExplanations()
	if len(all) == 1 && !answer.GetTruncated() {
		whyPrinter{Writer: w, Explanation: all[0], now: now, colours: colours}.printProduct()
		return
	}
	n := countOf(len(all), "product", "products")
	if answer.GetTruncated() {
		n = "more than " + n + "; these are the first"
	}
	sayf(w, "This %s stands for %s.\n\n", visible.Words(answer.GetIdKind()), n)
	var differing, equal [][]string
	for _, e := range all {
		p := whyPrinter{Explanation: e, now: now}
		row := []string{e.GetProductId(), p.verdict(), p.duration(), e.GetSummary()}
		if e.GetEqual() {
			equal = append(equal, row)
		} else {
			differing = append(differing, row)
		}
	}
	printTable(w, slices.Concat([][]string{{"PRODUCT", "VERDICT", "FOR"}}, differing, equal)...)
	sayf(w, "\n%s\n", "`driftless why PRODUCT` has the rest about one of them.")
}

// whyPrinter writes the answer about one product.
type whyPrinter struct {
	io.Writer
	*controlv1.Explanation

	now     time.Time
	colours bool
}

func (p whyPrinter) printProduct() {
	sayf(p, "%s", p.GetProductId())
	if p.GetName() != "" {
		sayf(p, " %q", p.GetName())
	}
	var about []string
	if p.GetPriceId() != "" {
		about = append(about, "price "+p.GetPriceId())
	}
	for _, id := range []string{p.GetStripePriceId(), p.GetStripeId()} {
		if id != "" && id != p.GetProductId() {
			about = append(about, id)
		}
	}
	if len(about) > 0 {
		sayf(p, "   %s", strings.Join(about, ", "))
	}
	say(p)
	p.printPlaces()
	say(p)
	p.printVerdict()
}

func (p whyPrinter) printPlaces() {
	table := [][]string{{"", "YOUR TABLE", "CAPTURED", "STRIPE"}}
	for _, f := range p.GetFields() {
		row := []string{
			"  " + f.GetField(), cell(p.GetRow(), f.GetRow()), cell(p.GetCaptured(), f.GetCaptured()),
			cell(p.GetStripe(), f.GetStripe()),
		}
		if f.GetDiffers() {
			row = append(row, "differs")
		}
		table = append(table, row)
	}
	row := "not looked at"
	if p.GetRow().GetUnknown() == "" {
		row = p.age(p.GetRow().GetAsOf(), "read ")
	}
	table = append(table, []string{"  as of", row, p.capturedAt(), p.age(p.GetStripe().GetAsOf(), "events read ")})
	if v := p.GetCaptured().GetVersion(); v != 0 {
		table = append(table, []string{"  version", "", strconv.FormatUint(v, 10)})
	}
	if by := p.GetCaptured().GetActor(); by != "" {
		table = append(table, []string{"  changed by", "", by})
	}
	printTable(p, table...)
}

// cell returns the value of a field in a place: "?" if nobody has looked, "-" if there is none.
func cell(place *controlv1.PlaceState, value string) string {
	switch {
	case value != "":
		return shorten(value, maxWhyCell)
	case place.GetUnknown() != "":
		return "?"
	default:
		return "-"
	}
}

func (p whyPrinter) capturedAt() string {
	if p.GetCaptured().GetAbsent() {
		return "-"
	}
	if at := p.GetCaptured().GetCommittedAt(); at != nil {
		return p.age(at, "committed ")
	}
	return p.age(p.GetCaptured().GetAsOf(), "")
}

// age says how long ago something was: "read 4s ago".
func (p whyPrinter) age(at *timestamppb.Timestamp, verb string) string {
	if at == nil {
		return "unknown"
	}
	d := max(p.now.Sub(at.AsTime()).Round(time.Second), 0)
	if d == 0 {
		return verb + "now"
	}
	return verb + d.String() + " ago"
}

func (p whyPrinter) printVerdict() {
	verdict := badBig
	if p.GetEqual() {
		verdict = goodBig
	}
	sayf(p, "%s", verdict.in(p.verdict(), p.colours))
	if d := p.duration(); d != "" {
		sayf(p, " for %s", d)
	}
	sayf(p, ": %s\n", p.GetSummary())
	for _, words := range p.GetWords() {
		sayf(p, "  %s\n", words)
	}
	if line := p.attemptsLine(); line != "" {
		sayf(p, "  %s\n", line)
	}
	for _, note := range p.GetNotes() {
		sayf(p, "  %s\n", note)
	}
	if p.GetRemedy() != "" {
		sayf(p, "  do: %s\n", p.GetRemedy())
	}
	if p.GetCommand() != "" {
		sayf(p, "      %s\n", p.GetCommand())
	}
	if !p.GetEqual() && p.GetTraceId() != "" {
		sayf(p, "  driftless trace --trace-id %s\n", p.GetTraceId())
	}
}

// verdict returns the verdict as a heading: "NOT CAPTURED".
func (p whyPrinter) verdict() string {
	return strings.ToUpper(visible.Words(p.GetVerdict()))
}

// duration returns how long the product has been in its state, "" if that is not known.
func (p whyPrinter) duration() string {
	if p.GetSince() == nil {
		return ""
	}
	return max(p.now.Sub(p.GetSince().AsTime()).Round(time.Second), 0).String()
}

// attemptsLine says how often a change has failed, and when it is tried again.
func (p whyPrinter) attemptsLine() string {
	if p.GetAttempts() == 0 {
		return ""
	}
	words := "failed " + countOf(p.GetAttempts(), "time", "times")
	if p.GetAtLeast() {
		words = "failed at least " + countOf(p.GetAttempts(), "time", "times")
	}
	if at := p.GetNextAttemptAt(); at != nil {
		words += ", next try in " + max(at.AsTime().Sub(p.now).Round(time.Second), 0).String()
	}
	return words
}
