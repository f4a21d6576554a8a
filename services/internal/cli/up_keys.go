package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/secretfile"
	"github.com/driftless-sync/driftless/services/internal/signing"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// upKeys are the signing keys of a mesh on one machine. Each service gets its own, and the public keys of all.
type upKeys struct {
	dir string
	// files hold the keys, by service; nil if the settings name keys, or are to.
	files   map[string]string
	trusted string
	// checks: the services refuse what is not signed. In a data directory without keys, they only sign at the first
	// start, so that what was stored before counts until ingestion has signed it.
	checks bool
}

// signingSettings are the variables by which a service gets keys.
var signingSettings = []string{"DRIFTLESS_SIGNING_KEY", "DRIFTLESS_TRUSTED_KEYS"}

// makeKeys makes the keys, or reads them. Keys that the environment names are left as they are, and with NATS_URL,
// where other services may take part, none are made.
func (u *up) makeKeys() error {
	for _, name := range signingSettings {
		if os.Getenv(name) != "" || os.Getenv(name+"_FILE") != "" {
			return nil
		}
	}
	if u.NATSURL != "" {
		return nil
	}
	k := upKeys{dir: filepath.Join(u.dataDir, "signing"), files: map[string]string{}}
	_, err := os.Stat(filepath.Join(u.dataDir, "nats"))
	fresh := errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	var trusted []string
	for _, name := range []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation} {
		k.files[name] = filepath.Join(k.dir, name+".key")
		key, err := keptKey(k.files[name])
		if err != nil {
			return fmt.Errorf("signing key of %s: %w", name, err)
		}
		trusted = append(trusted, name+"="+key.Public().String())
	}
	k.trusted = strings.Join(trusted, ",")
	_, err = os.Stat(k.marker())
	switch {
	case len(u.Without) > 0:
		// Who runs those services may give them no keys. What they store must count at the next start.
		if err := os.Remove(k.marker()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("signing keys: %w", err)
		}
	case fresh || err == nil:
		k.checks = true
	}
	u.keys = k
	return nil
}

// marker is the file that says that everything in the data directory is signed.
func (k upKeys) marker() string { return filepath.Join(k.dir, "checked") }

// keptKey reads a key, or makes one and keeps it.
func keptKey(path string) (signing.PrivateKey, error) {
	text, err := secretfile.Read(path, path)
	if err == nil {
		return signing.ParsePrivate(text)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return signing.PrivateKey{}, err
	}
	key, err := signing.Create()
	if err != nil {
		return key, err
	}
	// Renamed into place: half a key would keep the service from starting.
	draft := path + ".new"
	if err := os.WriteFile(draft, []byte(key.Reveal()+"\n"), 0o600); err != nil {
		return key, err
	}
	return key, os.Rename(draft, path)
}

// environment is what a service gets of the keys: its own, and whom it trusts.
func (k upKeys) environment(service string) []string {
	if k.files == nil {
		return nil
	}
	env := []string{"DRIFTLESS_SIGNING_KEY_FILE=" + k.files[service]}
	if k.checks {
		env = append(env, "DRIFTLESS_TRUSTED_KEYS="+k.trusted)
	}
	return env
}

// signedOnce has the services check signatures from the next start on. All of them have run with their keys.
func (k upKeys) signedOnce(without []string) error {
	if k.files == nil || len(without) > 0 {
		return nil
	}
	if err := os.WriteFile(k.marker(), nil, 0o600); err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	return nil
}
