package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/driftless-sync/driftless/services/internal/durable"
	"github.com/driftless-sync/driftless/services/internal/secretfile"
	"github.com/driftless-sync/driftless/services/internal/signing"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// upKeys are the signing keys of a mesh on one machine. Each service gets its own key, and the public keys of all.
type upKeys struct {
	dir string
	// files are the key files by service. It is nil if up makes no keys: see makeKeys.
	files map[string]string
	// trusted is the setting of trusted keys: SERVICE=PUBLIC KEY, separated by commas.
	trusted string
	// isChecked reports whether the services refuse unsigned messages. A data directory may have messages from before
	// it had keys. The services then only sign, until a later start.
	isChecked bool
}

// unsignedPeriod is the time for which services that only sign must run, until no unsigned message is left. It is
// longer than the comparison of the tables after the start, and than a message waits on RETRY or COMMAND.
const unsignedPeriod = time.Hour

// markWhenSigned marks the data directory as signed: at once if the services check signatures, else after
// unsignedPeriod.
func (u *up) markWhenSigned(ctx context.Context) error {
	if u.keys.isChecked {
		return u.keys.markSigned(u.runsElsewhere())
	}
	timer := time.AfterFunc(unsignedPeriod, func() {
		if err := u.keys.markSigned(u.runsElsewhere()); err != nil {
			u.logger.WarnContext(ctx, "could not mark the data directory as signed", "error", err)
		}
	})
	context.AfterFunc(ctx, func() { timer.Stop() })
	return nil
}

// signingSettings are the variables that give a service its keys.
var signingSettings = []string{"DRIFTLESS_SIGNING_KEY", "DRIFTLESS_TRUSTED_KEYS"}

// makeKeys reads or creates the keys of the data directory. It makes none if the settings name keys. It makes none with
// NATS_URL either, because services elsewhere may use the same streams.
func (u *up) makeKeys() error {
	isConfigured := u.SigningKey != "" || u.SigningKeyFile != "" || u.TrustedKeys != "" || u.TrustedKeysFile != ""
	if isConfigured || u.NATSURL != "" {
		return nil
	}
	k := upKeys{dir: filepath.Join(u.dataDir, "signing"), files: map[string]string{}}
	_, err := os.Stat(filepath.Join(u.dataDir, "nats"))
	hasNoMessages := errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	var trusted []string
	for _, name := range []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation} {
		k.files[name] = filepath.Join(k.dir, name+".key")
		key, err := readOrCreateKey(k.files[name])
		if err != nil {
			return fmt.Errorf("signing key of %s: %w. If the file was damaged, run `rm %s %s` and start again: up makes "+
				"another key, and the services check signatures again after an hour", name, err,
				visible.Argument(k.files[name]), visible.Argument(k.marker()))
		}
		trusted = append(trusted, name+"="+key.Public().String())
	}
	k.trusted = strings.Join(trusted, ",")
	_, err = os.Stat(k.marker())
	switch {
	case u.runsElsewhere():
		// The services that run elsewhere may have no keys. Their messages must be accepted at the next start.
		if err := os.Remove(k.marker()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("signing keys: %w", err)
		}
	case hasNoMessages || err == nil:
		k.isChecked = true
	}
	u.keys = k
	return nil
}

// marker returns the path of a file that exists if every message in the data directory is signed.
func (k upKeys) marker() string { return filepath.Join(k.dir, "checked") }

// readOrCreateKey reads a key, or creates it if the file does not exist.
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
	// A service would not start with a partly written key.
	return key, durable.WriteFile(path, []byte(key.Reveal()+"\n"), 0o600)
}

// environment returns the variables for a service: its own key, and the keys that it trusts.
func (k upKeys) environment(service string) []string {
	if k.files[service] == "" {
		return nil
	}
	env := []string{"DRIFTLESS_SIGNING_KEY_FILE=" + k.files[service]}
	if k.isChecked {
		env = append(env, "DRIFTLESS_TRUSTED_KEYS="+k.trusted)
	}
	return env
}

// runsElsewhere reports whether services of the mesh may run outside this process.
func (u *up) runsElsewhere() bool {
	return slices.ContainsFunc(u.Without, func(program string) bool { return program != console })
}

// markSigned makes the services check signatures from the next start on. It does nothing if services without these keys
// took part.
func (k upKeys) markSigned(runsElsewhere bool) error {
	if k.files == nil || runsElsewhere {
		return nil
	}
	if err := durable.WriteFile(k.marker(), nil, 0o600); err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	return nil
}
