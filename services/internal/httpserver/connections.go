package httpserver

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// maxConnections is how many connections a port keeps. An idle one costs about 20 kB, and anybody may open it.
const maxConnections = 1000

// connections bounds the connections of a server. Beyond the bound the one that has waited for a request the longest is
// closed, so that idle connections keep nobody out. A connection whose request is being handled keeps its place, for
// the time that its body may take.
type connections struct {
	most int

	mu sync.Mutex
	// open has the place of each connection in waiting, nil for one whose request is being handled.
	open map[net.Conn]*list.Element
	// waiting are the connections without a request, the longest waiting first.
	waiting *list.List
}

func newConnections(most int) *connections {
	return &connections{most: most, open: map[net.Conn]*list.Element{}, waiting: list.New()}
}

// state is the server's hook for each change of a connection.
func (c *connections) state(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, open := c.open[conn]; !open && state != http.StateNew {
		// One that was closed just now has no place any more.
		return
	}
	if place := c.open[conn]; place != nil {
		c.waiting.Remove(place)
	}
	switch state {
	case http.StateNew, http.StateIdle:
		c.open[conn] = c.waiting.PushBack(conn)
	case http.StateActive:
		c.open[conn] = nil
	default:
		delete(c.open, conn)
	}
	front := c.waiting.Front()
	if len(c.open) <= c.most || front == nil {
		return
	}
	if longest, ok := front.Value.(net.Conn); ok {
		c.waiting.Remove(front)
		delete(c.open, longest)
		_ = longest.Close()
	}
}
