package localtest

import (
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// Cluster starts a cluster of three NATS servers, and returns their addresses, separated by commas, when streams with
// three replicas can be created. The cluster stops when the test ends.
func Cluster(t testing.TB) (urls string) {
	t.Helper()
	const size = 3
	var routes []*url.URL
	var ports []int
	for range size {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		address, ok := listener.Addr().(*net.TCPAddr)
		require.True(t, ok)
		require.NoError(t, listener.Close())
		ports = append(ports, address.Port)
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: address.String()})
	}
	var servers []*server.Server
	for i, port := range ports {
		s, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprintf("server-%d", i),
			Host:       "127.0.0.1",
			Port:       server.RANDOM_PORT,
			NoSigs:     true,
			NoLog:      true,
			JetStream:  true,
			StoreDir:   t.TempDir(),
			Cluster:    server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port},
			Routes:     routes,
		})
		require.NoError(t, err)
		t.Cleanup(func() {
			s.Shutdown()
			s.WaitForShutdown()
		})
		s.Start()
		servers = append(servers, s)
	}
	for i, s := range servers {
		require.True(t, s.ReadyForConnections(time.Minute))
		if i > 0 {
			urls += ","
		}
		urls += s.ClientURL()
	}
	conn, err := nats.Connect(urls)
	require.NoError(t, err)
	defer closeConn(conn)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "READY", Replicas: size})
		return err == nil && js.DeleteStream(t.Context(), "READY") == nil
	}, time.Minute, 100*time.Millisecond, "the cluster elects a leader")
	return urls
}
