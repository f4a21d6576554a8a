package cli

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

type tailCmd struct {
	address
	Product []string `arg:"" optional:"" help:"Only these products."`
	Follow  bool     `short:"f" help:"Go on with what happens from now on, until interrupted."`
	Failed  bool     `help:"Only what failed or waits for a person: failed attempts, dead letters, held changes, drift, refused adoptions."`
	Lines   uint32   `short:"n" default:"20" help:"Begin with this many of the latest entries, at most 1000."`
}

// Help is shown by --help.
func (*tailCmd) Help() string {
	return `Each line is an entry of the history: a change of the catalog, an event of Stripe, what push did, a failure.
driftless history PRODUCT shows the entries of one product with all fields and calls.

With -o json each line is one JSON object.`
}

func (cmd *tailCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	t := &tail{client: client, products: cmd.Product, failed: cmd.Failed, json: c.Output == "json"}
	if err := t.begin(ctx, cmd.Lines); err != nil || !cmd.Follow {
		return err
	}
	return t.follow(ctx)
}

const (
	// tailWait is how long one call waits for new entries.
	tailWait = 20 * time.Second
	// tailPage is how many entries one call returns.
	tailPage = 1000
	// latestEntries is how many entries of all products reconciliation looks at for the latest ones.
	latestEntries = 500_000
	// lateEntryTime is for how long an entry with a lower id may still come: two transactions that run at the same time
	// may commit in the other order.
	lateEntryTime = 3 * time.Second
	// tailInterval is the time between two calls that do not wait.
	tailInterval = 250 * time.Millisecond
	// tailRetryDelay is the delay after a call that failed.
	tailRetryDelay = time.Second
)

// tail prints entries of the history, each once.
type tail struct {
	client   controlv1connect.ControlServiceClient
	products []string
	failed   bool
	json     bool
	seen     seenEntries
}

// begin prints the latest entries.
func (t *tail) begin(ctx context.Context, lines uint32) error {
	resp, err := t.list(ctx, &controlv1.ListActivityRequest{Latest: min(max(lines, 1), tailPage)})
	if err != nil {
		return err
	}
	entries := resp.GetEntries()
	if len(entries) > 0 {
		t.seen.base = entries[0].GetId() - 1
	} else {
		t.seen.base, t.seen.highest = resp.GetLastId(), resp.GetLastId()
		if t.seen.base > latestEntries && lines > 0 {
			sayf(os.Stderr, "nothing found, but only the latest %s entries were looked at\n", formatCount(latestEntries))
		}
	}
	now := time.Now()
	for _, e := range entries {
		if t.seen.add(e.GetId(), now) && lines > 0 {
			if err := t.print(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// follow prints new entries until ctx ends. It goes on when the control API is away for a while.
func (t *tail) follow(ctx context.Context) error {
	away := &awayNote{}
	for ctx.Err() == nil {
		waited, err := t.next(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			if err := away.note(err); err != nil {
				return err
			}
			pauseFor(ctx, tailRetryDelay)
		case waited:
			away.end()
		default:
			away.end()
			pauseFor(ctx, tailInterval)
		}
	}
	return nil
}

// next prints the entries that were not printed before. It waits for the first if none is expected to come late, and
// reports whether it did.
func (t *tail) next(ctx context.Context) (waited bool, err error) {
	request := &controlv1.ListActivityRequest{After: t.seen.after(time.Now()), Limit: tailPage}
	if waited = request.GetAfter() == t.seen.last(); waited {
		request.Wait = durationpb.New(tailWait)
	}
	for {
		resp, err := t.list(ctx, request)
		if err != nil {
			return waited, err
		}
		entries := resp.GetEntries()
		now := time.Now()
		for _, e := range entries {
			if !t.seen.add(e.GetId(), now) {
				continue
			}
			if err := t.print(e); err != nil {
				return waited, err
			}
		}
		if len(entries) < tailPage {
			return waited, nil
		}
		request.After, request.Wait = entries[len(entries)-1].GetId(), nil
	}
}

func (t *tail) list(ctx context.Context,
	request *controlv1.ListActivityRequest,
) (*controlv1.ListActivityResponse, error) {
	request.ProductIds, request.Failed = t.products, t.failed
	resp, err := t.client.ListActivity(ctx, connect.NewRequest(request))
	if err != nil {
		return nil, err
	}
	return resp.Msg, nil
}

func (t *tail) print(e *controlv1.ActivityEntry) error {
	if !t.json {
		sayf(stdout, "%s\n", activityLine(e))
		return nil
	}
	return printJSONLine(e)
}

// activityLine describes an entry in one line: time, product, what happened, and what changed.
func activityLine(e *controlv1.ActivityEntry) raw {
	entry := e.GetEntry()
	line := sayingf("%s  %s  %s", formatWhen(entry.GetAt().AsTime(), dateMillis), e.GetProductId(),
		activityColour(entry).paint(activityWord(entry)))
	if text := activityText(entry); text != "" {
		line += sayingf("  %s", text)
	}
	return raw(line)
}

// activityColour is the colour of a kind of entry.
func activityColour(e *controlv1.HistoryEntry) colour {
	switch e.GetKind() {
	case "dead", "failed", "adoption_refused":
		return bad
	case "held", "drifted":
		return careful
	case "applied", "confirmed", "repaired", "written_back", "approved":
		return good
	default:
		return ""
	}
}

// activityWord is the kind of an entry. Failures, and what waits for a person, are in capitals.
func activityWord(e *controlv1.HistoryEntry) string {
	word := visible.Words(e.GetKind())
	switch e.GetKind() {
	case "dead", "failed", "held", "drifted", "adoption_refused":
		word = strings.ToUpper(word)
	case "stripe_event":
		if e.GetCausedBy() != "" {
			return word + " by " + visible.Words(e.GetCausedBy())
		}
	}
	if e.GetActor() != "" && !namesActor(e) {
		return word + " by " + e.GetActor()
	}
	return word
}

// maxActivityFields is how many fields a line names.
const maxActivityFields = 4

func activityText(e *controlv1.HistoryEntry) string {
	var parts []string
	for _, f := range e.GetChanges() {
		parts = append(parts, fmt.Sprintf("%s: %q -> %q", f.GetField(), f.GetOld(), f.GetNew()))
	}
	for _, d := range e.GetDifferences() {
		parts = append(parts, differenceLine(d))
	}
	if more := len(parts) - maxActivityFields; more > 0 {
		parts = append(parts[:maxActivityFields], fmt.Sprintf("and %d more", more))
	}
	if n := len(e.GetSteps()); n > 0 {
		parts = append(parts, countOf(n, "call", "calls"))
	} else if len(parts) == 0 && e.GetDetail() != "" {
		parts = append(parts, e.GetDetail())
	} else if e.GetActor() != "" && e.GetKind() != "catalog_change" {
		// The detail, which is left out, would have said it.
		parts = append(parts, decidedBy(e))
	}
	return strings.Join(parts, "; ")
}

// decidedBy says who did something, and why.
func decidedBy(e *controlv1.HistoryEntry) string {
	text := "by " + e.GetActor()
	if e.GetReason() != "" {
		text += ": " + e.GetReason()
	}
	return text
}

// seenEntries are the ids that were printed lately. The zero value is empty.
type seenEntries struct {
	// recent are ids with the time at which they were seen, in the order in which they were.
	recent []seenEntry
	ids    map[uint64]bool
	// base is an id before which nothing comes any more, and highest the highest id.
	base, highest uint64
}

type seenEntry struct {
	id uint64
	at time.Time
}

// add notes an id. It returns false if it was noted before.
func (s *seenEntries) add(id uint64, now time.Time) bool {
	if id <= s.base || s.ids[id] {
		return false
	}
	if s.ids == nil {
		s.ids = map[uint64]bool{}
	}
	s.ids[id] = true
	s.recent = append(s.recent, seenEntry{id, now})
	s.highest = max(s.highest, id)
	return true
}

// last returns the highest id.
func (s *seenEntries) last() uint64 { return s.highest }

// after returns the id after which new entries are to be read: the highest one that is so old that none with a lower id
// can come any more.
func (s *seenEntries) after(now time.Time) uint64 {
	n := 0
	for n < len(s.recent) && now.Sub(s.recent[n].at) > lateEntryTime {
		s.base = max(s.base, s.recent[n].id)
		n++
	}
	for _, e := range s.recent[:n] {
		delete(s.ids, e.id)
	}
	s.recent = s.recent[n:]
	return s.base
}

// awayNote tells once that the control API does not answer.
type awayNote struct{ told bool }

// note returns the error if waiting does not help.
func (a *awayNote) note(err error) error {
	why, is := unreachable(err)
	if !is {
		return err
	}
	if !a.told {
		say(os.Stderr, "waiting:", why)
		a.told = true
	}
	return nil
}

func (a *awayNote) end() { a.told = false }

// pauseFor waits for a time, or until ctx ends.
func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
