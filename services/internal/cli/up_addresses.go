package cli

import (
	"fmt"
	"net"
)

// chooseAddresses chooses where everything listens.
func (u *up) chooseAddresses() error {
	fixed := []struct {
		addr *string
		url  *string
	}{
		{&u.IngestionAddr, &u.endpoints.Ingest},
		{&u.PullAddr, &u.endpoints.Webhook},
		{&u.ReconciliationAddr, &u.endpoints.Control},
		{&u.PushAddr, &u.endpoints.Push},
	}
	sim := "127.0.0.1:12111"
	if u.StripeAPIKey == "" {
		fixed = append(fixed, struct{ addr, url *string }{&sim, &u.endpoints.Stripe})
	}
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	for _, f := range fixed {
		if u.Ports == "auto" {
			*f.addr = "127.0.0.1:0"
		}
		// Each listener stays open until all are chosen, so that no two are the same. A port in use is reported before
		// anything starts.
		l, err := net.Listen("tcp", *f.addr) //nolint:noctx // a local address
		if err != nil {
			return fmt.Errorf("%w: another mesh may be running; stop it, or use --ports auto", err)
		}
		held = append(held, l)
		*f.addr = l.Addr().String()
		*f.url = "http://" + *f.addr
	}
	return nil
}
