package ingestion_test

import (
	"context"
	"regexp"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/telemetry/telemetrytest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// writeBack returns a command to write fields of a product back, based on the state in CATALOG.
func (r *rig) writeBack(product string, edit func(*catalogv1.Product), fields ...string) *meshv1.WriteBack {
	r.t.Helper()
	latest := r.latest(product)
	command := &meshv1.WriteBack{
		ProductId: product,
		Version:   latest.GetVersion(),
		Product:   proto.CloneOf(latest.GetProduct()),
		Fields:    fields,
	}
	edit(command.Product)
	return command
}

// sendCommand publishes a command on COMMAND.
func (r *rig) sendCommand(command *meshv1.WriteBack) {
	r.t.Helper()
	r.sendCommandFrom(r.t.Context(), command)
}

// sendCommandFrom publishes a command in the trace of ctx.
func (r *rig) sendCommandFrom(ctx context.Context, command *meshv1.WriteBack) {
	r.t.Helper()
	require.NoError(r.t,
		r.mesh.Publish(ctx,
			topology.CommandSubject(topology.Ingestion, "default", topology.VerbWriteBack, command.GetProductId()),
			&meshv1.Command{
				Account: "default", Issuer: topology.Reconciliation, Reason: "test",
				Verb: &meshv1.Command_WriteBack{WriteBack: command},
			}))
}

// waitCommands waits until every command is carried out.
func (r *rig) waitCommands() {
	r.t.Helper()
	stream, err := r.mesh.JetStream().Stream(r.t.Context(), topology.StreamCommand)
	require.NoError(r.t, err)
	r.eventually("the commands are carried out", func() bool {
		info, err := stream.Info(r.t.Context())
		return err == nil && info.State.Msgs == 0
	})
}

// versions returns the number of a product's states that CATALOG received.
func (r *rig) versions(product string) (n uint64) {
	r.t.Helper()
	stream, err := r.mesh.JetStream().Stream(r.t.Context(), topology.StreamCatalog)
	require.NoError(r.t, err)
	info, err := stream.Info(r.t.Context(), jetstream.WithSubjectFilter("catalog.*.*."+topology.Token(product)))
	require.NoError(r.t, err)
	for _, messages := range info.State.Subjects {
		n += messages
	}
	return n
}

func TestWriteBack_MakesOneVersionInSameTrace(t *testing.T) {
	recorder := telemetrytest.Start(t)
	r := newRig(t)
	r.start()
	r.exec(`INSERT INTO driftless.products (id, name, metadata) VALUES ('mug', 'Mug', '{"sku": "M1"}')`)
	r.exec(`INSERT INTO driftless.prices (id, product, currency, unit_amount) VALUES ('mug-eur', 'mug', 'eur', 1400)`)
	r.waitCaptured()
	before := r.versions("mug")

	ctx, span := otel.Tracer("test").Start(t.Context(), "decide")
	command := r.writeBack("mug", func(p *catalogv1.Product) {
		p.Description, p.Metadata["color"], p.Prices[0].Nickname = "Blue", "blue", "Euro"
	}, "description", "metadata.color", "prices.mug-eur.nickname")
	r.sendCommandFrom(ctx, command)
	span.End()
	r.waitCommands()
	r.waitCaptured()
	latest := r.latest("mug")
	require.True(t, proto.Equal(command.GetProduct(), latest.GetProduct()), "%v", latest.GetProduct())
	require.Greater(t, latest.GetVersion(), command.GetVersion())
	require.Equal(t, catalogv1.Source_SOURCE_WAL, latest.GetSource())
	require.Equal(t, topology.Reconciliation, latest.GetActor())
	require.Equal(t, before+1, r.versions("mug"), "one transaction")
	require.Nil(t, r.dead("mug"))

	r.eventually("one trace", func() bool {
		tree, err := telemetrytest.Tree(recorder.Trace(span.SpanContext().TraceID()), [8]byte{})
		return err == nil &&
			regexp.MustCompile(`(?s)decide\n +send command\S*\n.*write back\n +capture\n.*send catalog`).MatchString(
				tree)
	})

	// The command comes again, as after a crash between commit and acknowledgement. The change may be captured by then
	// or not.
	r.sendCommand(command)
	command.Version = latest.GetVersion()
	r.sendCommand(command)
	r.waitCommands()
	r.waitCaptured()
	require.Equal(t, before+1, r.versions("mug"), "a repeated command writes nothing")
	require.Nil(t, r.dead("mug"))
}

func TestWriteBack_RequiresLatestVersion(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.exec(`INSERT INTO driftless.products (id, name) VALUES ('mug', 'Mug')`)
	r.waitCaptured()
	command := r.writeBack("mug", func(p *catalogv1.Product) { p.Description = "Blue" }, "description")

	// The product is equal to the earlier state, but it is not the version that the command rests on.
	r.exec(`UPDATE driftless.products SET name = 'Cup' WHERE id = 'mug'`)
	r.exec(`UPDATE driftless.products SET name = 'Mug' WHERE id = 'mug'`)
	r.waitCaptured()
	r.sendCommand(command)
	r.waitCommands()
	r.waitCaptured()
	require.Empty(t, r.latest("mug").GetProduct().GetDescription())

	r.sendCommand(r.writeBack("mug", func(p *catalogv1.Product) { p.Description = "Blue" }, "description"))
	r.waitCommands()
	r.waitCaptured()
	require.Equal(t, "Blue", r.latest("mug").GetProduct().GetDescription())

	// A product that left the catalog is not written.
	command = r.writeBack("mug", func(p *catalogv1.Product) { p.Description = "Green" }, "description")
	r.exec(`DELETE FROM driftless.products`)
	r.waitCaptured()
	r.sendCommand(command)
	command = proto.CloneOf(command)
	command.Version = r.latest("mug").GetVersion()
	r.sendCommand(command)
	r.waitCommands()
	require.Equal(t, catalogv1.Operation_OPERATION_DELETE, r.latest("mug").GetOperation())
	require.Nil(t, r.dead("mug"))
}

func TestWriteBack_ImportsProduct(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	command := &meshv1.WriteBack{ProductId: "prod_1", Import: true, Product: &catalogv1.Product{
		Id: "prod_1", Active: new(true), Name: "Plate",
		Prices: []*catalogv1.Price{{Id: "plate", Active: new(true), Currency: "eur", UnitAmount: "900"}},
	}}
	r.sendCommand(command)
	r.waitCommands()
	r.waitCaptured()
	require.True(t, proto.Equal(command.GetProduct(), r.latest("prod_1").GetProduct()), "%v", r.latest("prod_1"))

	command = proto.CloneOf(command)
	command.Product.Name = "Another"
	r.sendCommand(command)
	command = proto.CloneOf(command)
	command.Version = r.latest("prod_1").GetVersion()
	r.sendCommand(command)
	r.waitCommands()
	r.waitCaptured()
	require.Equal(t, "Plate", r.latest("prod_1").GetProduct().GetName(), "the catalog has it")
	require.Nil(t, r.dead("prod_1"))
}

func TestWriteBack_FailureBecomesDeadLetter(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.start()
	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	r.waitCaptured()
	command := r.writeBack("mug", func(p *catalogv1.Product) { p.Name = "Cup" }, "name")
	r.sendCommand(command)
	r.waitCommands()
	letter := r.dead("mug")
	require.Equal(t, topology.ReasonWriteBackFailed, letter.GetReason())
	require.Equal(t, command.GetVersion(), letter.GetVersion())
	require.Equal(t, "name", letter.GetField())
	require.Contains(t, letter.GetMessage(), "set catalog.write_back.product")
	require.NotEmpty(t, letter.GetPayload())

	r.stop()
	r.cfg.Mapping.WriteBack.Product = `UPDATE items SET name = @name WHERE id = @id`
	r.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'ask the copy desk'; END $$`)
	r.exec(`CREATE TRIGGER refuse BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION refuse()`)
	r.start()
	r.sendCommand(command)
	r.waitCommands()
	require.Contains(t, r.dead("mug").GetMessage(),
		"catalog.write_back.product is refused by Postgres: ask the copy desk")

	r.exec(`DROP TRIGGER refuse ON items`)
	r.sendCommand(command)
	r.waitCommands()
	r.waitCaptured()
	require.Equal(t, "Cup", r.latest("mug").GetProduct().GetName())

	r.sendCommand(&meshv1.WriteBack{ProductId: "mug", Version: r.latest("mug").GetVersion()})
	r.waitCommands()
	require.Equal(t, topology.ReasonUndecodable, r.dead("mug").GetReason())
}

func TestRun_RefusesWrongWriteBackStatement(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT id, name FROM items`)
	r.cfg.Mapping.WriteBack = config.WriteBack{Product: `UPDATE items SET name = @names WHERE id = @id`}
	require.ErrorContains(t, r.run(), "catalog.write_back.product uses @names")
	require.Zero(t, r.slots(), "an unused slot would keep the log")
}

func TestWriteBack_WaitsForDatabase(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.exec(`INSERT INTO driftless.products (id, name) VALUES ('mug', 'Mug')`)
	r.waitCaptured()
	command := r.writeBack("mug", func(p *catalogv1.Product) { p.Description = "Blue" }, "description")
	// The session that writes is ended in the middle, twice.
	r.exec(`CREATE SEQUENCE breaks`)
	r.exec(`CREATE FUNCTION sever() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF nextval('breaks') <= 2 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NEW; END $$`)
	r.exec(`CREATE TRIGGER sever BEFORE UPDATE ON driftless.products FOR EACH ROW EXECUTE FUNCTION sever()`)
	r.sendCommand(command)
	r.waitCommands()
	r.waitCaptured()
	require.Equal(t, "Blue", r.latest("mug").GetProduct().GetDescription())
	require.Nil(t, r.dead("mug"))
	var breaks int
	require.NoError(t, r.pool.QueryRow(t.Context(), `SELECT last_value FROM breaks`).Scan(&breaks))
	require.Equal(t, 3, breaks)
}
