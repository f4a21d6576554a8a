package push_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/local/localnodes"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/push"
)

const (
	// outage is how long a node is down: longer than a cluster takes to elect other leaders.
	outage = 11 * time.Second
	// changeInterval is the time between two changes. Changes without a pause would keep all cores busy, and prove no
	// more.
	changeInterval = 50 * time.Millisecond
	// longestWait bounds how long a change waits. An election takes up to 9 s, and this machine may be busy.
	longestWait = 30 * time.Second
)

// TestRun_LosesNothingWithOneOfThreeNATSNodes kills and freezes each node under a stream of changes.
func TestRun_LosesNothingWithOneOfThreeNATSNodes(t *testing.T) {
	if testing.Short() || strict {
		t.Skip("elections of leaders take minutes in all, and do not depend on Stripe")
	}
	nodes, err := localnodes.Start(t.Context(), t.TempDir(), "", localnodes.Recommended)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, nodes.Close()) })
	r := newRigOn(t, nodes.URL(), localnodes.Size, false)
	log := &lines{}
	for range 2 {
		cfg := r.config(key)
		cfg.Limits = budget.Limits{PerSecond: 100, PerEndpoint: 100}
		cfg.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		cfg.NATS.Logger = cfg.Logger
		r.run(func(ctx context.Context) error { return push.Run(ctx, cfg) })
	}
	s := &stream{r: r}
	require.NoError(t, s.change(t.Context()))
	end := make(chan struct{})
	changes := make(chan error, 1)
	go func() { changes <- s.until(t.Context(), end) }()
	for i := range localnodes.Size {
		kill := func() error { nodes.Kill(i); return nil }
		start := func() error { return nodes.StartNode(i) }
		s.phase(t, nodes, fmt.Sprintf("node %d killed", i), kill, start)
		freeze := func() error { return nodes.Freeze(i) }
		thaw := func() error { return nodes.Thaw(i) }
		s.phase(t, nodes, fmt.Sprintf("node %d frozen", i), freeze, thaw)
	}
	close(end)
	require.NoError(t, <-changes)
	r.nothingInFlight()

	// Each change was applied, and none twice.
	require.Equal(t, s.version, r.observed("mug").GetVersion())
	active, archived := r.prices("mug")
	require.Equal(t, 1, active)
	require.Zero(t, archived)
	require.LessOrEqual(t, r.calls()["POST /v1/products/{id}"], int(s.version)-1)
	applied := r.applications("mug")
	require.NotEmpty(t, applied)
	for version, n := range applied {
		require.Equal(t, 1, n, "version %d was applied more than once", version)
	}
	// There are two processes and six losses of a node.
	text := log.String()
	require.LessOrEqual(t, strings.Count(text, "\n"), 2*2*localnodes.Size, text)
	require.NotContains(t, text, "slow consumer")
}

// stream makes one change after the other, each after a pause and when the previous one is in Stripe.
type stream struct {
	r       *rig
	version uint64

	mu      sync.Mutex
	longest time.Duration
}

func (s *stream) until(ctx context.Context, end <-chan struct{}) error {
	next := time.NewTicker(changeInterval)
	defer next.Stop()
	for {
		select {
		case <-end:
			return nil
		case <-next.C:
		}
		if err := s.change(ctx); err != nil {
			return err
		}
	}
}

// change makes the next change, and waits until it is in Stripe.
func (s *stream) change(ctx context.Context) error {
	s.version++
	p := mug(fmt.Sprintf("Mug %d", s.version), "1400")
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, longestWait)
	defer cancel()
	if err := s.r.mesh.Publish(ctx, topology.CatalogSubject("default", topology.Live, "mug"), &catalogv1.ProductChange{
		Account:   "default",
		ProductId: "mug",
		Version:   s.version,
		Operation: catalogv1.Operation_OPERATION_UPSERT,
		Product:   p,
	}, mesh.WithVersion(s.version)); err != nil {
		return fmt.Errorf("publish change %d: %w", s.version, err)
	}
	poll := time.NewTicker(25 * time.Millisecond)
	defer poll.Stop()
	for {
		held, err := s.r.stripe.Products.Get("mug", &stripe.ProductParams{Params: stripe.Params{Context: ctx}})
		if err == nil && held.Name == p.GetName() {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("change %d is not in Stripe after %s", s.version, longestWait)
		case <-poll.C:
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.longest = max(s.longest, time.Since(began))
	return nil
}

// phase takes a node down and brings it back.
func (s *stream) phase(t *testing.T, nodes *localnodes.Cluster, name string, away, back func() error) {
	t.Helper()
	require.NoError(t, nodes.WaitHealthy(t.Context()))
	s.mu.Lock()
	s.longest = 0
	s.mu.Unlock()
	require.NoError(t, away())
	// The length of the outage is the input, so there is nothing to wait for.
	<-time.After(outage)
	require.NoError(t, back())
	require.NoError(t, nodes.WaitHealthy(t.Context()))
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Logf("%s: the longest wait of a change was %s", name, s.longest.Round(time.Millisecond))
	require.Less(t, s.longest, longestWait, name)
}

// nothingInFlight waits until push's consumers are empty.
func (r *rig) nothingInFlight() {
	r.t.Helper()
	var left []mesh.ConsumerStatus
	require.Eventually(r.t, func() bool {
		all, err := r.mesh.Consumers(r.t.Context())
		if err != nil {
			return false
		}
		left = nil
		for _, c := range all {
			ours := c.Consumer == topology.PushLive || c.Consumer == topology.PushBulk ||
				c.Consumer == topology.PushCommand
			if ours && c.Pending+c.InFlight > 0 {
				left = append(left, c)
			}
		}
		return len(left) == 0
	}, longestWait, 50*time.Millisecond, "messages stay in flight")
}

// applications counts a product's outcomes "applied" by version.
func (r *rig) applications(product string) map[uint64]int {
	r.t.Helper()
	s, err := r.mesh.JetStream().Stream(r.t.Context(), topology.StreamSync)
	require.NoError(r.t, err)
	subject := topology.SyncSubject("default", meshv1.OutcomeKind_OUTCOME_KIND_APPLIED, product)
	applied := map[uint64]int{}
	for sequence := uint64(1); ; {
		msg, err := s.GetMsg(r.t.Context(), sequence, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return applied
		}
		require.NoError(r.t, err)
		outcome := &meshv1.Outcome{}
		require.NoError(r.t, proto.Unmarshal(msg.Data, outcome))
		applied[outcome.GetVersion()]++
		sequence = msg.Sequence + 1
	}
}

// lines is a log. It is safe for concurrent use.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
