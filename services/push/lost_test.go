package push_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// ingestionCommand returns the first command that ingestion gets.
func (r *rig) ingestionCommand() *meshv1.Command {
	r.t.Helper()
	ctx, stop := context.WithTimeout(r.t.Context(), patience)
	defer stop()
	var command *meshv1.Command
	require.NoError(r.t,
		mesh.Consume(ctx, r.mesh, mesh.Worker{Service: topology.Ingestion, Consumer: topology.IngestionCommand},
			func(_ context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
				command = msg.Body
				stop()
				return mesh.Ack()
			}))
	return command
}

func TestCommand_RequestsARereadOfAProductThatCatalogLost(t *testing.T) {
	r := newRig(t)
	r.push()
	r.want(mug("Mug", "1400"), 10)
	r.applied("mug", 10)
	stream, err := r.mesh.JetStream().Stream(t.Context(), topology.StreamCatalog)
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context()))
	require.NoError(t, r.admin.EditProduct(t.Context(), "mug", map[string][]string{"name": {"By hand"}}))

	r.commandSync("mug")
	command := r.ingestionCommand()
	require.NotNil(t, command, "ingestion is asked to read the product again")
	require.Equal(t, []string{"mug"}, command.GetBackfill().GetProductIds())
	// The state itself causes no call, because it equals the observed state. The command rereads the product.
	r.want(mug("Mug", "1400"), 11)
	require.Eventually(t, func() bool {
		p, err := r.stripe.Products.Get("mug", nil)
		return err == nil && p.Name == "Mug"
	}, patience, 10*time.Millisecond)
}

func TestCommand_IgnoresAnUnknownProduct(t *testing.T) {
	r := newRig(t)
	r.push()
	r.commandSync("cup")
	require.Eventually(t, func() bool {
		cons, err := r.mesh.JetStream().Consumer(t.Context(), topology.StreamCommand,
			topology.PushCommand.Durable("default"))
		return err == nil && cons.CachedInfo().AckFloor.Stream > 0 && cons.CachedInfo().NumAckPending == 0
	}, patience, 10*time.Millisecond)
	consumer, err := r.mesh.JetStream().Consumer(t.Context(), topology.StreamCommand,
		topology.IngestionCommand.Durable("default"))
	require.NoError(t, err)
	require.Zero(t, consumer.CachedInfo().NumPending)
}

// A product left the tables, and CATALOG has lost it. Ingestion knows that when it has read the tables.
func TestCommand_ArchivesAProductThatLeftAndThatCatalogLost(t *testing.T) {
	r := newRig(t)
	r.push()
	r.want(mug("Mug", "1400"), 10)
	r.applied("mug", 10)
	stream, err := r.mesh.JetStream().Stream(t.Context(), topology.StreamCatalog)
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context()))

	r.command(&meshv1.SyncProduct{ProductId: "mug", Look: true, ArchiveExtra: true})
	command := r.ingestionCommand()
	require.NotNil(t, command, "ingestion is asked, because OBSERVED has a version of the product")
	require.Equal(t, []string{"mug"}, command.GetBackfill().GetProductIds())
	held, err := r.stripe.Products.Get("mug", nil)
	require.NoError(t, err)
	require.True(t, held.Active, "not before the tables were read")
	r.remove("mug", 11)
	require.Eventually(t, func() bool {
		p, err := r.stripe.Products.Get("mug", nil)
		return err == nil && !p.Active
	}, patience, 10*time.Millisecond)
}

// Somebody deleted a product in Stripe, it left the tables, and CATALOG has lost it. Its removal ends the command.
func TestCommand_EndsWithRemovalOfLostProductThatStripeLacks(t *testing.T) {
	r := newRig(t)
	r.push()
	_, err := r.stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.Version = 10
		return nil
	})
	require.NoError(t, err)

	r.commandSync("mug")
	command := r.ingestionCommand()
	require.NotNil(t, command)
	require.Equal(t, []string{"mug"}, command.GetBackfill().GetProductIds())
	r.remove("mug", 11)
	r.applied("mug", 11)
	consumer, err := r.mesh.JetStream().Consumer(t.Context(), topology.StreamCommand,
		topology.PushCommand.Durable("default"))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		info, err := consumer.Info(t.Context())
		return err == nil && info.NumAckPending == 0 && info.NumPending == 0
	}, patience, 10*time.Millisecond)
	require.Positive(t, r.outcomes(meshv1.OutcomeKind_OUTCOME_KIND_APPLIED, "mug"), "which closes a dead letter")
	require.Empty(t, r.calls(), "there is nothing to archive")
}
