package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/driftless-sync/driftless/services/internal/secretfile"
	"github.com/driftless-sync/driftless/services/internal/signing"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// upKeys are the signing keys of a mesh on one machine. Each service gets its own key, and the public keys of all.
type upKeys struct {
	dir string
	// files are the key files by service; nil if the environment names keys or other services may take part.
	files   map[string]string
	trusted string
	// isChecked reports whether the services refuse unsigned messages. On a data directory without keys they only sign
	// at the first start: messages that were stored before count until ingestion has signed them.
	isChecked bool
}

// unsignedPeriod is the time for which a mesh signs before it checks. It is longer than the comparison of the tables
// after the start, and than anything unsigned waits on RETRY or COMMAND.
const unsignedPeriod = time.Hour

// keepChecking makes the services check signatures from the next start on: at once if they check now, else when
// all that is stored has been signed.
func (u *up) keepChecking(ctx context.Context) error {
	if u.keys.isChecked {
		return u.keys.markSigned(u.Without)
	}
	timer := time.AfterFunc(unsignedPeriod, func() {
		if err := u.keys.markSigned(u.Without); err != nil {
			u.logger.WarnContext(ctx, "could not note that everything is signed", "error", err)
		}
	})
	context.AfterFunc(ctx, func() { timer.Stop() })
	return nil
}

// signingSettings are the variables that give a service its keys.
var signingSettings = []string{"DRIFTLESS_SIGNING_KEY", "DRIFTLESS_TRUSTED_KEYS"}

// makeKeys reads or creates the keys. It leaves keys alone that the settings name. With NATS_URL it creates none,
// since other services may take part there.
func (u *up) makeKeys() error {
	given := u.SigningKey != "" || u.SigningKeyFile != "" || u.TrustedKeys != "" || u.TrustedKeysFile != ""
	if given || u.NATSURL != "" {
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
		key, err := readOrCreateKey(k.files[name])
		if err != nil {
			return fmt.Errorf("signing key of %s: %w", name, err)
		}
		trusted = append(trusted, name+"="+key.Public().String())
	}
	k.trusted = strings.Join(trusted, ",")
	_, err = os.Stat(k.marker())
	switch {
	case len(u.Without) > 0:
		// The services that run elsewhere may have no keys. The messages that they store must count at the next start.
		if err := os.Remove(k.marker()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("signing keys: %w", err)
		}
	case fresh || err == nil:
		k.isChecked = true
	}
	u.keys = k
	return nil
}

// marker returns the path of the file that says that everything in the data directory is signed.
func (k upKeys) marker() string { return filepath.Join(k.dir, "checked") }

// readOrCreateKey reads a key, or creates one at the first time.
func readOrCreateKey(path string) (signing.PrivateKey, error) {
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
	// Renamed into place: a partly written key would keep the service from starting.
	draft := path + ".new"
	if err := os.WriteFile(draft, []byte(key.Reveal()+"\n"), 0o600); err != nil {
		return key, err
	}
	return key, os.Rename(draft, path)
}

// environment returns the variables for a service: its own key, and the keys that it trusts.
func (k upKeys) environment(service string) []string {
	if k.files == nil {
		return nil
	}
	env := []string{"DRIFTLESS_SIGNING_KEY_FILE=" + k.files[service]}
	if k.isChecked {
		env = append(env, "DRIFTLESS_TRUSTED_KEYS="+k.trusted)
	}
	return env
}

// markSigned makes the services check signatures from the next start on. It is called once all of them have run with
// their keys.
func (k upKeys) markSigned(without []string) error {
	if k.files == nil || len(without) > 0 {
		return nil
	}
	if err := os.WriteFile(k.marker(), nil, 0o600); err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	return nil
}
