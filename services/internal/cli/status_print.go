package cli

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// verdictLine says whether both sides are equal, as of when, and how many products are: "12 products differ as of
// 11:02:31 CET, the oldest for 4m12s; 39,988 of 40,000 are equal."
func verdictLine(s *controlv1.GetStatusResponse) string {
	differ := differing(s)
	all := s.GetInSync() + differ
	line := equalityLine(differ, s.GetEquality())
	switch {
	case differ == 0 && unknownBecause(s.GetEquality()) != "":
		return line
	case differ == 0:
		return line + "; " + countOf(all, "product", "products") + "."
	}
	if at := s.GetOldestDifferenceAt(); at != nil {
		line += ", the oldest for " + formatSpan(statusTime(s).Sub(at.AsTime()))
	}
	return line + "; " + formatCount(s.GetInSync()) + " of " + formatCount(all) + " are equal."
}

// verdictColour is the colour of the verdict: it is green only if everything is known, equal and well.
func verdictColour(s *controlv1.GetStatusResponse) colour {
	switch {
	case !degraded(s):
		return goodBig
	case needsAttention(s) && unknownBecause(s.GetEquality()) == "":
		return badBig
	default:
		return careful
	}
}

// checkLine says in one line what needs attention.
func checkLine(s *controlv1.GetStatusResponse) string {
	if !needsAttention(s) {
		return "ok: " + verdictLine(s)
	}
	var parts []string
	if why := unknownBecause(s.GetEquality()); why != "" {
		parts = append(parts, "unknown: "+why)
	}
	for _, p := range s.GetProblems() {
		parts = append(parts, p.GetText())
	}
	if len(s.GetServices()) == 0 {
		parts = append(parts, noServices)
	}
	if len(parts) == 0 {
		parts = append(parts, verdictLine(s))
	}
	return "degraded: " + strings.Join(parts, "; ")
}

// noServices is shown if the answer has no services.
const noServices = "reconciliation does not say which services run: its version is too old"

// statusTime is the time of a status. It is by the NATS server's clock, as the times in it.
func statusTime(s *controlv1.GetStatusResponse) time.Time {
	if at := s.GetEquality().GetAt(); at != nil {
		return at.AsTime()
	}
	return time.Now()
}

// printStatus writes the whole screen.
func printStatus(w io.Writer, s *controlv1.GetStatusResponse) {
	sayf(w, "%s\n%s\n\n", verdictColour(s).paint(verdictLine(s)), comparedLine(s.GetEquality()))
	printProblems(w, s)
	printProducts(w, s)
	printServices(w, s)
	printFlow(w, s)
	printReads(w, s)
}

// problemLabels are the words in capitals that begin the lines of problems. Problems without one have lines of their
// own.
var problemLabels = map[string]string{
	"service":   "DOWN",
	"failing":   "FAILING",
	"dead":      "DEAD",
	"drifted":   "DRIFTED",
	"check":     "CHECK",
	"outbox":    "UNPUBLISHED",
	"processes": "UNKNOWN",
}

// noticePages are the runbooks about problems and notes that no command ends.
var noticePages = map[string]string{
	"service":  "ServiceDown",
	"failing":  "ProductsFailing",
	"poll":     "ReadsRefused",
	"webhooks": "WebhooksMissing",
	"version":  "VersionSkew",
}

// printProblems writes what needs attention, and what else there is to know.
func printProblems(w io.Writer, s *controlv1.GetStatusResponse) {
	if s.GetHalted() != "" {
		sayf(w, "%s: nothing is pushed, because Stripe refuses the key: %s\nFix STRIPE_API_KEY or its permissions, then restart push.\n\n", bad.paint("HALTED"), s.GetHalted())
	}
	for _, p := range s.GetPaused() {
		sayf(w, "%s: %s, since %s, until %s%s\n\n", careful.paint("PAUSED"), p.GetService(), ago(p.GetSince()),
			pauseEnd(p), pausedBy(p))
	}
	printHeld(w, s)
	if s.GetCreationsHeld() {
		sayf(w, "%s: products that are not in Stripe are not created (push_create is off). Run `driftless adopt plan`.\n\n",
			careful.paint("HOLDING"))
	}
	if len(s.GetServices()) == 0 && !hasNotice(s.GetProblems(), "processes") {
		sayf(w, "%s: %s\n\n", careful.paint("UNKNOWN"), noServices)
	}
	for _, p := range s.GetProblems() {
		if label := problemLabels[p.GetKind()]; label != "" {
			printNotice(w, label, p)
		}
	}
	for _, n := range s.GetNotes() {
		if n.GetKind() != "creations" {
			printNotice(w, "NOTE", n)
		}
	}
}

func hasNotice(notices []*controlv1.Notice, kind string) bool {
	for _, n := range notices {
		if n.GetKind() == kind {
			return true
		}
	}
	return false
}

func printNotice(w io.Writer, label string, n *controlv1.Notice) {
	in := bad
	switch label {
	case "NOTE":
		in = heading
	case "UNKNOWN", "DRIFTED":
		in = careful
	}
	sayf(w, "%s: %s\n", in.paint(label), n.GetText())
	if n.GetCommand() != "" {
		sayf(w, "Run `%s`.\n", n.GetCommand())
	}
	if page := noticePages[n.GetKind()]; page != "" {
		sayf(w, "See docs/runbooks/Driftless%s.md.\n", page)
	}
	sayf(w, "\n")
}

func printProducts(w io.Writer, s *controlv1.GetStatusResponse) {
	printTable(w,
		[]string{"PRODUCTS", "IN SYNC", "PENDING", "RETRYING", "HELD", "DRIFTED", "DEAD", "EXTRAS", "LEFT"},
		[]string{
			formatCount(s.GetInSync() + differing(s)), formatCount(s.GetInSync()), formatCount(s.GetPending()),
			formatCount(s.GetRetrying()), formatCount(s.GetHeld()), formatCount(s.GetDrifted()),
			formatCount(s.GetDead()), formatCount(s.GetOrphans()), formatCount(s.GetLeft()),
		})
	if n := s.GetOverlaps(); n > 0 {
		sayf(w, "overlaps: %s in Stripe until their time (driftless plan lists them)\n",
			countOf(n, "replaced price stays", "replaced prices stay"))
	}
	for _, d := range s.GetDrift() {
		sayf(w, "drift: %d %s (%s)\n", d.GetCount(), visible.Words(d.GetKind()), d.GetState())
	}
	say(w)
}

func printServices(w io.Writer, s *controlv1.GetStatusResponse) {
	if len(s.GetServices()) == 0 {
		return
	}
	rows := [][]string{{"SERVICE", "RUNNING", "VERSION", "DOING"}}
	for _, x := range s.GetServices() {
		rows = append(rows, []string{
			x.GetService(), strconv.Itoa(int(x.GetRunning())), cmp.Or(strings.Join(x.GetVersions(), ","), "-"),
			serviceDoing(x, statusTime(s)),
		})
	}
	printTable(w, rows...)
	say(w)
}

// serviceDoing describes what a service does now, or why it does nothing.
func serviceDoing(s *controlv1.ServiceStatus, now time.Time) string {
	if s.GetProblem() != "" {
		return "!! " + s.GetProblem()
	}
	doing := s.GetDoing()
	var webhook *timestamppb.Timestamp
	for _, p := range s.GetProcesses() {
		if at := p.GetProcess().GetLastWebhookAt(); at != nil && at.AsTime().After(webhook.AsTime()) {
			webhook = at
		}
	}
	if webhook != nil {
		doing += ", last webhook " + formatSpan(now.Sub(webhook.AsTime())) + " ago"
	}
	return doing
}

// flowNames are the names of the rows of the flow.
var flowNames = map[string]string{
	"capture":  "capture",
	"live":     "live changes",
	"bulk":     "bulk changes",
	"commands": "commands",
	"retries":  "retries",
	"events":   "Stripe's events",
	"ledger":   "ledger",
}

func printFlow(w io.Writer, s *controlv1.GetStatusResponse) {
	if len(s.GetFlow()) == 0 {
		return
	}
	rows := [][]string{{"FLOW", "WAITING", "OLDEST", "RATE", "LEFT"}}
	for _, f := range s.GetFlow() {
		rows = append(rows, flowRow(f, statusTime(s)))
	}
	printTable(w, rows...)
	say(w)
}

// flowRow returns the cells of a row. A dash means that there is nothing, or that it is not known.
func flowRow(f *controlv1.FlowStatus, now time.Time) []string {
	waiting, oldest, rate, left := "-", "-", "-", "-"
	if f.Waiting != nil {
		waiting = formatCount(f.GetWaiting())
	}
	if f.GetOldestAt() != nil {
		oldest = formatSpan(now.Sub(f.GetOldestAt().AsTime()))
	}
	if f.PerSecond != nil {
		rate = fmt.Sprintf("%.1f/s", f.GetPerSecond())
	}
	switch {
	case f.GetLeft() != nil:
		left = formatSpan(f.GetLeft().AsDuration())
	case f.GetNextAt() != nil:
		left = "next in " + formatSpan(f.GetNextAt().AsTime().Sub(now))
	}
	return []string{cmp.Or(flowNames[f.GetName()], f.GetName()), waiting, oldest, rate, left}
}

// printReads writes what capture and pull have read.
func printReads(w io.Writer, s *controlv1.GetStatusResponse) {
	say(w, "account:", cmp.Or(s.GetAccount(), topology.DefaultAccount))
	say(w, captureLine(s.GetEquality()))
	if running := s.GetEquality().GetCapture().GetRunning(); running != nil &&
		s.GetEquality().GetCapture().GetAt() != nil {
		say(w, "- reading the tables:", comparisonProgress(running))
	}
	for _, c := range s.GetEquality().GetCapture().GetFailingChecks() {
		say(w, failingCheckLine(c))
	}
	if scan := s.GetLastScan(); scan != nil {
		sayf(w, "last scan: %s, %s\n", scanState(scan), scanSummary(scan))
		if why := scan.GetReason(); why != "" {
			sayf(w, "- requested by %s: %s\n", scan.GetIssuer(), why)
		}
	}
	if poll := s.GetLastPoll(); poll != nil {
		say(w, pollLine(poll, s.GetEquality()))
	}
	sayf(w, "changes and commands: %s\n",
		cmp.Or(s.GetSignatures(), "signatures unknown, reconciliation is of an earlier version"))
	say(w, callsLine(s.GetStripeRate()))
	say(w, readsLine(s))
	if forecast := s.GetReadAllowance().GetForecast(); forecast != "" {
		say(w, "read allowance:", forecast)
	}
}

// printConsumers writes the backlog of every consumer.
func printConsumers(w io.Writer, s *controlv1.GetStatusResponse) {
	rows := [][]string{{"STREAM", "CONSUMER", "PENDING", "IN FLIGHT", "REDELIVERED"}}
	for _, x := range s.GetConsumers() {
		rows = append(rows, []string{
			x.GetStream(), x.GetConsumer(), formatCount(x.GetPending()), formatCount(x.GetInFlight()),
			formatCount(x.GetRedelivered()),
		})
	}
	say(w)
	printTable(w, rows...)
}

// formatSpan formats a duration in whole seconds, or days and hours: "4m12s", "3d4h". A negative one is 0s.
func formatSpan(d time.Duration) string {
	d = max(d.Round(time.Second), 0)
	if day := 24 * time.Hour; d >= 2*day {
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	}
	return d.String()
}
