package e2e_test

import (
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// detour forwards connections to a server, and can make the server seem away. Safe for concurrent use.
type detour struct {
	listener net.Listener
	server   string

	mu sync.Mutex
	// passing is closed while connections are forwarded. It is replaced by an open channel when the server hangs.
	passing chan struct{}
	conns   map[net.Conn]bool
	refuses bool
}

// detourTo returns a detour to a server's address.
func detourTo(t *testing.T, server string) *detour {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	d := &detour{listener: l, server: server, passing: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(d.passing)
	go d.serve()
	t.Cleanup(func() {
		_ = l.Close()
		d.restore()
		d.drop()
	})
	return d
}

// of returns a server's URL with the detour's address.
func (d *detour) of(t *testing.T, server string) string {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
	u.Host = d.listener.Addr().String()
	return u.String()
}

func (d *detour) serve() {
	for {
		client, err := d.listener.Accept()
		if err != nil {
			return
		}
		go d.forward(client)
	}
}

func (d *detour) forward(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", d.server)
	if err != nil {
		return
	}
	defer server.Close()
	d.mu.Lock()
	if d.refuses {
		d.mu.Unlock()
		return
	}
	d.conns[client], d.conns[server] = true, true
	d.mu.Unlock()
	go d.copy(server, client)
	d.copy(client, server)
}

// copy copies until one side closes, and stands still while the server hangs.
func (d *detour) copy(to, from net.Conn) {
	defer to.Close()
	buffer := make([]byte, 32*1024)
	for {
		n, err := from.Read(buffer)
		d.mu.Lock()
		passing := d.passing
		d.mu.Unlock()
		<-passing
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// hang keeps all connections open, accepts new ones, and passes nothing on.
func (d *detour) hang() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.passing = make(chan struct{})
}

// refuse ends all connections, and new ones at once.
func (d *detour) refuse() {
	d.restore()
	d.mu.Lock()
	d.refuses = true
	d.mu.Unlock()
	d.drop()
}

// restore passes everything on again.
func (d *detour) restore() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refuses = false
	select {
	case <-d.passing:
	default:
		close(d.passing)
	}
}

func (d *detour) drop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.conns {
		_ = c.Close()
	}
	clear(d.conns)
}
