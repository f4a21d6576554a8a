package view

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(noon.Add(-d)) }

// complete is the evidence of a mesh in which everything is known.
func complete() evidence {
	return evidence{
		now:    noon,
		ledger: noon.Add(-time.Second),
		capture: &meshv1.CaptureReport{
			At:              ago(time.Second),
			State:           meshv1.CaptureState_CAPTURE_STATE_READING,
			CapturedUpTo:    ago(2 * time.Second),
			Compared:        &meshv1.TableComparison{StartedAt: ago(8 * time.Hour)},
			UnwatchedTables: []string{"category"},
		},
		poll:   &meshv1.PollReport{At: ago(5 * time.Minute), Interval: durationpb.New(10 * time.Minute)},
		polled: noon.Add(-5 * time.Minute),
	}
}

func TestEquality_IsKnown(t *testing.T) {
	e := complete().equality()
	require.Empty(t, e.GetUnknown(), "an interval of ten minutes is no reason")
	require.Equal(t, noon.Add(-2*time.Second), e.GetAsOf().AsTime(), "what is captured and in the ledger")
	require.Equal(t, noon.Add(-5*time.Minute), e.GetStripeAsOf().AsTime())
	require.Equal(t, noon.Add(-8*time.Hour), e.GetTablesComparedAt().AsTime())
	require.Equal(t, []string{"category"}, e.GetUnwatchedTables())
	require.Equal(t, noon, e.GetAt().AsTime())

	read := complete()
	read.poll.Lost, read.poll.LostScan, read.poll.LostAt = "Stripe does not know event evt_1", "lost", ago(time.Hour)
	read.scan = &meshv1.ScanReport{Id: "lost", StartedAt: ago(time.Hour), FinishedAt: ago(time.Minute)}
	require.Empty(t, read.equality().GetUnknown(), "the scan has ended")
	read.scan = &meshv1.ScanReport{Id: "daily", StartedAt: ago(time.Minute), FinishedAt: ago(0)}
	require.Empty(t, read.equality().GetUnknown(), "a later scan has ended")
	read.scan.StartedAt = ago(time.Hour)
	require.NotEmpty(t, read.equality().GetUnknown(), "that scan may have begun before")

	rewritten := complete()
	// The times are by pull's own clock, which is an hour ahead.
	rewritten.poll.At, rewritten.poll.RecordedAt = ago(-time.Hour+3*time.Minute), ago(-time.Hour)
	require.Equal(t, noon.Add(-8*time.Minute), rewritten.equality().GetStripeAsOf().AsTime(), "it was no poll")

	behind := complete()
	behind.ledger = noon.Add(-4 * time.Second)
	require.Equal(t, noon.Add(-4*time.Second), behind.equality().GetAsOf().AsTime(), "the ledger has read no more")
}

func TestEquality_GivesReasonIfUnknown(t *testing.T) {
	paused := func(service string) func(*evidence) {
		return func(e *evidence) {
			e.paused = []*controlv1.PausedService{{Service: service, Since: ago(58 * time.Minute)}}
		}
	}
	report := func(edit func(*meshv1.CaptureReport)) func(*evidence) {
		return func(e *evidence) { edit(e.capture) }
	}
	for name, c := range map[string]struct {
		edit func(*evidence)
		want string
	}{
		"never reported": {func(e *evidence) { e.capture = nil }, "no ingestion has ever reported: is it running?"},
		"ledger lost":    {func(e *evidence) { e.ledgerUnknown = "an older copy" }, "an older copy"},
		"report is old": {
			report(func(r *meshv1.CaptureReport) { r.At = ago(40 * time.Second) }),
			"no ingestion runs (last report 40 s ago)",
		},
		"had stopped": {report(func(r *meshv1.CaptureReport) {
			r.At, r.State, r.Reason = ago(3*time.Minute), meshv1.CaptureState_CAPTURE_STATE_STOPPED,
				"the publication is gone"
		}), "no ingestion runs (last report 3m0s ago, it had stopped: the publication is gone)"},
		"clock set back": {
			report(func(r *meshv1.CaptureReport) { r.At = ago(-time.Hour) }),
			"the last report of ingestion is 1h0m0s in the future: the clock of the NATS server was set back",
		},
		"stopped": {report(func(r *meshv1.CaptureReport) {
			r.State, r.Reason = meshv1.CaptureState_CAPTURE_STATE_STOPPED, "column price does not exist"
		}), "capture is stopped: column price does not exist"},
		"behind": {report(func(r *meshv1.CaptureReport) {
			r.CapturedUpTo, r.Reason = ago(21*time.Second), "reading products waits for a lock"
		}), "capture is 21 s behind (reading products waits for a lock)"},
		"paused, and not yet reported": {paused("ingestion"), "ingestion is paused since 11:02:00 UTC by an operator"},
		"paused for days": {func(e *evidence) {
			e.paused = []*controlv1.PausedService{{Service: "ingestion", Since: ago(73 * time.Hour)}}
		}, "ingestion is paused since 2026-11-23 11:00:00 UTC by an operator"},
		"paused": {
			report(
				func(r *meshv1.CaptureReport) { r.State = meshv1.CaptureState_CAPTURE_STATE_PAUSED }),
			"ingestion is paused by an operator",
		},
		"starting": {report(func(r *meshv1.CaptureReport) {
			r.State, r.Reason = meshv1.CaptureState_CAPTURE_STATE_STARTING, "waiting for transaction 12 of pid 7"
		}), "ingestion is starting (waiting for transaction 12 of pid 7)"},
		"no state": {
			report(func(r *meshv1.CaptureReport) { r.State = 0 }),
			"ingestion does not report whether it captures",
		},
		"first read": {report(func(r *meshv1.CaptureReport) {
			r.State, r.CapturedUpTo = meshv1.CaptureState_CAPTURE_STATE_READING_TABLES, nil
			r.Running = &meshv1.TableComparison{Products: 12_000, Expected: 40_000}
		}), "the catalog is being read for the first time (12,000 of about 40,000 products)"},
		"never read": {
			report(func(r *meshv1.CaptureReport) { r.CapturedUpTo = nil }),
			"the catalog is being read for the first time",
		},
		"read again": {report(func(r *meshv1.CaptureReport) {
			r.State = meshv1.CaptureState_CAPTURE_STATE_READING_TABLES
			r.Running = &meshv1.TableComparison{Products: 999, Reason: "the mapping changed"}
		}), "the tables are being read as a whole since the mapping changed (999 products so far)"},
		"ledger has nothing": {
			func(e *evidence) { e.ledger = time.Time{} },
			"reconciliation has not read the captured changes yet",
		},
		"ledger behind": {
			func(e *evidence) { e.ledger = noon.Add(-90 * time.Second) },
			"reconciliation is 90 s behind in reading the captured changes",
		},
		"pull paused": {paused("pull"), "pull is paused since 11:02:00 UTC by an operator"},
		"pull gone": {
			func(e *evidence) { e.pull.inactive = 21 * time.Second },
			"no pull runs (no process has asked for its messages for 21 s)",
		},
		"never polled": {
			func(e *evidence) { e.poll, e.polled = nil, time.Time{} },
			"Stripe's events were never read",
		},
		"never polled well": {func(e *evidence) {
			e.poll = &meshv1.PollReport{Error: "401", FailedAt: ago(time.Second), Interval: durationpb.New(time.Minute)}
		}, "the poll of Stripe's events fails: 401"},
		"polls fail": {func(e *evidence) {
			// The times are by pull's own clock, which is an hour ahead.
			e.poll = &meshv1.PollReport{
				At:       ago(-time.Hour + 3*time.Minute),
				FailedAt: ago(-time.Hour),
				Error:    "401",
				Interval: durationpb.New(10 * time.Second),
			}
			e.polled = noon.Add(-time.Second)
		}, "the poll of Stripe's events fails (last read 3m1s ago): 401"},
		"scan unread": {
			func(e *evidence) { e.scanUnread = true },
			"reconciliation has not read everything that the latest scan found",
		},
		"events lost": {func(e *evidence) {
			e.poll.Lost, e.poll.LostScan, e.poll.LostAt = "Stripe does not know event evt_1", "lost", ago(time.Hour)
			// It has not read everything.
			e.scan = &meshv1.ScanReport{Id: "lost", StartedAt: ago(time.Minute), FinishedAt: ago(0), Error: "401"}
		}, "what Stripe holds is not fully known (Stripe does not know event evt_1); a scan of Stripe has to end; " +
			"the latest one failed: 401"},
		"events lost, and a scan is incomplete": {func(e *evidence) {
			e.poll.Lost, e.poll.LostScan, e.poll.LostAt = "Stripe does not know event evt_1", "lost", ago(time.Hour)
			e.scan = &meshv1.ScanReport{Id: "lost", StartedAt: ago(time.Minute), FinishedAt: ago(0), Unconfirmed: 1234}
		}, "what Stripe holds is not fully known (Stripe does not know event evt_1); a scan of Stripe has to end; " +
			"the latest one left 1,234 objects unread"},
		"polls are overdue": {
			func(e *evidence) { e.polled = noon.Add(-12 * time.Minute) },
			"Stripe's events were last read 12m0s ago; the poll interval is 10m0s",
		},
		"overdue without an interval": {func(e *evidence) {
			e.poll.Interval, e.polled = nil, noon.Add(-12*time.Minute)
		}, "Stripe's events were last read 12m0s ago; the poll interval is 10m0s"},
		"events wait": {
			func(e *evidence) { e.eventDelay = time.Minute },
			"Stripe's events have waited for 60 s to be processed",
		},
		"halted": {func(e *evidence) { e.halted = "Invalid API Key" }, "push is halted: Invalid API Key"},
		"push gone": {
			func(e *evidence) { e.push = activity{inactive: time.Minute, pending: 1200} },
			"no push runs (no process has asked for its messages for 60 s), and 1,200 messages wait for it",
		},
		"push paused": {
			func(e *evidence) { paused("push")(e); e.push.pending = 1 },
			"push is paused since 11:02:00 UTC by an operator, and a message waits for it",
		},
		"two reasons": {
			func(e *evidence) { e.halted, e.pull.inactive = "401", time.Minute },
			"no pull runs (no process has asked for its messages for 60 s); push is halted: 401",
		},

		"one poll failed":              {func(e *evidence) { e.poll.Error, e.poll.FailedAt = "timeout", ago(0) }, ""},
		"push is gone and not missed":  {func(e *evidence) { e.push.inactive = time.Hour }, ""},
		"push paused with nothing":     {paused("push"), ""},
		"push works":                   {func(e *evidence) { e.push.pending = 3000 }, ""},
		"events wait for a moment":     {func(e *evidence) { e.eventDelay = time.Second }, ""},
		"the report is a little ahead": {report(func(r *meshv1.CaptureReport) { r.At = ago(-time.Second) }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := complete()
			c.edit(&e)
			require.Equal(t, c.want, e.equality().GetUnknown())
		})
	}
}

func TestFormatCount_SeparatesThousands(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		require.Equal(t, want, formatCount(n))
	}
}
