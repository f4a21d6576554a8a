package httpserver

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConnections_ClosesTheLongestWaiting(t *testing.T) {
	t.Parallel()
	c := newConnections(2)
	pipe := func() (server, client net.Conn) {
		server, client = net.Pipe()
		t.Cleanup(func() { _ = client.Close() })
		return server, client
	}
	closed := func(client net.Conn) bool {
		_ = client.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		_, err := client.Read(make([]byte, 1))
		require.Error(t, err)
		return !errors.Is(err, os.ErrDeadlineExceeded)
	}
	working, workingClient := pipe()
	c.track(working, http.StateNew)
	c.track(working, http.StateActive)
	first, firstClient := pipe()
	c.track(first, http.StateNew)
	second, secondClient := pipe()
	c.track(second, http.StateNew)
	require.False(t, closed(workingClient), "a request is being handled")
	require.True(t, closed(firstClient))
	require.False(t, closed(secondClient))
	c.track(first, http.StateClosed)

	c.track(second, http.StateActive)
	third, thirdClient := pipe()
	c.track(third, http.StateNew)
	require.True(t, closed(thirdClient), "there is no other that waits")
	c.track(third, http.StateClosed)
	c.track(second, http.StateIdle)
	fourth, fourthClient := pipe()
	c.track(fourth, http.StateNew)
	require.True(t, closed(secondClient))
	require.False(t, closed(fourthClient))
	for _, conn := range []net.Conn{working, second, fourth} {
		c.track(conn, http.StateClosed)
	}
	require.Empty(t, c.open)
	require.Zero(t, c.waiting.Len())
}

func TestConnections_GivesNoPlaceToAClosedOne(t *testing.T) {
	t.Parallel()
	c := newConnections(1)
	var conns []net.Conn
	for range 2 {
		server, client := net.Pipe()
		t.Cleanup(func() { _ = client.Close() })
		c.track(server, http.StateNew)
		conns = append(conns, server)
	}
	// The first was closed when the second came. Its request had been read by then.
	c.track(conns[0], http.StateActive)
	c.track(conns[1], http.StateActive)
	require.Len(t, c.open, 1)
	c.track(conns[0], http.StateClosed)
	c.track(conns[1], http.StateClosed)
	require.Empty(t, c.open)
	require.Zero(t, c.waiting.Len())
}

// TestRun_AnswersDespiteTooManyConnections: other connections do not keep a client out, over HTTP/1 and HTTP/2.
func TestRun_AnswersDespiteTooManyConnections(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx,
			Config{Listener: listener, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, r.Proto)
			})})
	}()
	address := listener.Addr().String()
	var strangers []net.Conn
	for range maxConnections + 50 {
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		strangers = append(strangers, conn)
	}
	for _, http2 := range []bool{false, true} {
		transport := &http.Transport{Protocols: &http.Protocols{}}
		transport.Protocols.SetHTTP1(!http2)
		transport.Protocols.SetUnencryptedHTTP2(http2)
		client := &http.Client{Transport: transport}
		for range 3 {
			resp, err := client.Get("http://" + address)
			require.NoError(t, err)
			proto, err := bufio.NewReader(resp.Body).ReadString(0)
			require.ErrorIs(t, err, io.EOF)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http2, proto == "HTTP/2.0", proto)
		}
		transport.CloseIdleConnections()
	}
	for _, conn := range strangers {
		require.NoError(t, conn.Close())
	}
	cancel()
	require.NoError(t, <-done)
}
