package pull_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

func TestPoll_ContinuesAtItsCursor(t *testing.T) {
	r := newRig(t)
	stop := r.pull(100 * time.Millisecond)
	for i := range 3 {
		_, err := r.stripe.Products.New(&stripe.ProductParams{
			ID:   stripe.String(fmt.Sprintf("a%d", i)),
			Name: stripe.String("A"),
		})
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return r.stored(topology.StreamStripe) == 3 }, patience, 10*time.Millisecond)
	stop()
	for i := range 150 {
		_, err := r.stripe.Products.New(&stripe.ProductParams{
			ID:   stripe.String(fmt.Sprintf("b%d", i)),
			Name: stripe.String("B"),
		})
		require.NoError(t, err)
	}
	r.pull(100 * time.Millisecond)
	require.Eventually(t, func() bool { return r.stored(topology.StreamStripe) == 153 }, patience, 10*time.Millisecond,
		"more than a page, none twice")
	localtest.Holds(t, 500*time.Millisecond, func() bool { return r.stored(topology.StreamStripe) == 153 },
		"later readings store nothing again")
}

// TestPoll_ReadsManyEventsPageByPageOldestFirst: the events of an import half an hour ago may exceed the
// memory.
func TestPoll_ReadsManyEventsPageByPageOldestFirst(t *testing.T) {
	r := newRig(t)
	const n = 250
	for i := range n {
		r.product(fmt.Sprintf("p%d", i))
	}
	var mu sync.Mutex
	var stored []uint64
	r.beforeEvents(func() {
		mu.Lock()
		defer mu.Unlock()
		stored = append(stored, r.stored(topology.StreamStripe))
	})
	r.pull(time.Hour)
	require.Eventually(t, func() bool { return r.stored(topology.StreamStripe) == n }, patience, 10*time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []uint64{0, 0, 0, 50, 150}, stored,
		"on the way to the oldest nothing is kept; from there each page is stored before the next is read")
	stream, err := r.mesh.JetStream().Stream(t.Context(), topology.StreamStripe)
	require.NoError(t, err)
	for i := range n {
		msg, err := stream.GetMsg(t.Context(), uint64(i+1))
		require.NoError(t, err)
		require.Equal(t, topology.StripeSubject("default", fmt.Sprintf("p%d", i)), msg.Subject)
	}
}

// TestPoll_KeepsWhatItHasReadIfAPageFails: a poll of thousands of pages would not end if it always began again.
func TestPoll_KeepsWhatItHasReadIfAPageFails(t *testing.T) {
	r := newRig(t)
	for i := range 250 {
		r.product(fmt.Sprintf("p%d", i))
	}
	// The oldest page is the third. The page after it has the next 100 events, and the last one fails.
	_, err := r.admin.AddFault(t.Context(), stripesim.Fault{
		Kind: stripesim.FaultUnavailable, Path: "/v1/events", Skip: 4, Count: 1,
	})
	require.NoError(t, err)
	target, err := url.Parse(r.simURL)
	require.NoError(t, err)
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) },
		ModifyResponse: func(res *http.Response) error {
			// The events are older than the poll reads twice.
			res.Header.Set("Date", time.Now().Add(10*time.Minute).UTC().Format(http.TimeFormat))
			return nil
		},
	})
	t.Cleanup(server.Close)
	r.simURL = server.URL
	r.pull(time.Hour)
	require.Eventually(t, func() bool { return r.polled().GetError() != "" }, patience, 10*time.Millisecond)
	require.EqualValues(t, 150, r.stored(topology.StreamStripe))
	at, err := r.position().GetString(t.Context())
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(at, "evt_"), at)
}

// TestPoll_MovesAnOldCursorWithoutEvents: a catalog without a change for a month must not look like a month without a
// poll.
func TestPoll_MovesAnOldCursorWithoutEvents(t *testing.T) {
	r := newRig(t)
	_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("mug"), Name: stripe.String("Mug")})
	require.NoError(t, err)
	latest := r.stripe.Events.List(&stripe.EventListParams{})
	require.True(t, latest.Next(), latest.Err())
	second := func(age time.Duration) string { return strconv.FormatInt(time.Now().Add(-age).Unix(), 10) }
	for name, c := range map[string]struct {
		cursor string
		moved  bool
	}{
		"an old event":             {cursor: latest.Event().ID + "@" + second(29*24*time.Hour), moved: true},
		"an old second":            {cursor: "@" + second(21*24*time.Hour), moved: true},
		"an event of unknown time": {cursor: latest.Event().ID, moved: true},
		"a recent event":           {cursor: latest.Event().ID + "@" + second(19*24*time.Hour)},
	} {
		started := time.Now()
		cursor := r.position()
		require.NoError(t, cursor.PutString(t.Context(), c.cursor))
		stop := r.pull(time.Hour)
		require.Eventually(t, func() bool {
			report := r.polled()
			return report.GetAt().AsTime().After(started) && report.GetError() == ""
		}, patience, 10*time.Millisecond, name)
		stop()
		after, err := cursor.GetString(t.Context())
		require.NoError(t, err)
		_, text, _ := strings.Cut(after, "@")
		at, err := strconv.ParseInt(text, 10, 64)
		switch {
		case !c.moved:
			require.Equal(t, c.cursor, after, name)
		default:
			require.NoError(t, err, name)
			require.WithinDuration(t, time.Now().Add(-time.Hour-time.Minute), time.Unix(at, 0), 20*time.Second, name)
		}
		require.WithinDuration(t, started, r.polled().GetReadUpTo().AsTime(), 2*time.Minute, name)
	}
	require.Zero(t, r.stored(topology.StreamCommand), "nothing commands a scan")
	ok, err := r.stores.Record(topology.KeyScan, "default").Get(t.Context(), &meshv1.ScanReport{})
	require.NoError(t, err)
	require.False(t, ok, "nothing has scanned")
}

func TestPoll_ScansAfterALostCursor(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.position().PutString(t.Context(), "evt_forgotten"))
	require.NoError(t, r.stores.Record(topology.KeyPoll, "default").Put(t.Context(), &meshv1.PollReport{Error: "401"}))
	_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("mug"), Name: stripe.String("Mug")})
	require.NoError(t, err)
	r.pull(time.Hour)
	r.waitName("Mug")
	var scan *meshv1.ScanReport
	require.Eventually(t, func() bool {
		report := &meshv1.ScanReport{}
		ok, err := r.stores.Record(topology.KeyScan, "default").Get(t.Context(), report)
		scan = report
		return err == nil && ok && report.GetFinishedAt() != nil
	}, patience, 10*time.Millisecond)
	require.Equal(t, "Stripe does not know event evt_forgotten, at which reading was to continue. "+
		"A scan reads everything.", scan.GetReason())
	require.Eventually(t, func() bool { return r.polled().GetAt() != nil }, patience, 10*time.Millisecond,
		"the same poll reads on at the new position")
	require.Empty(t, r.polled().GetError())
	require.EqualValues(t, 1, r.polled().GetEvents())
	require.Eventually(t, func() bool { return r.polled().GetLost() == "" }, patience, 10*time.Millisecond,
		"the scan has read everything")
}

func TestPoll_ScansAfterAnExpiredCursorAndReportsWhy(t *testing.T) {
	for name, cursor := range map[string]string{
		"at an event":  "evt_old@" + strconv.FormatInt(time.Now().Add(-31*24*time.Hour).Unix(), 10),
		"at no event":  "@" + strconv.FormatInt(time.Now().Add(-31*24*time.Hour).Unix(), 10),
		"just too old": "evt_old@" + strconv.FormatInt(time.Now().Add(-30*24*time.Hour+time.Hour).Unix(), 10),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			require.NoError(t, r.position().PutString(t.Context(), cursor))
			_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("mug"), Name: stripe.String("Mug")})
			require.NoError(t, err)
			r.pull(100 * time.Millisecond)
			r.waitName("Mug")
			report := &meshv1.ScanReport{}
			require.Eventually(t, func() bool {
				_, err := r.stores.Record(topology.KeyScan, "default").Get(t.Context(), report)
				return err == nil && report.GetFinishedAt() != nil
			}, patience, 10*time.Millisecond)
			require.Equal(t, topology.Pull, report.GetIssuer())
			require.Regexp(t, `^the position in Stripe's events \(\S+ \S+ UTC\) is near or past the 30 days`,
				report.GetReason())
			id := report.GetId()
			require.Eventually(t, func() bool { return r.stored(topology.StreamCommand) == 0 }, patience,
				10*time.Millisecond, "the command is acknowledged after the report is written")
			localtest.Holds(t, 500*time.Millisecond, func() bool {
				_, err := r.stores.Record(topology.KeyScan, "default").Get(t.Context(), report)
				return err == nil && report.GetId() == id && r.stored(topology.StreamCommand) == 0
			}, "once is enough")
		})
	}
}

func TestPoll_RecordsItsResults(t *testing.T) {
	r := newRig(t)
	poll := r.polled
	_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("mug"), Name: stripe.String("Mug")})
	require.NoError(t, err)
	stop := r.pull(50 * time.Millisecond)
	require.Eventually(t, func() bool { return poll().GetEvents() == 1 && poll().GetError() == "" }, patience,
		10*time.Millisecond)
	require.WithinDuration(t, time.Now(), poll().GetReadUpTo().AsTime(), time.Minute)
	require.Equal(t, 50*time.Millisecond, poll().GetInterval().AsDuration())
	fault, err := r.admin.AddFault(t.Context(), stripesim.Fault{Kind: stripesim.FaultUnavailable, Path: "/v1/events"})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return poll().GetError() != "" }, patience, 10*time.Millisecond)
	require.NotNil(t, poll().GetAt(), "when it last succeeded stays known")
	stop()
	before := poll()
	r.pull(50 * time.Millisecond)
	require.Eventually(t, func() bool { return poll().GetFailedAt().AsTime().After(before.GetFailedAt().AsTime()) },
		patience, 10*time.Millisecond)
	require.WithinDuration(t, before.GetAt().AsTime(), poll().GetAt().AsTime(), time.Second,
		"the next process knows it as well")
	require.Equal(t, before.GetReadUpTo().AsTime(), poll().GetReadUpTo().AsTime())

	// A report that cannot be decoded may have said that events were lost.
	require.NoError(t, r.stores.Record(topology.KeyPoll, "default").PutString(t.Context(), "\xff"))
	require.NoError(t, r.admin.RemoveFault(t.Context(), fault.ID))
	require.Eventually(t, func() bool {
		report := &meshv1.PollReport{}
		ok, err := r.stores.Record(topology.KeyPoll, "default").Get(t.Context(), report)
		return err == nil && ok && report.GetError() == "" && report.GetAt() != nil
	}, patience, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		report := &meshv1.ScanReport{}
		_, err := r.stores.Record(topology.KeyScan, "default").Get(t.Context(), report)
		return err == nil && report.GetFinishedAt() != nil &&
			strings.HasPrefix(report.GetId(), "lost-events-undecodable-")
	}, patience, 10*time.Millisecond)
	require.Eventually(t, func() bool { return poll().GetLost() == "" }, patience, 10*time.Millisecond)

	require.NoError(t, r.mesh.JetStream().DeleteStream(t.Context(), topology.StreamStripe))
	_, err = r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("cup"), Name: stripe.String("Cup")})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return poll().GetError() != "" }, patience, 10*time.Millisecond)
	require.Regexp(t, "^store event evt_", poll().GetError(), "the failure is not Stripe's")
}

// Events were lost, and the scan for them has not begun, or failed.
func TestPoll_FollowsLostEvents(t *testing.T) {
	r := newRig(t)
	stored := r.stores.Record(topology.KeyPoll, "default")
	lost := func(at time.Time) *meshv1.PollReport {
		return &meshv1.PollReport{Lost: "evt_1 is unknown", LostScan: "first", LostAt: timestamppb.New(at)}
	}
	require.NoError(t, stored.Put(t.Context(), lost(time.Now())))
	stop := r.pull(10 * time.Millisecond)
	require.Eventually(t, func() bool { return r.polled().GetAt() != nil }, patience, 10*time.Millisecond)
	require.Equal(t, "first", r.polled().GetLostScan(), "polls forget nothing")
	stop()
	require.Zero(t, r.stored(topology.StreamCommand), "the scan may still begin")

	require.NoError(t, stored.Put(t.Context(), lost(time.Now().Add(-time.Hour))))
	r.pull(10 * time.Millisecond)
	require.Eventually(t, func() bool { return r.polled().GetLost() == "" }, patience, 10*time.Millisecond,
		"the scan was commanded again, and has read everything")
	require.Equal(t, "first", r.report().GetId())

	unread := scanned("first", 0, "")
	unread.FinishedAt, unread.Unconfirmed = timestamppb.Now(), 3
	require.NoError(t, r.stores.Record(topology.KeyScan, "default").Put(t.Context(), unread))
	require.NoError(t, stored.Put(t.Context(), lost(time.Now().Add(-time.Hour))))
	require.Eventually(t, func() bool { return r.polled().GetLost() == "" }, patience, 10*time.Millisecond)
	require.Regexp(t, "^lost-events-again-", r.report().GetId(), "a scan that has ended does not run again")
}

// A scan for lost events was interrupted, and no process has run since. It resumes, and no other one begins.
func TestPoll_ResumesTheScanForLostEvents(t *testing.T) {
	r := newRig(t)
	stop := r.pull(time.Hour)
	for i := range 30 {
		r.product(fmt.Sprintf("p%d", i))
	}
	slow, err := r.admin.AddFault(t.Context(), stripesim.Fault{
		Kind: stripesim.FaultUnavailable, Path: "/v1/prices",
	})
	require.NoError(t, err)
	r.commandScanBy(topology.Pull, "first", time.Now())
	require.Eventually(t, func() bool { return r.report().GetProducts() == 30 }, patience, 10*time.Millisecond)
	require.Eventually(t, func() bool { return r.report().GetError() != "" }, patience, 10*time.Millisecond)
	stop()
	stream, err := r.mesh.JetStream().Stream(t.Context(), topology.StreamCommand)
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context()))
	kv, err := r.mesh.JetStream().KeyValue(t.Context(), topology.BucketCursor)
	require.NoError(t, err)
	require.NoError(t, kv.Delete(t.Context(), topology.KeyScan.Name("default")), "as if it was written long ago")
	require.NoError(t, r.admin.RemoveFault(t.Context(), slow.ID))
	require.NoError(t, r.stores.Record(topology.KeyPoll, "default").Put(t.Context(), &meshv1.PollReport{
		Lost: "evt_1 is unknown", LostScan: "first", LostAt: timestamppb.New(time.Now().Add(-time.Hour)),
	}))
	r.pull(50 * time.Millisecond)
	require.Eventually(t, func() bool { return r.polled().GetLost() == "" }, patience, 10*time.Millisecond)
	require.Equal(t, "first", r.report().GetId())
	require.NotZero(t, r.report().GetResumed())
	require.EqualValues(t, 30, r.report().GetProducts(), "nothing is listed twice")
}

// The bucket with the position and the result of the last poll is lost while a poll reads, or the result alone. It may
// have said that events were lost.
func TestPoll_ScansAfterALostResult(t *testing.T) {
	r := newRig(t)
	r.beforeEvents(sync.OnceFunc(r.loseCursor))
	// The position moves, because it is old.
	require.NoError(t, r.position().PutString(t.Context(), fmt.Sprintf("@%d", time.Now().Add(-21*24*time.Hour).Unix())))
	r.pull(50 * time.Millisecond)
	require.Eventually(t, func() bool {
		report := &meshv1.ScanReport{}
		_, err := r.stores.Record(topology.KeyScan, "default").Get(t.Context(), report)
		return err == nil && strings.HasPrefix(report.GetId(), "lost-events-start-") && report.GetFinishedAt() != nil
	}, patience, 10*time.Millisecond, "the bucket is missing for a moment")
	require.Eventually(t, func() bool { return r.polled().GetLost() == "" && r.polled().GetAt() != nil }, patience,
		10*time.Millisecond)

	kv, err := r.mesh.JetStream().KeyValue(t.Context(), topology.BucketCursor)
	require.NoError(t, err)
	require.NoError(t, kv.Delete(t.Context(), topology.KeyPoll.Name("default")))
	require.Eventually(t, func() bool {
		return strings.HasPrefix(r.report().GetId(), "lost-events-missing-") && r.report().GetFinishedAt() != nil
	}, patience, 10*time.Millisecond)
	require.Eventually(t, func() bool { return r.polled().GetLost() == "" }, patience, 10*time.Millisecond)
}

// At a first start the scan ends while the poll still reads.
func TestPoll_RecordsItsResultAfterTheScanHasEnded(t *testing.T) {
	r := newRig(t)
	r.loseCursor()
	r.beforeEvents(sync.OnceFunc(func() {
		assert.Eventually(t, func() bool { return r.polled().GetLost() == "" }, patience, 10*time.Millisecond)
	}))
	r.pull(50 * time.Millisecond)
	require.Eventually(t, func() bool { return r.polled().GetAt() != nil }, patience, 10*time.Millisecond)
	require.NotNil(t, r.report().GetFinishedAt())
}

// A process died between its two writes about the end of a scan for lost events.
func TestPoll_LearnsThatAScanHasEnded(t *testing.T) {
	r := newRig(t)
	running := scanned("first", time.Minute, "")
	require.NoError(t, r.stores.Record(topology.KeyScan, "default").Put(t.Context(), running))
	running.FinishedAt = timestamppb.Now()
	require.NoError(t, r.stores.Record(topology.KeyScanState, "default").Put(t.Context(),
		&meshv1.ScanState{Report: running}))
	require.NoError(t, r.stores.Record(topology.KeyPoll, "default").Put(t.Context(), &meshv1.PollReport{
		Lost: "evt_1 is unknown", LostScan: "first", LostAt: timestamppb.Now(),
	}))
	r.pull(50 * time.Millisecond)
	r.commandScanBy(topology.Pull, "first", time.Now())
	require.Eventually(t, func() bool { return r.polled().GetLost() == "" }, patience, 10*time.Millisecond)
}

// Two processes start first at the same time.
func TestPoll_CommandsOneScanForTwoProcesses(t *testing.T) {
	r := newRig(t)
	r.loseCursor()
	fault, err := r.admin.AddFault(t.Context(), stripesim.Fault{Kind: stripesim.FaultUnavailable, Path: "/v1/products"})
	require.NoError(t, err)
	for range 2 {
		r.pull(10 * time.Millisecond)
	}
	require.Eventually(t, func() bool { return r.report().GetId() != "" }, patience, 10*time.Millisecond)
	first := r.polled().GetLostScan()
	require.NoError(t, r.admin.RemoveFault(t.Context(), fault.ID))
	require.Eventually(t, func() bool { return r.polled().GetLost() == "" }, patience, 10*time.Millisecond)
	require.Eventually(t, func() bool { return r.stored(topology.StreamCommand) == 0 }, patience, 10*time.Millisecond)
	require.Equal(t, first, r.report().GetId())
}

// A missing position says less of lost events than an earlier loss.
func TestPoll_KeepsAnEarlierLoss(t *testing.T) {
	r := newRig(t)
	kv, err := r.mesh.JetStream().KeyValue(t.Context(), topology.BucketCursor)
	require.NoError(t, err)
	require.NoError(t, kv.Delete(t.Context(), topology.KeyEvents.Name("default")))
	require.NoError(t, r.stores.Record(topology.KeyPoll, "default").Put(t.Context(), &meshv1.PollReport{
		Lost: "evt_1 is unknown", LostScan: "first", LostAt: timestamppb.New(time.Now().Add(-2 * time.Hour)),
		LostCommandedAt: timestamppb.Now(),
	}))
	// It began after the time from which events are read, but other events were lost too.
	require.NoError(t, r.stores.Record(topology.KeyScan, "default").Put(t.Context(), scanned("scheduled", 0, "")))
	_, err = r.admin.AddFault(t.Context(), stripesim.Fault{Kind: stripesim.FaultUnavailable, Path: "/v1/products"})
	require.NoError(t, err)
	r.pull(50 * time.Millisecond)
	require.Eventually(t, func() bool { return r.polled().GetAt() != nil }, patience, 10*time.Millisecond)
	require.Equal(t, "evt_1 is unknown", r.polled().GetLost())
	require.Regexp(t, "^lost-events-start-", r.polled().GetLostScan())
}

// Without a position, as at the first start, what events said more than an hour ago is known when a scan has ended.
func TestPoll_StartsWithAScan(t *testing.T) {
	for name, c := range map[string]struct {
		before *meshv1.ScanReport
		scans  bool
	}{
		"no scan yet":                  {scans: true},
		"an earlier scan":              {before: scanned("earlier", 2*time.Hour, ""), scans: true},
		"the scheduled scan failed":    {before: scanned("scheduled", 0, "Stripe refuses the key"), scans: true},
		"the scheduled scan has begun": {before: scanned("scheduled", 0, "")},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.loseCursor()
			if c.before != nil {
				require.NoError(t, r.stores.Record(topology.KeyScan, "default").Put(t.Context(), c.before))
			}
			fault, err := r.admin.AddFault(t.Context(),
				stripesim.Fault{Kind: stripesim.FaultUnavailable, Path: "/v1/products"})
			require.NoError(t, err)
			r.pull(50 * time.Millisecond)
			require.Eventually(t, func() bool { return r.polled().GetAt() != nil }, patience, 10*time.Millisecond)
			require.Equal(t, "Stripe's events are read from the last hour on, as at the first start",
				r.polled().GetLost())
			require.Empty(t, r.polled().GetError())
			if !c.scans {
				require.Equal(t, c.before.GetId(), r.polled().GetLostScan())
				localtest.Holds(t, 500*time.Millisecond, func() bool { return r.stored(topology.StreamCommand) == 0 },
					"one scan is enough")
				c.before.FinishedAt = timestamppb.Now()
				require.NoError(t, r.stores.Record(topology.KeyScan, "default").Put(t.Context(), c.before))
			}
			require.NoError(t, r.admin.RemoveFault(t.Context(), fault.ID))
			require.Eventually(t, func() bool { return r.polled().GetLost() == "" }, patience, 10*time.Millisecond)
			scan := &meshv1.ScanReport{}
			_, err = r.stores.Record(topology.KeyScan, "default").Get(t.Context(), scan)
			require.NoError(t, err)
			require.NotNil(t, scan.GetFinishedAt())
			require.Equal(t, c.scans, strings.HasPrefix(scan.GetId(), "lost-events-start-"), scan.GetId())
		})
	}
}

func scanned(id string, age time.Duration, failure string) *meshv1.ScanReport {
	at := timestamppb.New(time.Now().Add(-age))
	return &meshv1.ScanReport{Id: id, StartedAt: at, At: at, Error: failure}
}

// A scan that began after the command of another one does as well, so the command is dropped.
func TestPoll_FollowsTheScanThatSupersededAnother(t *testing.T) {
	r := newRig(t)
	issued := time.Now()
	lose := func(why string) {
		require.NoError(t, r.stores.Record(topology.KeyPoll, "default").Put(t.Context(), &meshv1.PollReport{
			Lost: why, LostScan: "lost-events-1", LostAt: timestamppb.New(issued),
		}))
	}
	later := scanned("scheduled", 0, "")
	later.FinishedAt = timestamppb.Now()
	require.NoError(t, r.stores.Record(topology.KeyScan, "default").Put(t.Context(), later))
	require.NoError(t, r.stores.Record(topology.KeyScanState, "default").Put(t.Context(),
		&meshv1.ScanState{Report: later}))
	lose("evt_1 is unknown")
	r.pull(50 * time.Millisecond)
	r.commandScanBy(topology.Pull, "lost-events-1", issued)
	require.Eventually(t, func() bool { return r.stored(topology.StreamCommand) == 0 }, patience, 10*time.Millisecond)
	require.Equal(t, "lost-events-1", r.polled().GetLostScan(), "by two clocks the other scan may have begun too early")

	lose("Stripe's events are read from the last hour on, as at the first start")
	r.commandScanBy(topology.Pull, "lost-events-1", issued)
	require.Eventually(t, func() bool { return r.polled().GetLost() == "" }, patience, 10*time.Millisecond)
}

// What is known of lost events changes between two polls. Nothing has been read by that.
func TestPoll_KeepsItsTimeIfOnlyLostEventsChange(t *testing.T) {
	r := newRig(t)
	issued := time.Now()
	later := scanned("scheduled", 0, "")
	later.FinishedAt = timestamppb.Now()
	require.NoError(t, r.stores.Record(topology.KeyScan, "default").Put(t.Context(), later))
	require.NoError(t, r.stores.Record(topology.KeyScanState, "default").Put(t.Context(),
		&meshv1.ScanState{Report: later}))
	r.pull(time.Hour)
	require.Eventually(t, func() bool { return r.polled().GetAt() != nil }, patience, 10*time.Millisecond)
	// Another host has polled, whose clock is ahead.
	ahead := issued.Add(time.Hour)
	require.NoError(t, r.stores.Record(topology.KeyPoll, "default").Put(t.Context(), &meshv1.PollReport{
		At: timestamppb.New(ahead.Add(-10 * time.Minute)), RecordedAt: timestamppb.New(ahead),
		Lost:     "Stripe's events are read from the last hour on, as at the first start",
		LostScan: "lost-events-1", LostAt: timestamppb.New(issued),
	}))
	r.commandScanBy(topology.Pull, "lost-events-1", issued)
	require.Eventually(t, func() bool { return r.polled().GetLostScan() == "scheduled" }, patience, 10*time.Millisecond)
	// Equality subtracts one from the other.
	require.WithinDuration(t, issued.Add(-10*time.Minute), r.polled().GetAt().AsTime(), patience)
	require.WithinRange(t, r.polled().GetRecordedAt().AsTime(), issued, time.Now())
}

// The process that polled last is on a host whose clock is ahead, and Stripe refuses the key of the next one.
func TestPoll_FailsAfterAPollOfAnotherHost(t *testing.T) {
	r := newRig(t)
	ahead := time.Now().Add(time.Hour)
	require.NoError(t, r.stores.Record(topology.KeyPoll, "default").Put(t.Context(),
		&meshv1.PollReport{At: timestamppb.New(ahead), ReadUpTo: timestamppb.New(ahead)}))
	written := time.Now()
	_, err := r.admin.AddFault(t.Context(), stripesim.Fault{Kind: stripesim.FaultUnavailable, Path: "/v1/events"})
	require.NoError(t, err)
	r.pull(50 * time.Millisecond)
	// Equality subtracts one from the other.
	require.Eventually(t, func() bool {
		return r.polled().GetFailedAt().AsTime().Sub(r.polled().GetAt().AsTime()) > 500*time.Millisecond
	}, patience, 10*time.Millisecond)
	require.WithinDuration(t, written, r.polled().GetAt().AsTime(), patience)
}

// polled returns the result of the latest poll.
func (r *rig) polled() *meshv1.PollReport {
	r.t.Helper()
	report := &meshv1.PollReport{}
	_, err := r.stores.Record(topology.KeyPoll, "default").Get(r.t.Context(), report)
	require.NoError(r.t, err)
	return report
}

// receivedByPoll returns a function that returns driftless_event_received_total{via="poll", result="stored"}. The test
// must not run beside others.
func receivedByPoll(t *testing.T) func() (n int64) {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	want := attribute.NewSet(attribute.String("via", "poll"), attribute.String("result", "stored"))
	return func() (n int64) {
		var all metricdata.ResourceMetrics
		require.NoError(t, reader.Collect(t.Context(), &all))
		for _, scope := range all.ScopeMetrics {
			for _, m := range scope.Metrics {
				if m.Name != "driftless.event.received" {
					continue
				}
				for _, point := range m.Data.(metricdata.Sum[int64]).DataPoints {
					if point.Attributes.Equals(&want) {
						n += point.Value
					}
				}
			}
		}
		return n
	}
}

// Where no webhook arrives, the record of the process says how many events polls alone have detected.
func TestPoll_CountsEventsWithoutAWebhook(t *testing.T) {
	received := receivedByPoll(t)
	r := newRig(t)
	r.pull(50 * time.Millisecond)
	// The record is written every two seconds.
	eventually := func(what string, is func(*meshv1.Process) bool) {
		t.Helper()
		require.Eventually(t, func() bool {
			processes, _, err := r.stores.Processes(t.Context(), "default")
			require.NoError(t, err)
			return len(processes) == 1 && is(processes[0])
		}, patience, 10*time.Millisecond, what)
	}
	for i := range 3 {
		_, err := r.stripe.Products.New(&stripe.ProductParams{
			ID: stripe.String(fmt.Sprintf("p%d", i)), Name: stripe.String("P"),
		})
		require.NoError(t, err)
	}
	eventually("three events came by polling", func(p *meshv1.Process) bool {
		return p.GetOnlyPolled() == 3 && p.GetOnlyPolledSince() != nil
	})
	// The state of a product remembers its latest events only. Polls read the others again for a minute.
	const updates = 100
	for i := range updates {
		_, err := r.stripe.Products.Update("p0", &stripe.ProductParams{Name: stripe.String(fmt.Sprint("P", i))})
		require.NoError(t, err)
	}
	eventually("each event counts once", func(p *meshv1.Process) bool { return p.GetOnlyPolled() == 3+updates })
	require.Never(t, func() bool {
		processes, _, err := r.stores.Processes(t.Context(), "default")
		return err == nil && len(processes) == 1 && processes[0].GetOnlyPolled() > 3+updates
	}, 2500*time.Millisecond, 50*time.Millisecond, "an event counts twice")
	require.EqualValues(t, 3+updates, received(), "the metric counts each event once")
	require.Equal(t, http.StatusOK,
		r.send(event{ID: "evt_1", Type: "product.updated", Created: 1, Object: productObject("Mug", 1)}.body(), secret))
	eventually("webhooks arrive again", func(p *meshv1.Process) bool {
		return p.GetOnlyPolled() == 0 && p.GetLastWebhookAt() != nil
	})
}
