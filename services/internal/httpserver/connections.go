package httpserver

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// maxConnections is how many connections a port keeps. An idle one costs about 20 kB, and anyone may open it.
const maxConnections = 1000

// connections bounds the connections of a server. Above the bound it closes the connection that has waited longest for
// a request. So a client that opens many cannot keep others out. A connection whose request is being handled keeps its
// place, for the time that its body may take.
type connections struct {
	max int

	mu sync.Mutex
	// open has each connection's place in waiting. It is nil while a request is being handled.
	open map[net.Conn]*list.Element
	// waiting has the connections without a request, the longest waiting first.
	waiting *list.List
}

func newConnections(most int) *connections {
	return &connections{max: most, open: map[net.Conn]*list.Element{}, waiting: list.New()}
}

// track is the server's hook for each change of a connection.
func (c *connections) track(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, open := c.open[conn]; !open && state != http.StateNew {
		// It was closed just now, so it has no place.
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
	if len(c.open) <= c.max || front == nil {
		return
	}
	if longest, ok := front.Value.(net.Conn); ok {
		c.waiting.Remove(front)
		delete(c.open, longest)
		_ = longest.Close()
	}
}
