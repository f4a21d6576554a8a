package browser_test

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// gate is a way to a server that a test can close. A service keeps its address while it cannot be reached.
type gate struct {
	listener net.Listener
	target   string

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]bool
}

// newGate returns an open gate to a server, which closes when the test ends.
func newGate(t testing.TB, target string) *gate {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := &gate{listener: listener, target: target, conns: map[net.Conn]bool{}}
	go g.accept()
	t.Cleanup(func() {
		_ = listener.Close()
		g.shut()
	})
	return g
}

// gated returns a URL that leads through a new gate.
func gated(t testing.TB, server string) (*gate, string) {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
	g := newGate(t, u.Host)
	u.Host = g.listener.Addr().String()
	return g, u.String()
}

func (g *gate) accept() {
	for {
		client, err := g.listener.Accept()
		if err != nil {
			return
		}
		go g.join(client)
	}
}

// join connects a client with the server until one of them, or the gate, closes.
func (g *gate) join(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", g.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	if !g.add(client, server) {
		return
	}
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{client, server}, {server, client}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1])
			done <- struct{}{}
		}()
	}
	<-done
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, client)
	delete(g.conns, server)
}

// add reports whether the gate is open, and remembers the connections if it is.
func (g *gate) add(conns ...net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	for _, c := range conns {
		g.conns[c] = true
	}
	return true
}

// shut closes all connections, and refuses new ones until the gate opens.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for c := range g.conns {
		_ = c.Close()
	}
}

// open lets clients connect again.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = false
}
