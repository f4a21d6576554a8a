package cli

import (
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// simulatorAddr is the address of the simulator with fixed ports.
const simulatorAddr = "127.0.0.1:12111"

// chooseAddresses chooses where everything listens, and opens all listeners. The services inherit theirs, so no other
// process can take a port before a service starts, or while it restarts. A port in use is reported before anything
// starts.
func (u *up) chooseAddresses() error {
	u.listeners = map[string]*os.File{}
	var unused []net.Listener
	defer func() {
		for _, l := range unused {
			_ = l.Close()
		}
	}()
	for _, s := range []struct {
		name      string
		addr, url *string
	}{
		{topology.Ingestion, &u.IngestionAddr, &u.endpoints.Ingest},
		{topology.Pull, &u.PullAddr, &u.endpoints.Webhook},
		{topology.Reconciliation, &u.ReconciliationAddr, &u.endpoints.Control},
		{topology.Push, &u.PushAddr, &u.endpoints.Push},
		{console, &u.ConsoleAddr, &u.endpoints.Console},
	} {
		listener, err := u.listen(*s.addr, s.url)
		if err != nil {
			return err
		}
		*s.addr = listener.Addr().String()
		if slices.Contains(u.Without, s.name) {
			// Somebody else will run it here. The port is kept only until all are chosen, so that no two are the same.
			unused = append(unused, listener)
			continue
		}
		file, err := listener.File()
		// The file is a copy, which keeps the port.
		_ = listener.Close()
		if err != nil {
			return fmt.Errorf("hand the listener over to %s: %w", s.name, err)
		}
		u.onStop(func() { _ = file.Close() })
		u.listeners[s.name] = file
	}
	if u.StripeAPIKey != "" {
		return nil
	}
	listener, err := u.listen(simulatorAddr, &u.endpoints.Stripe)
	if err != nil {
		return err
	}
	u.onStop(func() { _ = listener.Close() })
	u.simulatorListener = listener
	return nil
}

// listen listens on the address, or on a free port, and stores the URL.
func (u *up) listen(addr string, url *string) (*net.TCPListener, error) {
	advice := "another mesh may be running; stop it, or use --ports auto"
	if u.Ports == "auto" {
		addr, advice = "127.0.0.1:0", "no port of 127.0.0.1 is free"
	}
	listener, err := net.Listen("tcp", addr) //nolint:noctx // a local address
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, advice)
	}
	*url = "http://" + listener.Addr().String()
	return listener.(*net.TCPListener), nil //nolint:forcetypeassert // tcp has no other
}
