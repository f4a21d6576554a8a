package settings

import (
	"cmp"
	"slices"
	"strings"
	"time"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/view"
)

// The states of a check and of a look, as the API has them.
const (
	stateFinding   = "finding"
	stateFine      = "fine"
	stateNotLooked = "not_looked_at"
)

// checked is what the services found when they checked their own parts.
type checked struct {
	// unknown says why nothing is known.
	unknown string
	found   []found
	missed  []missed
	fine    []fine
	// byHand are the checks that no service makes, and command makes them.
	byHand  int
	command string
	// counts are the checks by state, without those that no service makes.
	counts map[string]int
}

// found is something that a process found.
type found struct {
	id, severity, message, why string
	// fix is that of the check, and command makes the check. proposed is what the process says to do, if that is
	// something else. Its record is not signed, so it is no command to copy.
	fix, command, proposed string
	// more says that there are more findings, and others what other processes say of the check.
	more, others string
	by           string
	at           time.Time
}

// missed are checks that were not looked at for one reason by one process.
type missed struct {
	ids        []string
	by, reason string
}

// fine is a check that is fine for all processes.
type fine struct {
	id    string
	looks []look
}

type look struct {
	by, saw string
	at      time.Time
}

// check returns what the answer of the API shows.
func check(answer *controlv1.GetFindingsResponse) checked {
	out := checked{counts: map[string]int{}}
	var byHand []string
	for _, c := range answer.GetChecks() {
		if isByHand(c) {
			byHand = append(byHand, c.GetId())
			continue
		}
		out.counts[c.GetState()]++
		if c.GetState() == stateFine {
			out.fine = append(out.fine, fineOf(c))
			continue
		}
		for _, l := range c.GetLooks() {
			switch l.GetState() {
			case stateFinding:
				out.found = append(out.found, foundOf(c, l)...)
			case stateFine:
			default:
				miss(&out, c.GetId(), by(l), l.GetReason())
			}
		}
	}
	slices.SortStableFunc(out.found, func(a, b found) int { return cmp.Compare(a.severity, b.severity) })
	out.byHand, out.command = len(byHand), "driftless doctor --only "+strings.Join(byHand, ",")
	return out
}

// isByHand reports whether no service makes a check.
func isByHand(c *controlv1.CheckStatus) bool {
	return len(c.GetLooks()) == 1 && c.GetLooks()[0].GetService() == ""
}

// miss adds a check to those with the same reason.
func miss(k *checked, id, by, reason string) {
	i := slices.IndexFunc(k.missed, func(m missed) bool { return m.by == by && m.reason == reason })
	if i < 0 {
		i = len(k.missed)
		k.missed = append(k.missed, missed{by: by, reason: reason})
	}
	k.missed[i].ids = append(k.missed[i].ids, id)
}

// by names who looked: "push (host-a, process 7)".
func by(l *controlv1.CheckLook) string {
	if l.GetProcess() == "" {
		return l.GetService()
	}
	return l.GetService() + " (" + l.GetProcess() + ")"
}

func foundOf(c *controlv1.CheckStatus, l *controlv1.CheckLook) (out []found) {
	for _, f := range l.GetFindings() {
		proposed := f.GetFix()
		if proposed == c.GetFix() {
			proposed = ""
		}
		out = append(out, found{
			id:       c.GetId(),
			severity: c.GetSeverity(),
			message:  view.Capitalize(f.GetMessage()),
			why:      c.GetWhy(),
			fix:      c.GetFix(),
			command:  "driftless doctor --only " + c.GetId(),
			proposed: proposed,
			others:   others(c, l),
			by:       by(l),
			at:       l.GetAt().AsTime(),
		})
	}
	if n := l.GetMore(); n > 0 && len(out) > 0 {
		out[len(out)-1].more = view.Many(uint64(n), "more finding", "more findings") + " of this check"
	}
	return out
}

// others says for which other processes a check is fine. The other findings, and what was not looked at, are in lists.
func others(c *controlv1.CheckStatus, not *controlv1.CheckLook) string {
	var names []string
	for _, l := range c.GetLooks() {
		if l != not && l.GetState() == stateFine {
			names = append(names, by(l))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "Fine for " + strings.Join(names, "; ") + "."
}

func fineOf(c *controlv1.CheckStatus) fine {
	out := fine{id: c.GetId()}
	for _, l := range c.GetLooks() {
		out.looks = append(out.looks, look{by: by(l), saw: l.GetSaw(), at: l.GetAt().AsTime()})
	}
	return out
}

// tone is that of the sentence.
func (k checked) tone() string {
	switch {
	case slices.ContainsFunc(k.found, func(f found) bool { return f.severity == "error" }):
		return "bad"
	case len(k.found) > 0, len(k.missed) > 0, len(k.fine) == 0:
		return "held"
	}
	return "good"
}

// sentence says how the checks went.
func (k checked) sentence() string {
	isFine := view.Many(uint64(k.counts[stateFine]), "check is fine", "checks are fine")
	notLooked := view.Many(uint64(k.counts[stateNotLooked]), "was not looked at", "were not looked at")
	switch n := k.counts[stateFinding]; {
	case k.unknown != "":
		return "It is not known what the services found: " + k.unknown
	case n > 0 && k.counts[stateNotLooked] > 0:
		return view.Many(uint64(n), "check", "checks") + " found something. " + isFine + ", and " + notLooked + "."
	case n > 0:
		return view.Many(uint64(n), "check", "checks") + " found something. " + isFine + "."
	case k.counts[stateNotLooked] > 0:
		return "Nothing was found, but " + notLooked + ". " + isFine + "."
	case k.counts[stateFine] == 0:
		return "No service has looked at anything."
	}
	return view.Capitalize(isFine) + ". Nothing was found."
}

// tone is that of a finding.
func (f found) tone() string {
	if f.severity == "error" {
		return "bad"
	}
	return "held"
}

// name names the checks: their ids, or how many there are of a group.
func (m missed) name() string {
	const shown = 3
	if len(m.ids) <= shown {
		return strings.Join(m.ids, ", ")
	}
	return strings.Join(m.ids[:shown], ", ") + " and " + view.Many(uint64(len(m.ids)-shown), "other", "others")
}
