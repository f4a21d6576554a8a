package mesh

import (
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nats.go"
)

// identity is how the client shows who it is, and checks who the server is.
func (c Config) identity() ([]nats.Option, error) {
	var opts []nats.Option
	for _, f := range []struct{ path, setting string }{{c.Creds, "NATS_CREDS"}, {c.NKey, "NATS_NKEY"}, {c.CA, "NATS_CA"}, {c.Cert, "NATS_CERT"}, {c.Key, "NATS_KEY"}} {
		if f.path == "" {
			continue
		}
		if _, err := os.ReadFile(f.path); err != nil {
			return nil, fmt.Errorf("%s: %w", f.setting, err)
		}
	}
	switch {
	case c.Creds != "" && c.NKey != "":
		return nil, errors.New("both NATS_CREDS and NATS_NKEY are set: keep the one that the servers' authentication asks for")
	case (c.Cert == "") != (c.Key == ""):
		return nil, errors.New("NATS_CERT and NATS_KEY belong together: set both, or neither")
	case c.Creds != "":
		opts = append(opts, nats.UserCredentials(c.Creds))
	case c.NKey != "":
		nkey, err := nats.NkeyOptionFromSeed(c.NKey)
		if err != nil {
			return nil, fmt.Errorf("NATS_NKEY: %s holds no seed of a user's nkey (SU...): %w", c.NKey, err)
		}
		opts = append(opts, nkey)
	}
	if c.CA != "" {
		opts = append(opts, nats.RootCAs(c.CA))
	}
	if c.Cert != "" {
		opts = append(opts, nats.ClientCert(c.Cert, c.Key))
	}
	return opts, nil
}
