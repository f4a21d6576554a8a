// Package scans is the page with the latest full scan of Stripe and its progress.
package scans

import (
	"fmt"
	"strings"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/console/internal/live"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/console/internal/web"
	"github.com/driftless-sync/driftless/services/internal/auth"
)

// Add adds the page and its action.
func Add(app *web.App) {
	app.Page("/scans", show)
	app.Action(auth.Operate, "/scans/start", start)
}

func show(v *web.Visit) (view.Page, error) {
	var scan *meshv1.ScanReport
	answer, err := v.Control.GetScan(v.Context(), connect.NewRequest(&controlv1.GetScanRequest{}))
	switch {
	case err == nil:
		scan = answer.Msg.GetScan()
	case connect.CodeOf(err) != connect.CodeNotFound:
		return view.Page{}, err
	}
	status, err := v.Control.GetStatus(v.Context(), connect.NewRequest(&controlv1.GetStatusRequest{}))
	if err != nil {
		return view.Page{}, err
	}
	return view.Page{
		Title:   "Scans",
		Section: "/scans",
		Body:    page(scan, status.Msg),
		Command: "driftless scan",
		// A scan that runs moves on without an event.
		Live: liveness(scan),
	}, nil
}

func liveness(scan *meshv1.ScanReport) string {
	if running(scan) {
		return view.Again
	}
	return live.Status
}

// running reports whether a scan runs. Pull clears the error of a failed scan when it resumes that scan.
func running(scan *meshv1.ScanReport) bool {
	return scan != nil && scan.GetFinishedAt() == nil && scan.GetError() == ""
}

func start(v *web.Visit) (web.Done, error) {
	request := &controlv1.StartScanRequest{Reason: v.PostForm.Get("reason")}
	if _, err := v.Control.StartScan(v.Context(), connect.NewRequest(request)); err != nil {
		return web.Done{}, err
	}
	return web.Done{Text: "A scan is requested. It begins as soon as pull takes the command.", Command: "driftless scan"},
		nil
}

// progress is how far a scan is.
type progress struct {
	// phase says what it does.
	phase string
	// done and all count objects. all is 0 if it is not known.
	done, all uint64
	// rate and left are empty if they are not known.
	rate, left string
}

func progressOf(r *meshv1.ScanReport) progress {
	p := progress{phase: "lists products and prices", done: r.GetProducts() + r.GetPrices(), all: r.GetExpected()}
	switch r.GetPhase() {
	case meshv1.ScanPhase_SCAN_PHASE_COMPARING:
		p = progress{phase: "compares what is known with the lists", done: r.GetCompared(), all: r.GetEntries()}
	case meshv1.ScanPhase_SCAN_PHASE_CONFIRMING:
		p = progress{phase: "reads what was not listed, one by one", done: r.GetCompared(), all: r.GetEntries()}
	case meshv1.ScanPhase_SCAN_PHASE_UNSPECIFIED, meshv1.ScanPhase_SCAN_PHASE_LISTING:
	}
	if r.GetPerSecond() > 0 {
		p.rate = fmt.Sprintf("%.0f/s", r.GetPerSecond())
	}
	if left := r.GetRemaining(); left != nil {
		p.left = view.Duration(left.AsDuration())
	}
	return p
}

// words returns the progress in words: "1,200 of 40,000, 99/s, 6 min left".
func (p progress) words() string {
	parts := []string{view.Count(p.done)}
	if p.all > 0 {
		parts[0] += " of " + view.Count(max(p.all, p.done))
	}
	if p.rate != "" {
		parts = append(parts, p.rate)
	}
	if p.left != "" {
		parts = append(parts, p.left+" left")
	}
	return strings.Join(parts, ", ")
}

// outcome says why a scan failed, or what a finished one has found and could not detect.
func outcome(r *meshv1.ScanReport) (tone, text string, doubts []string) {
	if r.GetError() != "" {
		return "bad", "The scan failed: " + r.GetError(), nil
	}
	tone, text = "good", "Everything that is known of Stripe was right."
	if n := r.GetCorrected() + r.GetMissing() + r.GetMissingPrices(); n > 0 {
		tone = "held"
		var parts []string
		for _, c := range []struct {
			n         uint64
			one, more string
		}{
			{r.GetCorrected(), "product was corrected", "products were corrected"},
			{r.GetMissing(), "product is gone", "products are gone"},
			{r.GetMissingPrices(), "price is gone", "prices are gone"},
		} {
			if c.n > 0 {
				parts = append(parts, view.Many(c.n, c.one, c.more))
			}
		}
		text = strings.Join(parts, ", ") + "."
	}
	if n := r.GetUnconfirmed(); n > 0 {
		tone = "held"
		doubts = append(doubts, view.Many(n, "known object was", "known objects were")+
			" neither listed nor read: the read allowance did not suffice, Stripe did not answer, or too many changed. "+
			"The next scan goes on with them.")
	}
	if n := r.GetFailed(); n > 0 {
		tone = "bad"
		doubts = append(doubts, view.Many(n, "object", "objects")+
			" could not be read or recorded. Products of the catalog have dead letters for them, and pull's log names them.")
	}
	return tone, text, doubts
}
