package localtest

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Line is a client's connection to a NATS server, for nats.InProcessServer, on which a test can break the protocol.
// Safe for concurrent use.
type Line struct {
	address string

	mu   sync.Mutex
	conn net.Conn
}

// LineTo returns a line to the server of a URL.
func LineTo(t testing.TB, server string) *Line {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
	return &Line{address: u.Host}
}

// InProcessConn dials the server.
func (l *Line) InProcessConn() (net.Conn, error) {
	conn, err := net.Dial("tcp", l.address)
	if err != nil {
		return nil, fmt.Errorf("dial NATS: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = &serialConn{Conn: conn}
	return l.conn, nil
}

// Abuse sends a line that is too long for the server. The server refuses the client, which then closes its connection
// for good.
func (l *Line) Abuse(t testing.TB) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	require.NotNil(t, l.conn, "no client has connected")
	_, err := l.conn.Write([]byte("PUB " + strings.Repeat("x", 5000) + " 0\r\n\r\n"))
	require.NoError(t, err)
}

// serialConn keeps the writes of the client and of the test apart.
type serialConn struct {
	net.Conn

	mu sync.Mutex
}

func (o *serialConn) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Conn.Write(p)
}
