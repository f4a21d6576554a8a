package view

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

func second(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }

func reported(at int, sequence, version uint64) *meshv1.CaptureReport {
	return &meshv1.CaptureReport{
		At:              timestamppb.New(second(at)),
		CapturedUpTo:    timestamppb.New(second(at)),
		CatalogSequence: sequence,
		Version:         version,
	}
}

// follows adds a report with a later revision than all before.
func (m *capturePoints) follows(r *meshv1.CaptureReport) (back bool) {
	next := uint64(1)
	if n := len(*m); n > 0 {
		next = (*m)[n-1].revision + 1
	}
	return m.add(r, next)
}

func TestCapturePoints_ConvertSequencesToTimes(t *testing.T) {
	var m capturePoints
	require.Zero(t, m.before(7))
	require.False(t, m.follows(&meshv1.CaptureReport{}), "nothing was captured yet")
	require.Empty(t, m)
	for i, r := range []*meshv1.CaptureReport{
		reported(1, 10, 100), reported(2, 10, 100), reported(2, 10, 100),
		reported(3, 15, 200), reported(4, 15, 200),
	} {
		require.False(t, m.follows(r), i)
	}
	require.Zero(t, m.before(10), "message 10 may be of the first second")
	require.Equal(t, second(2), m.before(11))
	require.Equal(t, second(4), m.before(16))
	require.Zero(t, m.beforeVersion(100))
	require.Equal(t, second(2), m.beforeVersion(200))
	require.Equal(t, second(4), m.beforeVersion(201))

	require.True(t, m.follows(reported(5, 1, 300)), "CATALOG was created again")
	require.Equal(t, second(5), m.before(2))
	require.True(t, m.follows(reported(6, 2, 1)), "the database was restored")
	require.True(t, m.follows(reported(1, 3, 2)))
}

func TestCapturePoints_IgnoreLateReports(t *testing.T) {
	var m capturePoints
	earlier, later := reported(1, 10, 100), reported(2, 15, 200)
	require.False(t, m.add(later, 8))
	require.False(t, m.add(earlier, 7), "of two concurrent reads, the earlier report is no sign that time went back")
	require.Equal(t, second(2), m.before(16))
	require.True(t, m.add(earlier, 9), "a later report of an earlier time is")
	require.Equal(t, second(1), m.before(16))
	require.False(t, m.add(later, 1), "the bucket was created again")
	require.Equal(t, second(2), m.before(16))
}

func TestCapturePoints_WithoutVersionProveNoVersion(t *testing.T) {
	var m capturePoints
	m.follows(reported(1, 10, 0))
	require.Zero(t, m.beforeVersion(5))
}

func TestCapturePoints_AreBounded(t *testing.T) {
	var m capturePoints
	for i := range 3 * maxPoints {
		m.follows(reported(i, uint64(i+1), uint64(i+1)))
	}
	require.LessOrEqual(t, len(m), maxPoints)
	require.Equal(t, second(3*maxPoints-1), m.before(3*maxPoints+1), "the latest is kept")
	require.Equal(t, second(3*maxPoints-101), m.before(3*maxPoints-99), "and so are the recent ones")
	require.False(t, m.before(100).After(second(98)), "the older ones are sparse, and never ahead")
}

func TestConvergence_Update(t *testing.T) {
	var m capturePoints
	for i := 1; i <= 10; i++ {
		m.follows(reported(i, uint64(10*i), uint64(100*i)))
	}
	quiet := func(live, bulk uint64) backlog {
		return backlog{oldest: map[string]uint64{"live": live, "bulk": bulk}, delivered: 7}
	}
	c := &convergence{delivered: 7}
	c.update(m, quiet(101, 31))
	require.Empty(t, c.converged, "one update proves nothing")
	c.update(m, quiet(101, 31))
	require.Equal(t, map[string]time.Time{"live": second(10), "bulk": second(3)}, c.converged)

	failing := quiet(101, 101)
	failing.retries = []*meshv1.Retry{{Lane: "bulk", Version: 650, Attempts: 3}, {Lane: "live", Version: 1000}}
	c.update(m, failing)
	c.update(m, failing)
	require.Equal(t, map[string]time.Time{"live": second(10), "bulk": second(6)}, c.converged,
		"what failed was committed later; what the guard holds counts as done")

	before := failing
	before.retries = []*meshv1.Retry{{Lane: "bulk", Version: 50, Attempts: 1}}
	for range 3 {
		c.update(m, before)
	}
	require.Equal(t, second(6), c.converged["bulk"], "what was known stays")

	for name, b := range map[string]backlog{
		"due":                {due: 1, delivered: 7},
		"more than are read": {more: true, delivered: 7},
	} {
		b.oldest = quiet(101, 101).oldest
		for range 3 {
			c.update(m, b)
		}
		require.Equal(t, second(6), c.converged["bulk"], name)
	}

	c.update(m, quiet(101, 101))
	moved := quiet(101, 101)
	moved.delivered++
	c.update(m, moved)
	require.Equal(t, second(6), c.converged["bulk"],
		"a retry was delivered between the updates: it may have been in none of the parts that were read")
	c.update(m, moved)
	require.Equal(t, second(10), c.converged["bulk"])

	c.reset()
	require.Empty(t, c.converged)
}

// TestConvergence_IsNeverAhead generates changes that arrive, fail and succeed at random. It checks that the converged
// time never exceeds what is done.
func TestConvergence_IsNeverAhead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type change struct {
			committed time.Time
			version   uint64
			sequence  uint64
			state     string // waiting, retrying, due, done
		}
		var m capturePoints
		var changes []*change
		c := &convergence{}
		delivered := uint64(0)
		for tick := range rapid.IntRange(2, 30).Draw(t, "ticks") {
			for range rapid.IntRange(0, 2).Draw(t, "commits") {
				n := uint64(len(changes) + 1)
				changes = append(changes, &change{
					committed: second(tick),
					version:   n * 10,
					sequence:  n,
					state:     "waiting",
				})
			}
			if n := uint64(len(changes)); rapid.Bool().Draw(t, "report") {
				m.follows(reported(tick, n, n*10))
			}
			var b backlog
			b.oldest = map[string]uint64{"live": uint64(len(changes)) + 1, "bulk": 1}
			for _, x := range slices.Backward(changes) {
				if x.state == "waiting" {
					b.oldest["live"] = x.sequence
				}
				if x.state == "due" {
					b.due++
				}
			}
			b.delivered = delivered
			// Push makes progress between the reads.
			step := func() {
				for _, x := range changes {
					switch to := rapid.SampledFrom([]string{"", "", "done", "retrying", "due"}).Draw(t, "to"); {
					case x.state == "done" || to == "":
					case x.state == "retrying" && to == "due":
						x.state = "due"
					case x.state == "due" && to != "due":
						x.state = to
						delivered++
					case x.state == "waiting" && to != "due":
						x.state = to
					}
				}
			}
			step()
			for _, x := range changes {
				if x.state == "retrying" {
					b.retries = append(b.retries, &meshv1.Retry{Lane: "live", Version: x.version, Attempts: 1})
				}
			}
			c.update(m, b)
			// A report covers the commits before its time.
			for _, x := range changes {
				if x.state != "done" && x.committed.Before(c.converged["live"]) {
					t.Fatalf("tick %d: converged at %s, and the change of %s is %s", tick, c.converged["live"],
						x.committed,
						x.state)
				}
			}
			step()
		}
	})
}
