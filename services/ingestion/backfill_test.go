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

	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// waitingReplicas returns the number of replicas that wait for commands.
func (r *rig) waitingReplicas() (n int) {
	r.t.Helper()
	stream, err := r.mesh.JetStream().Stream(r.t.Context(), topology.StreamCommand)
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

// A standby does not know how far the log is captured.
func TestBackfill_RunsOnLeader(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownTables(`SELECT i.id, i.name, c.name AS description FROM items i JOIN categories c ON c.id = 1`)
	r.exec(`CREATE TABLE categories (id int PRIMARY KEY, name text); INSERT INTO categories VALUES (1, 'Drinks')`)
	r.start()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg := r.cfg
	cfg.HTTP = httpserver.Config{Listener: listener}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	var one int
	r.eventually("one receives commands", func() bool {
		before := one
		one = r.waitingReplicas()
		return one > 0 && one == before
	})
	go func() { done <- ingestion.Run(ctx, cfg) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	r.eventually("both receive commands", func() bool { return r.waitingReplicas() == 2*one })

	r.exec(`INSERT INTO items VALUES ('mug', 'Mug')`)
	r.eventually("captured", func() bool { return r.latest("mug").GetProduct().GetName() == "Mug" })
	captured := r.latest("mug").GetVersion()
	r.exec(`INSERT INTO categories VALUES (2, 'Food')`)
	for i := range 6 {
		// Each one reads another name of the category.
		r.exec(`UPDATE categories SET name = $1 WHERE id = 1`, fmt.Sprint("Drinks ", i))
		require.NoError(t, r.mesh.RequestReread(t.Context(), "default", fmt.Sprint(i), "test", []string{"mug"}, true))
	}
	commands, err := r.mesh.JetStream().Stream(t.Context(), topology.StreamCommand)
	require.NoError(t, err)
	r.eventually("carried out", func() bool {
		info, err := commands.Info(t.Context(), jetstream.WithSubjectFilter("command.ingestion.>"))
		return err == nil && info.State.Msgs == 0
	})
	require.Equal(t, "Drinks 5", r.latest("mug").GetProduct().GetDescription())
	catalog, err := r.mesh.JetStream().Stream(t.Context(), topology.StreamCatalog)
	require.NoError(t, err)
	info, err := catalog.Info(t.Context())
	require.NoError(t, err)
	bulk := 0
	for sequence := info.State.FirstSeq; sequence <= info.State.LastSeq; sequence++ {
		msg, err := catalog.GetMsg(t.Context(), sequence)
		require.NoError(t, err)
		if !strings.Contains(msg.Subject, ".bulk.") {
			continue
		}
		bulk++
		version, err := strconv.ParseUint(msg.Header.Get(mesh.VersionHeader), 10, 64)
		require.NoError(t, err)
		require.Greater(t, version, captured)
		captured = version
	}
	require.NotZero(t, bulk)
}
