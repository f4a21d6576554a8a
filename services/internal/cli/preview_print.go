package cli

import (
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/driftless-sync/driftless/services/internal/forecast"
)

// previewWriter writes a preview, product by product.
type previewWriter interface {
	begin(*previewSummary) error
	product(forecast.Product) error
	// end gets the summary with its counts.
	end(*previewSummary) error
}

func newPreviewWriter(format string) previewWriter {
	switch format {
	case "json":
		return &previewJSON{jsonStream{list: "products"}}
	case "markdown":
		return newPreviewMarkdown(stdout)
	default:
		return &previewText{planPrinter: planPrinter{Writer: stdout, colours: colours()}}
	}
}

// previewText writes for a terminal.
type previewText struct{ planPrinter }

func (w *previewText) begin(s *previewSummary) error {
	sayf(w, "%s\n\n", s.what())
	return nil
}

func (w *previewText) product(p forecast.Product) error {
	plan := proto.CloneOf(p.ProductPlan)
	plan.Hold, plan.Held, plan.Waiting, plan.Drift = nil, false, "", nil
	if p.GetRefused() != "" {
		w.printLine("", "", p.GetProductId()+"  (refused)")
		sayf(w, "    %s\n", p.GetRefused())
		if len(p.GetSteps()) == 0 {
			return nil
		}
		say(w, "    push has the state that was published last, and would apply it in another way:")
		plan.Refused = ""
	}
	plan.State = p.GetState()
	w.printProduct(plan)
	for _, f := range p.GetHold().GetFindings() {
		sayf(w, "    the guard would hold it: %s (%s)\n", f.GetMessage(), f.GetRule())
	}
	if p.GetWaiting() != "" {
		sayf(w, "    %s\n", p.GetWaiting())
	}
	for _, d := range p.GetDrift() {
		sayf(w, "    %s: only reported, by policy\n", differenceLine(d.GetDifference()))
	}
	if p.Earlier {
		say(w, "    it differs from Stripe without this change, too")
	}
	return nil
}

func (w *previewText) end(s *previewSummary) error {
	compared := countOf(s.After, "product", "products") + " compared" + s.asOf
	if s.Products == 0 {
		sayf(w, "No changes: %s\n", compared)
	} else {
		sayf(w, "\nPlan: %s; %s\n", s.plan(), compared)
	}
	for _, note := range s.notes() {
		say(w, note)
	}
	return nil
}

// previewJSON writes one JSON object.
type previewJSON struct{ stream jsonStream }

func (w *previewJSON) begin(*previewSummary) error { return w.stream.begin() }

func (w *previewJSON) product(p forecast.Product) error {
	return w.stream.item(previewedPlan{
		Plan:           message{p.ProductPlan},
		PriceChanges:   p.Prices,
		DiffersAlready: p.Earlier,
	})
}

func (w *previewJSON) end(s *previewSummary) error { return w.stream.end(previewEnd{s}) }

// errMarkdown refuses a format that only a preview has.
var errMarkdown = errors.New("-o markdown is for a preview: driftless plan with --sql, -e or --config")
