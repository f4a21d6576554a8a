package reconciliation_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

func TestDesired_IgnoresOlderVersion(t *testing.T) {
	r := controltest.New(t)
	r.Config.GracePeriod = time.Hour
	r.Start()
	r.Observe("mug", "New", 20)
	r.Desire("mug", "New", 20)
	r.Desire("mug", "Old", 10)
	require.Eventually(t, func() bool { return len(r.Kinds("mug")) == 2 }, controltest.Patience, 10*time.Millisecond)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
}

func TestDrift_RepairsDifferenceAfterGracePeriod(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	r.AckCatalog()
	r.Observe("mug", "Mug", 10)
	r.Desire("mug", "Mug", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.Observe("mug", "Renamed by hand", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_DRIFTED)

	commands := r.Commands("mug")
	require.Eventually(t, func() bool { return commands.Load() == 1 }, controltest.Patience, 10*time.Millisecond)
	// The next command comes after half a minute, the one after that a minute later.
	r.Clock.Advance(31 * time.Second)
	require.Eventually(t, func() bool { return commands.Load() == 2 }, controltest.Patience, 10*time.Millisecond)
	r.Clock.Advance(31 * time.Second)
	localtest.Holds(t, 5*controltest.Grace, func() bool { return commands.Load() <= 2 }, "no third command")
	r.Clock.Advance(31 * time.Second)
	require.Eventually(t, func() bool { return commands.Load() == 3 }, controltest.Patience, 10*time.Millisecond)

	r.Observe("mug", "Mug", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	require.Eventually(t, func() bool {
		kinds := r.Kinds("mug")
		return strings.Contains(strings.Join(kinds, " "), "repaired") && strings.Contains(strings.Join(kinds, " "),
			"drifted")
	}, controltest.Patience, 20*time.Millisecond)
}

func TestDrift_ExcludesProductsAheadOfPush(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	r.Desire("mug", "Mug", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_PENDING)
	localtest.Holds(t, 4*controltest.Grace,
		func() bool { return r.State("mug") == controlv1.ProductState_PRODUCT_STATE_PENDING },
		"pending")
	r.AckCatalog()
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_DRIFTED)
}

func TestDrift_FindsAppliedProductsDespiteBacklog(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- mesh.Consume(ctx, r.Mesh, mesh.Worker{Service: topology.Push, Consumer: topology.PushLive},
			func(_ context.Context, msg mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
				if msg.Body.GetProductId() == "refused" {
					return mesh.RetryIn(time.Hour, nil)
				}
				return mesh.Ack()
			})
	}()
	t.Cleanup(func() { cancel(); <-done })
	for i, id := range []string{"mug", "refused", "cup"} {
		r.Desire(id, "A", uint64(i+1))
	}
	r.Observe("plate", "A", 4)
	r.Desire("plate", "A", 4)
	r.Eventually("plate", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.Observe("plate", "Renamed by hand", 4)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_DRIFTED)
	r.Eventually("plate", controlv1.ProductState_PRODUCT_STATE_DRIFTED)
	localtest.Holds(t, 3*controltest.Grace, func() bool {
		return r.State("refused") == controlv1.ProductState_PRODUCT_STATE_PENDING &&
			r.State("cup") == controlv1.ProductState_PRODUCT_STATE_PENDING
	}, "push may still be about to apply them")
}

func TestDrift_ExcludesProductsWithRetry(t *testing.T) {
	r := controltest.New(t)
	later := func(delay time.Duration) {
		require.NoError(t,
			r.Mesh.RetryLater(t.Context(), topology.Push,
				&meshv1.Retry{Account: "default", ProductId: "mug", Version: 10}, delay))
	}
	later(time.Hour)
	r.Start()
	r.AckCatalog()
	r.Desire("mug", "Mug", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_PENDING)
	localtest.Holds(t, 4*controltest.Grace,
		func() bool { return r.State("mug") == controlv1.ProductState_PRODUCT_STATE_PENDING },
		"pending")
	// The schedule fires, and no push handles the product.
	later(time.Second)
	r.Clock.Advance(time.Minute)
	require.Eventually(t, func() bool {
		retrying, err := r.Mesh.Retrying(t.Context(), topology.Push, "default", "mug")
		return err == nil && !retrying
	}, controltest.Patience, 10*time.Millisecond)
	r.Clock.Advance(time.Minute)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_DRIFTED)
}

func TestDrift_ReportPolicyRepairsNothing(t *testing.T) {
	r := controltest.New(t)
	var err error
	r.Config.Policy, err = catalog.NewPolicy(catalog.Report, nil)
	require.NoError(t, err)
	r.Start()
	r.AckCatalog()
	commands := r.Commands("mug")
	r.Desire("mug", "Mug", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_DRIFTED)
	r.Clock.Advance(time.Hour)
	localtest.Holds(t, 3*controltest.Grace, func() bool { return commands.Load() == 0 }, "no command")
}

func TestObserved_MarksProductOnlyInStripeAsExtra(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	r.Observe("stray", "Stray", 0)
	require.Eventually(t,
		func() bool {
			return controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetOrphans() == 1
		},
		controltest.Patience,
		10*time.Millisecond)
	require.Empty(t, controltest.Ask[controlv1.PlanResponse](r, "Plan", `{}`).GetProducts(), "extras are left alone")
}

func TestDeadLetter_StaysOpenUntilNewerVersion(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	r.AckCatalog()
	r.Desire("mug", "Mug", 10)
	letter := &meshv1.DeadLetter{
		Id:        "l1",
		Service:   topology.Push,
		Account:   "default",
		ProductId: "mug",
		Version:   10,
		Reason:    topology.ReasonRefused,
		Message:   "no such tax code",
		LastAt:    timestamppb.Now(),
	}
	require.NoError(t, r.Mesh.DeadLetter(t.Context(), letter))
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_DEAD)
	letters := controltest.Ask[controlv1.ListDeadLettersResponse](r, "ListDeadLetters", `{}`).GetDeadLetters()
	require.Len(t, letters, 1)
	require.Equal(t, "no such tax code", letters[0].GetMessage())
	localtest.Holds(t, 3*controltest.Grace,
		func() bool { return r.State("mug") == controlv1.ProductState_PRODUCT_STATE_DEAD },
		"the dead do not drift")

	r.Observe("mug", "Better", 11)
	r.Desire("mug", "Better", 11)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	require.Empty(t, controltest.Ask[controlv1.ListDeadLettersResponse](r, "ListDeadLetters", `{}`).GetDeadLetters())
}

func TestDeadLetter_WithoutVersionStaysOpenUntilSync(t *testing.T) {
	r := controltest.New(t)
	r.Config.GracePeriod = time.Hour
	r.Start()
	r.AckCatalog()
	for _, id := range []string{"mug", "cup"} {
		r.Desire(id, "A", 10)
		r.Observe(id, "A", 10)
		r.Eventually(id, controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
		require.NoError(t,
			r.Mesh.DeadLetter(t.Context(), &meshv1.DeadLetter{
				Service:   topology.Pull,
				Account:   "default",
				ProductId: id,
				Reason:    topology.ReasonUndecodable,
			}))
		r.Eventually(id, controlv1.ProductState_PRODUCT_STATE_DEAD)
	}
	kind := meshv1.OutcomeKind_OUTCOME_KIND_APPLIED
	require.NoError(t,
		r.Mesh.Publish(t.Context(), topology.SyncSubject("default", kind,
			"mug"), &meshv1.Outcome{Id: "o1", Account: "default", ProductId: "mug", Kind: kind, At: timestamppb.Now()}))
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	require.Len(t, controltest.Ask[controlv1.ListDeadLettersResponse](r, "ListDeadLetters", `{}`).GetDeadLetters(), 1)

	controltest.Ask[controlv1.SyncProductsResponse](r, "SyncProducts", `{"product_ids":["cup"],"look":true}`)
	require.Equal(t, controlv1.ProductState_PRODUCT_STATE_IN_SYNC, r.State("cup"))
	require.Empty(t, controltest.Ask[controlv1.ListDeadLettersResponse](r, "ListDeadLetters", `{}`).GetDeadLetters())
	require.Equal(t, []string{"ordered", "dead", "catalog_change"}, r.Kinds("cup"))
}

func TestRun_RestartKeepsStateWithoutDuplicates(t *testing.T) {
	r := controltest.New(t)
	r.Config.GracePeriod = time.Hour
	stop := r.Start()
	r.Desire("a", "A", 1)
	r.Eventually("a", controlv1.ProductState_PRODUCT_STATE_PENDING)
	stop()
	r.Desire("b", "B", 2)
	r.Observe("a", "A", 1)
	r.Start()
	r.Eventually("a", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.Eventually("b", controlv1.ProductState_PRODUCT_STATE_PENDING)
	require.Equal(t, []string{"catalog_change"}, r.Kinds("a"))
}

func TestRun_FollowsRecreatedStreams(t *testing.T) {
	r := controltest.New(t)
	r.Config.GracePeriod = time.Hour
	stop := r.Start()
	for _, name := range []string{"A", "B", "Mug"} {
		r.Observe("mug", name, 10)
	}
	r.Desire("mug", "Mug", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	stop()

	r.EmptyNATS()
	r.Start()
	r.Observe("mug", "Renamed by hand", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_DRIFTED)
	r.Desire("mug", "Renamed by hand", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	require.Equal(t, []string{"catalog_change", "catalog_change"},
		slices.DeleteFunc(r.Kinds("mug"), func(kind string) bool { return kind != "catalog_change" }))
}

func TestRun_IgnoresOtherAccounts(t *testing.T) {
	r := controltest.New(t)
	r.Config.Account = "renamed"
	require.NoError(t, topology.Apply(t.Context(), r.Mesh.JetStream(), topology.Options{Accounts: []string{"renamed"}}))
	r.Desire("mug", "Mug", 10)
	r.Observe("mug", "Mug", 9)
	now := timestamppb.Now()
	require.NoError(t,
		r.Mesh.Publish(t.Context(), topology.StripeSubject("default",
			"mug"), &meshv1.StripeChange{Account: "default", ProductId: "mug", EventId: "evt_1", ReceivedAt: now}))
	kind := meshv1.OutcomeKind_OUTCOME_KIND_APPLIED
	require.NoError(t,
		r.Mesh.Publish(t.Context(), topology.SyncSubject("default", kind,
			"mug"), &meshv1.Outcome{Id: "o1", Account: "default", ProductId: "mug", Kind: kind, At: now}))
	require.NoError(t,
		r.Mesh.DeadLetter(t.Context(), &meshv1.DeadLetter{
			Service:   topology.Push,
			Account:   "default",
			ProductId: "mug",
			Version:   10,
			Reason:    topology.ReasonRefused,
		}))
	r.Start()
	require.Eventually(t, func() bool {
		for _, c := range controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetConsumers() {
			if c.GetConsumer() == "reconciliation" && c.GetPending()+c.GetInFlight() > 0 {
				return false
			}
		}
		return true
	}, controltest.Patience, 10*time.Millisecond)
	require.Empty(t, r.Kinds("mug"))
	require.Equal(t, controlv1.ProductState_PRODUCT_STATE_UNSPECIFIED, r.State("mug"))
	require.Empty(t, controltest.Ask[controlv1.ListDeadLettersResponse](r, "ListDeadLetters", `{}`).GetDeadLetters())
}

func TestRun_SharesWorkBetweenReplicas(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	r.Start()
	r.AckCatalog()
	commands := r.Commands("p7")
	for i := range 50 {
		r.Desire(fmt.Sprintf("p%d", i), "P", uint64(i+1))
	}
	for i := range 50 {
		r.Eventually(fmt.Sprintf("p%d", i), controlv1.ProductState_PRODUCT_STATE_DRIFTED)
	}
	require.Eventually(t, func() bool { return commands.Load() == 1 }, controltest.Patience, 10*time.Millisecond)
	localtest.Holds(t, 2*controltest.Grace, func() bool { return commands.Load() <= 1 }, "one command for all replicas")
}

func TestScheduleScans_CommandsOneScanForAllReplicas(t *testing.T) {
	r := controltest.New(t)
	r.Config.ScanInterval = time.Hour
	stop := r.Start()
	r.Start()
	subject := topology.CommandSubject(topology.Pull, "default", topology.VerbScan, "")
	commands, err := r.Mesh.JetStream().Stream(t.Context(), topology.StreamCommand)
	require.NoError(t, err)
	scans := func() uint64 {
		info, err := commands.Info(t.Context(), jetstream.WithSubjectFilter(subject))
		require.NoError(t, err)
		return info.State.Subjects[subject]
	}
	require.Eventually(t, func() bool { return scans() == 1 }, controltest.Patience, 10*time.Millisecond)
	stop()
	stop = r.Start()
	localtest.Holds(t, 2*controltest.Grace, func() bool { return scans() == 1 },
		"one command for all replicas and restarts")
	require.NoError(t,
		r.Stores.Record(topology.KeyScan, "default").Put(t.Context(),
			&meshv1.ScanReport{StartedAt: timestamppb.New(time.Now().Add(-2 * time.Hour))}))
	stop()
	r.Start()
	require.Eventually(t, func() bool { return scans() == 2 }, controltest.Patience, 10*time.Millisecond,
		"the scan after that one")
}

func TestRun_FailsWithBadSettings(t *testing.T) {
	r := controltest.New(t)
	cfg := r.Config
	cfg.LedgerURL = "postgres://someone:hidden@127.0.0.1:1/x"
	err := reconciliation.Run(t.Context(), cfg)
	require.ErrorContains(t, err, "cannot reach the database")
	require.NotContains(t, err.Error(), "hidden")
	cfg.LedgerURL = ""
	require.ErrorContains(t, reconciliation.Run(t.Context(), cfg), "LEDGER_DATABASE_URL")
}

func TestOutcome_AdoptionRemovesExtra(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	orphans := func() uint64 { return controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetOrphans() }
	for _, id := range []string{"prod_1", "prod_2", "prod_3"} {
		r.Observe(id, "Mug", 0)
	}
	r.Desire("mug", "Mug", 1)
	require.Eventually(t, func() bool { return orphans() == 3 }, controltest.Patience, 10*time.Millisecond)

	// The same order as in push: store the link, store the record under the catalog's id, delete the other, publish the
	// outcome.
	require.NoError(t, r.Stores.Links().Put(t.Context(), "default", "prod_1", "mug"))
	_, err := r.Stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.StripeId, o.Version = "prod_1", 1
		o.Product = &catalogv1.Product{
			Id:       "prod_1",
			Name:     "Mug",
			Metadata: map[string]string{"driftless_product": "mug"},
		}
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, r.Stores.Observed().Forget(t.Context(), "default", "prod_1"))
	outcome := &meshv1.Outcome{
		Id:        "adopted:1",
		Account:   "default",
		ProductId: "mug",
		StripeId:  "prod_1",
		Kind:      meshv1.OutcomeKind_OUTCOME_KIND_ADOPTED,
		Actor:     "ann",
		Reason:    "found in Stripe",
		At:        timestamppb.Now(),
	}
	require.NoError(t, r.Mesh.Publish(t.Context(), topology.SyncSubject("default", outcome.GetKind(), "mug"), outcome))
	require.Eventually(t,
		func() bool { return orphans() == 2 && r.State("mug") == controlv1.ProductState_PRODUCT_STATE_IN_SYNC },
		controltest.Patience, 10*time.Millisecond)
	require.Contains(t, r.Kinds("mug"), "adopted")
	activity := controltest.Ask[controlv1.ListActivityResponse](r, "ListActivity", `{"latest":20,"actor":"ann"}`)
	require.Len(t, activity.GetEntries(), 1, "who had it adopted finds it")
	require.Equal(t, "adopted", activity.GetEntries()[0].GetEntry().GetKind())
	require.Equal(t, "found in Stripe", activity.GetEntries()[0].GetEntry().GetReason())

	// An observation that was in flight while its product was linked is removed.
	require.NoError(t, r.Stores.Links().Put(t.Context(), "default", "prod_2", "cup"))
	r.Observe("prod_2", "Cup", 0)
	require.Eventually(t, func() bool { return orphans() == 1 }, controltest.Patience, 10*time.Millisecond)
}

func TestRun_EndsIfConnectionIsClosed(t *testing.T) {
	r := controltest.New(t)
	line := localtest.LineTo(t, r.Config.NATS.URL)
	cfg := r.Config
	cfg.NATS.InProcess, cfg.HTTP = line, httpserver.Config{Addr: "127.0.0.1:0"}
	done := make(chan error, 1)
	go func() { done <- reconciliation.Run(t.Context(), cfg) }()
	r.Desire("mug", "Mug", 1)
	require.Eventually(t, func() bool {
		consumers, err := r.Mesh.Consumers(t.Context())
		for _, c := range consumers {
			if c.Consumer == topology.ReconciliationCatalog {
				return err == nil && c.Pending == 0 && c.InFlight == 0
			}
		}
		return false
	}, controltest.Patience, 10*time.Millisecond, "at work")
	line.Abuse(t)
	require.ErrorContains(t, <-done, "the connection to NATS was closed for good")
}
