package localtest

import (
	"errors"
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
	conn *serialConn
	// silent is closed when the connection shall receive nothing any more.
	silent chan struct{}
}

// LineTo returns a line to the server of a URL.
func LineTo(t testing.TB, server string) *Line {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
	return &Line{address: u.Host, silent: make(chan struct{})}
}

// InProcessConn dials the server.
func (l *Line) InProcessConn() (net.Conn, error) {
	select {
	case <-l.silent:
		return nil, errors.New("the NATS server hangs")
	default:
	}
	conn, err := net.Dial("tcp", l.address)
	if err != nil {
		return nil, fmt.Errorf("dial NATS: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = &serialConn{Conn: conn, silent: l.silent, closed: make(chan struct{})}
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

// Hang keeps the connection open, and lets the client receive nothing on it any more. There are no later connections.
// It is called once.
func (l *Line) Hang() { close(l.silent) }

// serialConn keeps the writes of the client and of the test apart.
type serialConn struct {
	net.Conn

	mu sync.Mutex
	// silent is the line's. closed is closed with the connection.
	silent, closed chan struct{}
	closing        sync.Once
}

func (o *serialConn) Read(p []byte) (int, error) {
	n, err := o.Conn.Read(p)
	select {
	case <-o.silent:
		<-o.closed
		return 0, net.ErrClosed
	default:
		return n, err
	}
}

// Close ends a read that hangs, too.
func (o *serialConn) Close() error {
	o.closing.Do(func() { close(o.closed) })
	return o.Conn.Close()
}

func (o *serialConn) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Conn.Write(p)
}
