package mesh_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localnodes"
)

func TestClusterConf_MatchesTestServers(t *testing.T) {
	for _, user := range append(users, "sys", "nats_cluster") {
		t.Setenv(strings.ToUpper(user)+"_PASSWORD", user+"-secret")
	}
	cert, key := certificate(t)
	for name, value := range map[string]string{
		"NATS_SERVER_NAME": "one", "NATS_STORE_DIR": t.TempDir(),
		"NATS_TLS_CERT": cert, "NATS_TLS_KEY": key, "NATS_TLS_CA": cert,
		"NATS_ROUTE_1": "nats-route://cluster:nats_cluster-secret@127.0.0.1:6222",
		"NATS_ROUTE_2": "nats-route://cluster:nats_cluster-secret@127.0.0.2:6222",
		"NATS_ROUTE_3": "nats-route://cluster:nats_cluster-secret@127.0.0.3:6222",
	} {
		t.Setenv(name, value)
	}
	options, err := server.ProcessConfigFile("../../../deploy/nats/cluster.conf")
	require.NoError(t, err)
	require.Len(t, options.Routes, 3)
	require.Equal(t, 2*time.Second, options.Cluster.PingInterval)
	require.Equal(t, 2, options.Cluster.MaxPingsOut)
	require.Equal(t, 2*time.Second, options.Cluster.WriteDeadline)
	require.True(t, options.SyncAlways)
	_, err = server.NewServer(options)
	require.NoError(t, err)

	// The tests on three nodes run with the same settings.
	file := filepath.Join(t.TempDir(), "nodes.conf")
	require.NoError(t, os.WriteFile(file, []byte("cluster {\n name: x\n "+localnodes.Recommended+"\n}"), 0o600))
	tested, err := server.ProcessConfigFile(file)
	require.NoError(t, err)
	require.Equal(t, options.Cluster.PingInterval, tested.Cluster.PingInterval)
	require.Equal(t, options.Cluster.MaxPingsOut, tested.Cluster.MaxPingsOut)
	require.Equal(t, options.Cluster.WriteDeadline, tested.Cluster.WriteDeadline)
}
