package now

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(noon.Add(-d)) }

// known is the status of a mesh that is known to be equal.
func known(edit func(*controlv1.GetStatusResponse)) *controlv1.GetStatusResponse {
	s := &controlv1.GetStatusResponse{
		InSync:   40_000,
		Equality: &controlv1.Equality{At: ago(0), AsOf: ago(time.Second), StripeAsOf: ago(5 * time.Second)},
	}
	edit(s)
	return s
}

func TestSummarize_IsGoodOnlyIfEverythingIsKnownToBeEqual(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]struct {
		tone string
		edit func(*controlv1.GetStatusResponse)
	}{
		"All 40,000 products are equal.": {"good", func(*controlv1.GetStatusResponse) {}},
		"The only product is equal.":     {"good", func(s *controlv1.GetStatusResponse) { s.InSync = 1 }},
		"The catalog has no products.":   {"good", func(s *controlv1.GetStatusResponse) { s.InSync = 0 }},
		"39,981 of 40,000 are equal. 12 differ, the oldest for 4 min. 7 are refused.": {
			"bad", func(s *controlv1.GetStatusResponse) {
				s.InSync, s.Pending, s.Drifted, s.Dead, s.OldestDifferenceAt = 39_981, 2, 10, 7, ago(4*time.Minute)
			},
		},
		"40,000 of 40,001 are equal. 1 differs.": {"busy", func(s *controlv1.GetStatusResponse) { s.Pending = 1 }},
		"40,000 of 40,001 are equal. 1 waits for an approval.": {
			"held", func(s *controlv1.GetStatusResponse) {
				s.Held, s.Problems = 1, []*controlv1.Notice{{Kind: "held"}}
			},
		},
		"It is not known whether both sides are equal now: capture is 21 s behind. " +
			"As far as is known: All 40,000 products are equal.": {
			"held", func(s *controlv1.GetStatusResponse) { s.Equality.Unknown = "capture is 21 s behind" },
		},
		"It is not known whether both sides are equal now: reconciliation does not say up to when it knows. " +
			"As far as is known: All 40,000 products are equal.": {
			"held", func(s *controlv1.GetStatusResponse) { s.Equality = nil },
		},
	} {
		got := summarize(known(c.edit))
		require.Equal(t, want, got.text)
		require.Equal(t, c.tone, got.tone, want)
	}
	unread := summarize(known(func(s *controlv1.GetStatusResponse) { s.Equality.AsOf = nil }))
	require.Equal(t, "held", unread.tone)
	require.Contains(t, unread.text, "the tables were not read yet")
	problem := summarize(known(func(s *controlv1.GetStatusResponse) {
		s.Problems = []*controlv1.Notice{{Kind: "service", Text: "no push runs"}}
	}))
	require.Equal(t, "held", problem.tone, "a problem is never good")
}

func TestSummarize_SaysUpToWhen(t *testing.T) {
	t.Parallel()
	require.Equal(t, "Tables as of 1 s ago; Stripe's events as of 5 s ago.",
		summarize(known(func(*controlv1.GetStatusResponse) {})).basis)
	require.Equal(t, "Tables not read yet; Stripe's events not read yet. Changes of tax are seen by a comparison of all "+
		"rows only.", summarize(known(func(s *controlv1.GetStatusResponse) {
		s.Equality = &controlv1.Equality{At: ago(0), UnwatchedTables: []string{"tax"}}
	})).basis)
}

func TestCapture_IsGoodOnlyIfIngestionReportsIt(t *testing.T) {
	t.Parallel()
	reading := func(edit func(*meshv1.CaptureReport)) *meshv1.CaptureReport {
		r := &meshv1.CaptureReport{At: ago(time.Second), State: meshv1.CaptureState_CAPTURE_STATE_READING}
		edit(r)
		return r
	}
	in := func(state meshv1.CaptureState) *meshv1.CaptureReport {
		return reading(func(r *meshv1.CaptureReport) { r.State = state })
	}
	for want, c := range map[string]struct {
		tone   string
		report *meshv1.CaptureReport
	}{
		"no ingestion has reported yet": {"", nil},
		"changes are captured": {
			"good", reading(func(r *meshv1.CaptureReport) { r.At = ago(maxReportAge) }),
		},
		"tables are being compared": {
			"good", reading(func(r *meshv1.CaptureReport) { r.Running = &meshv1.TableComparison{} }),
		},
		"no ingestion runs (last report 3 h ago)": {
			"", reading(func(r *meshv1.CaptureReport) { r.At = ago(3 * time.Hour) }),
		},
		"no ingestion runs (last report 6 s ago)": {
			"", reading(func(r *meshv1.CaptureReport) { r.At, r.Reason = ago(6*time.Second), "a lock" }),
		},
		"no ingestion runs (last report 3 h ago, it had stopped: the slot is gone)": {
			"", reading(func(r *meshv1.CaptureReport) {
				r.At, r.State = ago(3*time.Hour), meshv1.CaptureState_CAPTURE_STATE_STOPPED
				r.Reason = "the slot is gone"
			}),
		},
		"the last report of ingestion is 9 s in the future: the clock of the NATS server was set back": {
			"", reading(func(r *meshv1.CaptureReport) { r.At = ago(-9 * time.Second) }),
		},
		"a lock":                               {"bad", reading(func(r *meshv1.CaptureReport) { r.Reason = "a lock" })},
		"the tables are being read as a whole": {"busy", in(meshv1.CaptureState_CAPTURE_STATE_READING_TABLES)},
		"ingestion is starting":                {"busy", in(meshv1.CaptureState_CAPTURE_STATE_STARTING)},
		"ingestion is paused by an operator":   {"held", in(meshv1.CaptureState_CAPTURE_STATE_PAUSED)},
		"capture is stopped":                   {"bad", in(meshv1.CaptureState_CAPTURE_STATE_STOPPED)},
		"ingestion does not report whether it captures": {
			"", in(meshv1.CaptureState_CAPTURE_STATE_UNSPECIFIED),
		},
	} {
		tone, text := capture(known(func(s *controlv1.GetStatusResponse) { s.Equality.Capture = c.report }))
		require.Equal(t, want, text)
		require.Equal(t, c.tone, tone, want)
	}
}

func TestStripe_IsGoodOnlyIfItsCallsAreKnown(t *testing.T) {
	t.Parallel()
	process := func(state string) func(*controlv1.GetStatusResponse) {
		return func(s *controlv1.GetStatusResponse) {
			s.Services = []*controlv1.ServiceStatus{{
				Service: "push",
				Processes: []*controlv1.ProcessStatus{{
					State: state, Process: &meshv1.Process{Rates: map[string]float64{"calls": 1.5}},
				}},
			}}
		}
	}
	require.Equal(t, node{name: "Stripe", kind: "place", tone: "good", text: "1.5 calls per second"},
		stripe(known(process("running"))))
	require.Equal(t, node{name: "Stripe", kind: "place", text: "calls are not known"}, stripe(known(process("lost"))))
}

func TestPicture_ShowsWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	waiting := uint64(1200)
	nodes := picture(known(func(s *controlv1.GetStatusResponse) {
		s.Paused = []*controlv1.PausedService{{Service: "push"}}
		s.Halted = "Invalid API Key"
		s.Flow = []*controlv1.FlowStatus{{Name: "live", Waiting: &waiting}, {Name: "bulk", Waiting: new(uint64)}}
		s.Services = []*controlv1.ServiceStatus{{
			Service: "pull", Running: 2, Doing: "waits", Problem: "no event for an hour",
			Processes: []*controlv1.ProcessStatus{{State: "running", Process: &meshv1.Process{}}},
		}}
	}))
	byName := map[string]node{}
	for _, n := range nodes {
		byName[n.name] = n
	}
	require.Empty(t, byName["Postgres"].tone, "no ingestion has reported")
	require.Equal(t, node{name: "ingestion", kind: "service", text: "nothing is known"}, byName["ingestion"])
	require.Equal(t, "1,200 waiting", byName["CATALOG"].text)
	require.Equal(t, "paused", byName["push"].text)
	require.Equal(t, "bad", byName["Stripe"].tone)
	require.Equal(t, "no event for an hour", byName["pull"].text)
	require.Equal(t, []fact{{"processes", "2"}}, byName["pull"].facts)
	require.Equal(t, "nothing is known", byName["OBSERVED"].text)
}
