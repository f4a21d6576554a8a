package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/driftless-sync/driftless/services/internal/jaeger"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
)

// Columns of a waterfall, in characters.
const (
	defaultWidth = 120
	minWidth     = 80
	serviceWidth = 14
	timeWidth    = 9
	barWidth     = 24
	// maxLinks is the maximum number of links of a span that are shown.
	maxLinks = 5
)

func outputWidth(wanted int) int {
	if wanted == 0 {
		wanted = defaultWidth
		if w, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
			wanted = w
		}
	}
	return max(wanted, minWidth)
}

// waterfall draws one trace.
type waterfall struct {
	w     io.Writer
	trace *jaeger.Trace
	// nameWidth is the width of the spans' names.
	nameWidth int
	width     int
	now       time.Time
	shown     spanFilter
	// isRoot has the spans whose parent is not in the trace.
	isRoot map[*jaeger.Span]bool
}

// drawTrace writes a trace as a waterfall. Each span is a line, with notes below it about errors, retries and other
// traces. The spans that shown leaves out are counted. It takes linear time.
func drawTrace(w io.Writer, t *jaeger.Trace, shown spanFilter, width int, now time.Time) {
	f := &waterfall{
		shown:     shown,
		w:         w,
		trace:     t,
		width:     width,
		now:       now,
		nameWidth: max(width-serviceWidth-2*timeWidth-barWidth-5, 24),
	}
	f.isRoot = map[*jaeger.Span]bool{}
	for _, root := range t.Roots() {
		f.isRoot[root] = true
	}
	failed := 0
	services := map[string]bool{}
	left := leftOut{products: map[string]bool{}}
	for _, s := range t.Spans {
		left.count(shown, s)
		services[s.Service] = true
		if s.Error() != "" {
			failed++
		}
	}
	sayf(w, "trace %s\n", t.ID)
	sayf(w, "%s, took %s: %s in %s, %s\n", formatWhen(t.Start(), dateMillis),
		formatDuration(t.Duration()),
		countOf(len(t.Spans), "span", "spans"), countOf(len(services), "service", "services"),
		countOf(failed, "error", "errors"))
	for _, root := range t.Roots() {
		f.draw(root, 0, "")
	}
	left.print(w)
}

// draw draws a span and those below it. said is the error of the span above. The children of a span that is left out
// take its place.
func (f *waterfall) draw(s *jaeger.Span, depth int, said string) {
	if f.shown.hides(s) {
		for _, child := range f.trace.Children(s.ID) {
			f.draw(child, depth, said)
		}
		return
	}
	indent := strings.Repeat("  ", depth)
	offset := s.Start.Sub(f.trace.Start())
	line := fmt.Sprintf("%-*s %-*s %*s %*s %s", serviceWidth,
		truncate(strings.TrimPrefix(s.Service, "driftless-"), serviceWidth),
		f.nameWidth, truncate(indent+spanLabel(s), f.nameWidth), timeWidth, formatDuration(offset), timeWidth,
		formatDuration(s.Duration),
		f.bar(offset, s.Duration))
	say(f.w, strings.TrimRight(line, " "))
	for _, note := range f.notes(s, said) {
		f.note(indent, note)
	}
	for _, child := range f.trace.Children(s.ID) {
		f.draw(child, depth+1, cmp.Or(s.Error(), said))
	}
}

// note writes a note below a span, wrapped to the width.
func (f *waterfall) note(indent, text string) {
	margin := strings.Repeat(" ", serviceWidth+1) + indent + "  "
	first := true
	for line := range wrapLines(text, max(f.width-len(margin)-2, 20)) {
		mark := "  "
		if first {
			mark, first = "└ ", false
		}
		say(f.w, margin+mark+line)
	}
}

// spanLabel returns the name of a span with the attributes that distinguish it from others of that name.
func spanLabel(s *jaeger.Span) string {
	out := shortName(s)
	attribute := func(key string) string { return s.Attributes[key] }
	if n := attribute(string(telemetry.AttemptKey)); n != "" && n != "1" {
		out += " #" + n
	}
	if status := attribute("http.response.status_code"); status != "" {
		out += " " + status
	}
	if outcome := attribute(string(telemetry.OutcomeKey)); outcome != "" {
		out += " [" + outcome + "]"
	}
	return out
}

// shortName returns the name of a span without the template of a messaging span's destination, which says nothing more
// to readers.
func shortName(s *jaeger.Span) string {
	name, _, _ := strings.Cut(s.Name, ".{")
	return name
}

// notes returns the notes about a span. said is the error of the span above, which is not repeated.
func (f *waterfall) notes(s *jaeger.Span, said string) (out []string) {
	attribute := func(key string) string { return s.Attributes[key] }
	switch {
	case s.Parent == "":
	case f.trace.Roots()[0] == s:
		out = append(out,
			"started by span "+s.Parent+
				", which is not in Jaeger: your application's span, if it sends its spans elsewhere")
	case f.isRoot[s]:
		out = append(out, "its parent, span "+s.Parent+", is not in Jaeger")
	}
	if attribute(string(telemetry.KeptKey)) != "" {
		out = append(out, "the trace was not sampled; this part was kept because it failed")
	}
	if id := attribute(string(telemetry.StripeRequestIDKey)); id != "" && attribute("http.request.method") != "" {
		out = append(out, "Stripe's request "+id)
	}
	if step := attribute(string(telemetry.StepKey)); step != "" {
		out = append(out, step)
	}
	if attribute(string(telemetry.StripeReplayedKey)) == "true" {
		out = append(out, "Stripe replayed the answer of an earlier call with the same key")
	}
	if event := attribute(string(telemetry.StripeEventIDKey)); event != "" {
		out = append(out, event+" "+attribute(string(telemetry.StripeEventTypeKey)))
	}
	if wait, ok := streamWait(s); ok {
		out = append(out, "waited "+formatDuration(wait)+" in the stream")
	}
	if fields := listText(attribute(string(telemetry.DriftFieldsKey))); fields != "" {
		out = append(out, fields+", caused by "+listText(attribute(string(telemetry.DriftCausesKey))))
	}
	if words := s.Error(); words != "" && !strings.Contains(said, words) {
		out = append(out, "ERROR: "+words)
	}
	if ms, err := strconv.ParseInt(attribute(string(telemetry.RetryDelayKey)), 10, 64); err == nil {
		out = append(out, "retried after "+formatDuration(time.Duration(ms)*time.Millisecond))
	}
	if id := attribute(string(telemetry.CarriedByKey)); id != "" {
		out = append(out, "carried by trace "+id)
	} else if len(s.Links) > 0 {
		out = append(out, f.links(s))
	}
	if f.isWaitingForPush(s) {
		out = append(out, "push has not processed it for "+formatDuration(f.now.Sub(s.End())))
	}
	return out
}

// listText formats a list of texts, which Jaeger has as JSON.
func listText(encoded string) string {
	var list []string
	if err := json.Unmarshal([]byte(encoded), &list); err != nil {
		return encoded
	}
	return strings.Join(list, ", ")
}

func (f *waterfall) links(s *jaeger.Span) string {
	ids := make([]string, 0, maxLinks)
	for _, l := range s.Links[max(len(s.Links)-maxLinks, 0):] {
		ids = append(ids, l.TraceID)
	}
	text := "with trace "
	if n := s.Attributes[string(telemetry.CarriesKey)]; n != "" {
		text = "carries " + n + " more: trace "
	}
	text += strings.Join(ids, ", ")
	if more := len(s.Links) - len(ids); more > 0 {
		text += fmt.Sprintf(" and %d older", more)
	}
	return text
}

// minStreamWait is the shortest wait of a message in its stream that is shown.
const minStreamWait = 50 * time.Millisecond

// streamWait returns how long a message waited for its first delivery, and whether that is worth a note.
func streamWait(s *jaeger.Span) (time.Duration, bool) {
	ms, err := strconv.ParseFloat(s.Attributes[string(telemetry.QueueTimeKey)], 64)
	if n := s.Attributes[string(telemetry.AttemptKey)]; err != nil || n != "" && n != "1" {
		return 0, false
	}
	wait := time.Duration(ms * float64(time.Millisecond))
	return wait, wait >= minStreamWait
}

// isWaitingForPush reports whether a span published a desired state that push has not processed.
func (f *waterfall) isWaitingForPush(s *jaeger.Span) bool { return isUnprocessed(f.trace, s) }

// bar draws the time of a span within the trace.
func (f *waterfall) bar(offset, duration time.Duration) string {
	total := max(f.trace.Duration(), 1)
	at := func(d time.Duration) int { return int(int64(d) * barWidth / int64(total)) }
	from := min(at(offset), barWidth-1)
	to := min(max(at(offset+duration), from+1), barWidth)
	return strings.Repeat(" ", from) + strings.Repeat("█", to-from)
}

// formatDuration formats a duration with about three digits.
func formatDuration(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.2f s", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}

func truncate(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// wrapLines yields the lines of a text, wrapped at a width. A word longer than that gets a longer line.
func wrapLines(text string, width int) func(func(string) bool) {
	return func(yield func(string) bool) {
		line := ""
		for word := range strings.FieldsSeq(text) {
			if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
				if !yield(line) {
					return
				}
				line = ""
			}
			if line != "" {
				line += " "
			}
			line += word
		}
		if line != "" {
			yield(line)
		}
	}
}
