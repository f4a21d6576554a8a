package doctor_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/doctor"
)

// judged returns what a judgement found, and what it did not look at, by id.
func judged(t *testing.T, judge func(*doctor.Recorder)) (found, notLooked map[string]string) {
	t.Helper()
	var all []string
	for _, c := range doctor.Checks() {
		all = append(all, c.ID)
	}
	report := doctor.Run(t.Context(), []doctor.Probe{{
		Name: "test", Covers: all,
		Run: func(_ context.Context, r *doctor.Recorder) error { judge(r); return nil },
	}}, doctor.Options{})
	found, notLooked = map[string]string{}, map[string]string{}
	for _, f := range report.Findings {
		found[f.ID] = f.Message
	}
	for _, n := range report.NotLooked {
		notLooked[n.ID] = n.Reason
	}
	return found, notLooked
}

func keys(m map[string]string) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func TestJudgeDatabase_FindsFaultsOfTheServer(t *testing.T) {
	t.Parallel()
	slot := doctor.SlotFacts{Name: "own", Plugin: "pgoutput", Database: "shop", IsActive: true, Status: "reserved"}
	healthy := doctor.DatabaseFacts{
		Version: 17, VersionText: "17.2", Encoding: "UTF8", Database: "shop", OwnSlot: "own", MaxSlots: 10,
		MaxSenders: 10, Senders: 1, KeepSize: "-1", Slots: []doctor.SlotFacts{slot},
	}
	for name, c := range map[string]struct {
		change func(*doctor.DatabaseFacts)
		want   []string
	}{
		"healthy":     {func(*doctor.DatabaseFacts) {}, nil},
		"old version": {func(f *doctor.DatabaseFacts) { f.Version = 14 }, []string{doctor.DatabaseVersion}},
		"standby":     {func(f *doctor.DatabaseFacts) { f.IsStandby = true }, []string{doctor.DatabaseStandby}},
		"lost": {
			func(f *doctor.DatabaseFacts) { f.Slots[0].Status = "lost" },
			[]string{doctor.DatabaseSlotLost},
		},
		"nearly lost": {
			func(f *doctor.DatabaseFacts) { f.Slots[0].Status = "unreserved" }, []string{doctor.DatabaseSlotLost},
		},
		"being created": {
			func(f *doctor.DatabaseFacts) { f.Slots[0].IsUnfinished = true }, []string{doctor.DatabaseSlot},
		},
		"behind": {func(f *doctor.DatabaseFacts) { f.Slots[0].Held = 2 << 30 }, []string{doctor.DatabaseSlotBehind}},
		"all senders in use, one of them by ingestion": {func(f *doctor.DatabaseFacts) { f.Senders = 10 }, nil},
		"all senders in use": {
			func(f *doctor.DatabaseFacts) { f.Senders, f.Slots[0].IsActive = 10, false },
			[]string{doctor.DatabaseSendersFull, doctor.DatabaseSlotUnread},
		},
		"all slots in use, one of them by ingestion": {func(f *doctor.DatabaseFacts) { f.MaxSlots = 1 }, nil},
		"all slots in use": {
			func(f *doctor.DatabaseFacts) { f.MaxSlots, f.OwnSlot = 1, "absent" },
			[]string{doctor.DatabaseSlot, doctor.DatabaseSlotsFull},
		},
		"a foreign slot that is read, or holds little": {func(f *doctor.DatabaseFacts) {
			f.Slots = append(f.Slots, doctor.SlotFacts{Name: "a", IsActive: true, Held: 1 << 40},
				doctor.SlotFacts{Name: "b"})
		}, nil},
		"a foreign slot": {func(f *doctor.DatabaseFacts) {
			f.Slots = append(f.Slots, doctor.SlotFacts{Name: "a'b", Held: 1 << 40})
		}, []string{doctor.DatabaseForeignSlot}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			facts := healthy
			facts.Slots = slices.Clone(healthy.Slots)
			c.change(&facts)
			found, _ := judged(t, func(r *doctor.Recorder) { doctor.JudgeDatabase(r, facts) })
			require.Equal(t, c.want, keys(found))
		})
	}
	facts := healthy
	facts.Database = "other"
	found, notLooked := judged(t, func(r *doctor.Recorder) { doctor.JudgeDatabase(r, facts) })
	require.Empty(t, found)
	require.Contains(t, notLooked, doctor.DatabaseSlotUnread, "the slot is another's")
}

func TestJudgeClocks_BlamesTheClockThatIsAlone(t *testing.T) {
	t.Parallel()
	read := func(database, nats, stripe time.Duration) []doctor.ClockReading {
		return []doctor.ClockReading{
			{ID: doctor.ClocksDatabase, Name: "the database server", Ahead: database},
			{ID: doctor.ClocksNATS, Name: "the NATS server", Ahead: nats},
			{ID: doctor.ClocksStripe, Name: "Stripe", Ahead: stripe},
		}
	}
	for name, c := range map[string]struct {
		readings []doctor.ClockReading
		want     map[string]string
	}{
		"equal": {read(time.Second, -time.Second, 2*time.Second), map[string]string{}},
		"this machine": {read(-time.Hour, -time.Hour, time.Second-time.Hour), map[string]string{
			doctor.ClocksHost: "the clock of this machine is 1h0m0s ahead of those of the database server, the NATS server and Stripe",
		}},
		"one": {read(0, 6*time.Second, 0), map[string]string{
			doctor.ClocksNATS: "the clock of the NATS server is 6s ahead of that of this machine",
		}},
		"one of one": {read(0, 0, -time.Minute)[2:], map[string]string{
			doctor.ClocksStripe: "the clock of Stripe is 1m0s behind that of this machine",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, _ := judged(t, func(r *doctor.Recorder) { doctor.JudgeClocks(r, c.readings) })
			require.Equal(t, c.want, found)
		})
	}
	_, notLooked := judged(t, func(r *doctor.Recorder) { doctor.JudgeClocks(r, nil) })
	require.Contains(t, notLooked, doctor.ClocksHost)
	_, notLooked = judged(t, func(r *doctor.Recorder) { doctor.JudgeClocks(r, read(0, 0, -time.Minute)[2:]) })
	require.Contains(t, notLooked[doctor.ClocksHost], "no third clock", "either of two clocks may be wrong")
	_, notLooked = judged(t, func(r *doctor.Recorder) { doctor.JudgeClocks(r, read(0, 0, 0)[2:]) })
	require.NotContains(t, notLooked, doctor.ClocksHost)
}

func TestJudgeNATS_FindsOldVersionsAndMissingReplicas(t *testing.T) {
	t.Parallel()
	for version, want := range map[string][]string{
		"2.14.0": nil, "2.15.2": nil, "3.0.0-beta.1": nil, "2.9.22": {doctor.NATSVersion},
		"1.4.1": {doctor.NATSVersion},
	} {
		found, _ := judged(t, func(r *doctor.Recorder) { doctor.JudgeNATSVersion(r, version) })
		require.Equal(t, want, keys(found), version)
	}
	_, notLooked := judged(t, func(r *doctor.Recorder) { doctor.JudgeNATSVersion(r, "main") })
	require.Contains(t, notLooked, doctor.NATSVersion)

	found, _ := judged(t, func(r *doctor.Recorder) { doctor.JudgeReplicas(r, true, 1) })
	require.Equal(t, []string{doctor.NATSReplicas}, keys(found))
	found, _ = judged(t, func(r *doctor.Recorder) {
		doctor.JudgeReplicas(r, true, 3)
		doctor.JudgeReplicas(r, false, 1)
		doctor.JudgeStream(r, "SYNC", nil)
		doctor.JudgeStream(r, "SYNC", &jetstream.ClusterInfo{
			Leader:   "n1",
			Replicas: []*jetstream.PeerInfo{{Current: true}},
		})
	})
	require.Empty(t, found)
	for want, info := range map[string]jetstream.ClusterInfo{
		"stream SYNC has no leader": {},
		"the replica of stream SYNC on server n2 is offline": {
			Leader:   "n1",
			Replicas: []*jetstream.PeerInfo{{Name: "n2", Offline: true}},
		},
		"the replica of stream SYNC on server n2 is 7 operations behind": {
			Leader: "n1", Replicas: []*jetstream.PeerInfo{{Name: "n2", Lag: 7}},
		},
	} {
		found, _ := judged(t, func(r *doctor.Recorder) { doctor.JudgeStream(r, "SYNC", &info) })
		require.Equal(t, map[string]string{doctor.NATSCluster: want}, found)
	}
}

func TestSubjectRights_Lacking(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rights *doctor.SubjectRights
		needed string
		lacks  bool
	}{
		"everything is allowed":    {nil, "a.b", false},
		"no list allows all":       {&doctor.SubjectRights{}, "a.>", false},
		"the same":                 {&doctor.SubjectRights{Allow: []string{"a.*"}}, "a.*", false},
		"more":                     {&doctor.SubjectRights{Allow: []string{"a.>"}}, "a.*.c", false},
		"one token for the rest":   {&doctor.SubjectRights{Allow: []string{"a.*"}}, "a.>", true},
		"one subject for all":      {&doctor.SubjectRights{Allow: []string{"a.b"}}, "a.*", true},
		"another":                  {&doctor.SubjectRights{Allow: []string{"b.>"}}, "a.b", true},
		"shorter":                  {&doctor.SubjectRights{Allow: []string{"a.b.c"}}, "a.b", true},
		"denied":                   {&doctor.SubjectRights{Deny: []string{"a.>"}}, "a.b", true},
		"a part of it is denied":   {&doctor.SubjectRights{Deny: []string{"a.b"}}, "a.*", true},
		"something else is denied": {&doctor.SubjectRights{Deny: []string{"b.>"}}, "a.*", false},
	} {
		lacking := c.rights.Lacking([]string{c.needed})
		require.Equal(t, c.lacks, len(lacking) == 1, name)
	}
}

func TestJudgeDeliveries_WaitsForRetries(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	waiting := []doctor.Delivery{{Event: "evt_1", Type: "price.created", Created: now.Add(-9 * time.Minute)}}
	judge := func(read int, waiting []doctor.Delivery) (found, notLooked map[string]string) {
		d := doctor.Deliveries{At: now, Read: read, Waiting: waiting, Latest: now.Add(-time.Hour)}
		return judged(t, func(r *doctor.Recorder) { doctor.JudgeDeliveries(r, d, 10*time.Minute) })
	}
	found, _ := judge(5, waiting)
	require.Empty(t, found)
	late := doctor.Delivery{Event: "evt_2", Type: "price.updated", Created: now.Add(-11 * time.Minute)}
	found, _ = judge(5, append(waiting, late))
	require.Equal(t, "1 of the latest 5 events about products and prices have not reached every webhook endpoint; "+
		"event evt_2 (price.updated) waits since 2026-11-27T08:49:00Z; "+
		"the latest that was delivered is of 2026-11-27T08:00:00Z", found[doctor.StripeWebhookDelivery],
		"the text is shown for hours")
	_, notLooked := judge(0, nil)
	require.Contains(t, notLooked, doctor.StripeWebhookDelivery)
}

func TestJudgeConsumers_DoesNotTakeABusyServiceForAMissingOne(t *testing.T) {
	t.Parallel()
	judge := func(c doctor.ConsumerFacts) (found, notLooked map[string]string) {
		c.Service, c.Name = "push", "push-live-default"
		return judged(t, func(r *doctor.Recorder) { doctor.JudgeConsumers(r, []doctor.ConsumerFacts{c}, nil) })
	}
	for _, c := range []doctor.ConsumerFacts{{IsAsking: true}, {HasMoved: true}, {IsAsking: true, IsPaused: true}} {
		found, notLooked := judge(c)
		require.NotContains(t, found, doctor.ServicesRunning)
		require.NotContains(t, notLooked, doctor.ServicesRunning)
	}
	for _, c := range []doctor.ConsumerFacts{{InFlight: 3}, {IsPaused: true}} {
		found, notLooked := judge(c)
		require.NotContains(t, found, doctor.ServicesRunning)
		require.Contains(t, notLooked, doctor.ServicesRunning)
	}
	found, _ := judge(doctor.ConsumerFacts{Pending: 3})
	require.Equal(t, "no process of push asks for messages of push-live-default; 3 wait", found[doctor.ServicesRunning])
}
