package ingestion_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/httpserver"
	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/mesh"
)

// waiting is how many replicas wait for orders.
func (r *rig) waiting() (n int) {
	r.t.Helper()
	stream, err := r.mesh.JetStream().Stream(r.t.Context(), mesh.StreamCommand)
	require.NoError(r.t, err)
	consumers := stream.ListConsumers(r.t.Context())
	for info := range consumers.Info() {
		of := func(filter string) bool { return strings.HasPrefix(filter, "command.ingestion.") }
		if of(info.Config.FilterSubject) || slices.ContainsFunc(info.Config.FilterSubjects, of) {
			n += info.NumWaiting
		}
	}
	require.NoError(r.t, consumers.Err())
	return n
}

// A replica that waits for the slot does not know how far the log has been captured.
func TestABackfillIsMadeByTheReplicaThatReadsTheLog(t *testing.T) {
	r := newRig(t)
	r.start()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg := r.cfg
	cfg.HTTP = httpserver.Config{Listener: listener}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	var one int
	r.eventually("one takes orders", func() bool {
		before := one
		one = r.waiting()
		return one > 0 && one == before
	})
	go func() { done <- ingestion.Run(ctx, cfg) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	r.eventually("both take orders", func() bool { return r.waiting() == 2*one })

	r.exec(`INSERT INTO driftless.products (id, name) VALUES ('mug', 'Mug')`)
	r.eventually("captured", func() bool { return r.newest("mug").GetProduct().GetName() == "Mug" })
	captured := r.newest("mug").GetVersion()
	for i := range 6 {
		command := &meshv1.Command{Id: fmt.Sprint(i), Account: "default", Verb: &meshv1.Command_Backfill{Backfill: &meshv1.Backfill{ProductIds: []string{"mug"}}}}
		require.NoError(t, r.mesh.Publish(t.Context(), mesh.CommandSubject(mesh.Ingestion, "default", mesh.VerbBackfill, ""), command))
	}
	commands, err := r.mesh.JetStream().Stream(t.Context(), mesh.StreamCommand)
	require.NoError(t, err)
	r.eventually("carried out", func() bool {
		info, err := commands.Info(t.Context(), jetstream.WithSubjectFilter("command.ingestion.>"))
		return err == nil && info.State.Msgs == 0
	})
	require.Equal(t, catalogv1.Source_SOURCE_WAL, r.newest("mug").GetSource(), "CATALOG had it as it is")
	catalog, err := r.mesh.JetStream().Stream(t.Context(), mesh.StreamCatalog)
	require.NoError(t, err)
	info, err := catalog.Info(t.Context())
	require.NoError(t, err)
	for sequence := info.State.FirstSeq; sequence <= info.State.LastSeq; sequence++ {
		msg, err := catalog.GetMsg(t.Context(), sequence)
		require.NoError(t, err)
		if !strings.Contains(msg.Subject, ".bulk.") {
			continue
		}
		version, err := strconv.ParseUint(msg.Header.Get(mesh.VersionHeader), 10, 64)
		require.NoError(t, err)
		require.GreaterOrEqual(t, version, captured)
	}
}
