package local

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

func startNATS(t *testing.T, dir string) *NATS {
	t.Helper()
	server, err := StartNATS(t.Context(), NATSConfig{DataDir: dir, Logger: discard})
	require.NoError(t, err)
	return server
}

func stream(t *testing.T, conn *nats.Conn) jetstream.Stream {
	t.Helper()
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	s, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	require.NoError(t, err)
	return s
}

func TestStartNATS_KeepsMessagesAcrossRestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "if", "absent")
	server := startNATS(t, dir)
	conn, err := server.Connect()
	require.NoError(t, err)
	stream(t, conn)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "s.1", []byte("kept"))
	require.NoError(t, err)
	conn.Close()
	require.NoError(t, server.Close())

	server = startNATS(t, dir)
	defer server.Close()
	conn, err = nats.Connect(server.URL())
	require.NoError(t, err)
	defer conn.Close()
	msg, err := stream(t, conn).GetLastMsgForSubject(t.Context(), "s.1")
	require.NoError(t, err)
	require.Equal(t, "kept", string(msg.Data))
}

func TestStartNATS_KeepsAcknowledgedMessagesWhenKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	output, kill := runElsewhere(t, "nats", dir)
	conn, err := nats.Connect(output[0], nats.NoReconnect())
	require.NoError(t, err)
	defer conn.Close()
	stream(t, conn)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	for range 50 {
		_, err = js.Publish(t.Context(), "s.1", nil)
		require.NoError(t, err)
	}
	kill()

	server := startNATS(t, dir)
	defer server.Close()
	again, err := server.Connect()
	require.NoError(t, err)
	defer again.Close()
	info, err := stream(t, again).Info(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 50, info.State.Msgs)
}

func TestStartNATS_RefusesDirectoryInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, kill := runElsewhere(t, "nats", dir)
	_, err := StartNATS(t.Context(), NATSConfig{DataDir: dir, Logger: discard})
	require.ErrorIs(t, err, ErrInUse)
	require.ErrorContains(t, err, dir)
	require.Regexp(t, `process \d+ runs on`, err.Error())
	kill()
	require.NoError(t, startNATS(t, dir).Close())
}

func TestStartNATS_RefusesPortInUse(t *testing.T) {
	t.Parallel()
	port := takePort(t)
	_, err := StartNATS(t.Context(), NATSConfig{DataDir: t.TempDir(), Port: port, Logger: discard})
	require.ErrorIs(t, err, ErrPortTaken)
	require.ErrorContains(t, err, strconv.Itoa(port))
}

func TestStartNATS_ReportsWhyItCannotStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "jetstream"), nil, 0o600))
	_, err := StartNATS(t.Context(), NATSConfig{DataDir: dir, Logger: discard})
	require.ErrorContains(t, err, "not a directory")
	// The directory is unlocked, and the repaired store works.
	require.NoError(t, os.Remove(filepath.Join(dir, "jetstream")))
	require.NoError(t, startNATS(t, dir).Close())
}

// takePort listens on a port until the test ends.
func takePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, listener.Close()) })
	return listener.Addr().(*net.TCPAddr).Port
}

func TestStartNATS_AdmitsOnlyItsUsers(t *testing.T) {
	t.Parallel()
	server, err := StartNATS(t.Context(), NATSConfig{DataDir: t.TempDir(), Logger: discard, Users: []NATSUser{
		{Name: "admin", Password: "a-secret"},
		{
			Name:      "reader",
			Password:  "r-secret",
			Publish:   []string{"$JS.API.INFO"},
			Subscribe: []string{"_INBOX_reader.>"},
		},
	}})
	require.NoError(t, err)
	defer server.Close()
	for _, stranger := range []string{"", "admin:wrong@", "nobody:a-secret@", "admin@", "a-secret@"} {
		_, err := nats.Connect(strings.Replace(server.URL(), "nats://", "nats://"+stranger, 1))
		require.ErrorIs(t, err, nats.ErrAuthorization, stranger)
	}
	_, err = server.URLFor("nobody")
	require.EqualError(t, err, "NATS has no user nobody")
	connect := func(user string, opts ...nats.Option) (*nats.Conn, error) {
		address, err := server.URLFor(user)
		require.NoError(t, err)
		return nats.Connect(address, opts...)
	}

	admin, err := connect("admin")
	require.NoError(t, err)
	defer admin.Close()
	stream(t, admin)
	refused := make(chan error, 10)
	reader, err := connect("reader", nats.CustomInboxPrefix("_INBOX_reader"),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	require.NoError(t, err)
	defer reader.Close()
	js, err := jetstream.New(reader)
	require.NoError(t, err)
	info, err := js.AccountInfo(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, info.Streams, "all users share the streams")
	require.NoError(t, reader.Publish("s.1", nil))
	require.ErrorIs(t, <-refused, nats.ErrPermissionViolation)
	_, err = reader.SubscribeSync("s.>")
	require.NoError(t, err)
	require.ErrorIs(t, <-refused, nats.ErrPermissionViolation)
}

// nats-server takes a missing list as all subjects.
func TestStartNATS_RefusesUserWithOneList(t *testing.T) {
	t.Parallel()
	for _, user := range []NATSUser{
		{Name: "writer", Publish: []string{"s.>"}},
		{Name: "writer", Subscribe: []string{"s.>"}},
	} {
		_, err := StartNATS(t.Context(), NATSConfig{DataDir: t.TempDir(), Logger: discard, Users: []NATSUser{user}})
		require.ErrorContains(t, err, "NATS user writer")
	}
}
