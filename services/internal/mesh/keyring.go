package mesh

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/driftless-sync/driftless/services/internal/secretfile"
	"github.com/driftless-sync/driftless/services/internal/signing"
)

// Signing has the keys of a client. The zero value neither signs nor checks.
type Signing struct {
	// Key is the text of the key that the client signs with, and KeyFile the file that it was read from; empty for
	// none.
	Key, KeyFile string
	// Trusted is the text of the trusted public keys, and TrustedFile the file that it was read from; empty for none.
	// If it is set, messages without a signature by one of them are refused.
	Trusted, TrustedFile string
}

// keysInterval is how often the files are read again.
const (
	keysInterval = 5 * time.Second
	// unknownKeyInterval is the interval after a signature by an unknown key: the file may have the key by now.
	unknownKeyInterval = time.Second
)

// keys is an immutable state of a keyring.
type keys struct {
	// signer signs; nil for none. public is its public key.
	signer *signing.PrivateKey
	public signing.PublicKey
	// trusted is nil if signatures are not checked.
	trusted signing.Trusted
}

// keyring has the keys of a client, and reads their files again. Safe for concurrent use.
type keyring struct {
	role   string
	cfg    Signing
	logger *slog.Logger

	mu   sync.Mutex
	keys keys
	read time.Time
	// lastError is the error of the latest read, logged once.
	lastError string
}

func newKeyring(role string, cfg Signing, logger *slog.Logger) (*keyring, error) {
	k := &keyring{role: role, cfg: cfg, logger: logger, read: time.Now()}
	var err error
	k.keys, err = parseKeys(role, cfg)
	return k, err
}

// parseKeys parses the texts. It refuses keys with which readers would refuse the client's own messages.
func parseKeys(role string, cfg Signing) (keys, error) {
	var out keys
	if cfg.Key != "" {
		key, err := signing.ParsePrivate(cfg.Key)
		if err != nil {
			return keys{}, fmt.Errorf("DRIFTLESS_SIGNING_KEY is not a signing key: %w", err)
		}
		out.signer, out.public = &key, key.Public()
	}
	if cfg.Trusted == "" {
		return out, nil
	}
	trusted, err := signing.ParseTrusted(cfg.Trusted, writers())
	switch {
	case err != nil:
		return keys{}, fmt.Errorf("DRIFTLESS_TRUSTED_KEYS is not a list of public keys: %w", err)
	case len(trusted) == 0:
		return keys{}, errors.New("DRIFTLESS_TRUSTED_KEYS has no key: every message would be refused; " +
			"unset it, or see `driftless keys create`")
	case !slices.Contains(writers(), role):
		// A client that only reads.
	case out.signer == nil:
		return keys{}, errors.New("DRIFTLESS_TRUSTED_KEYS is set and DRIFTLESS_SIGNING_KEY is not: " +
			"the messages of this service would be refused; give it its own signing key (`driftless keys create`)")
	case !trusted.Trusts(role, out.public):
		return keys{}, fmt.Errorf("DRIFTLESS_TRUSTED_KEYS lacks the public key of DRIFTLESS_SIGNING_KEY: "+
			"the messages of this service would be refused; add %s=%s to it, for all services", role, out.public)
	}
	out.trusted = trusted
	return out, nil
}

// current returns the keys, read from the files at most keysInterval ago.
func (k *keyring) current() keys { return k.readWithin(keysInterval) }

// readWithin returns the keys, read from the files at most old ago.
func (k *keyring) readWithin(old time.Duration) keys {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cfg.KeyFile == "" && k.cfg.TrustedFile == "" || time.Since(k.read) < old {
		return k.keys
	}
	k.read = time.Now()
	if err := k.reread(); err != nil {
		if err.Error() != k.lastError {
			k.logger.Error("could not reread the signing keys; using the previous ones", "error", err)
		}
		k.lastError = err.Error()
		return k.keys
	}
	k.lastError = ""
	return k.keys
}

func (k *keyring) reread() (err error) {
	cfg := k.cfg
	if cfg.KeyFile != "" {
		if cfg.Key, err = secretfile.Read("DRIFTLESS_SIGNING_KEY_FILE", cfg.KeyFile); err != nil {
			return err
		}
	}
	if cfg.TrustedFile != "" {
		if cfg.Trusted, err = secretfile.Read("DRIFTLESS_TRUSTED_KEYS_FILE", cfg.TrustedFile); err != nil {
			return err
		}
	}
	if cfg == k.cfg {
		return nil
	}
	next, err := parseKeys(k.role, cfg)
	if err != nil {
		return err
	}
	k.cfg, k.keys = cfg, next
	k.logger.Info("signing keys replaced", "key", next.id(), "trusted", next.ids())
	return nil
}

// id returns the id of the key that signs; "" for none.
func (k keys) id() string {
	if k.signer == nil {
		return ""
	}
	return k.public.ID()
}

// ids returns the trusted keys, as "ingestion=id".
func (k keys) ids() []string {
	var out []string
	for role, public := range k.trusted {
		for _, p := range public {
			if id := p.ID(); role != "" {
				out = append(out, role+"="+id)
			} else {
				out = append(out, id)
			}
		}
	}
	slices.Sort(out)
	return out
}

// announce logs whether the client signs and checks.
func (k *keyring) announce() {
	if !slices.Contains(writers(), k.role) {
		return
	}
	switch now := k.current(); {
	case now.trusted != nil:
		k.logger.Info("changes and commands are signed, and refused without a trusted signature",
			"key", now.id(), "trusted", now.ids())
	case now.signer != nil:
		k.logger.Info("changes and commands are signed, but signatures are not checked: "+
			"set DRIFTLESS_TRUSTED_KEYS to check them", "key", now.id())
	default:
		k.logger.Info(
			"changes and commands are not signed: anyone who may publish on NATS can forge them; see docs/security.md")
	}
}

// SigningState is how far a client signs and checks messages.
type SigningState string

// Signing states.
const (
	NotSigned  SigningState = "not signed"
	NotChecked SigningState = "signed, not checked"
	Checked    SigningState = "signed and checked"
)

// Signatures returns how far this client signs and checks messages.
func (m *Mesh) Signatures() SigningState {
	switch now := m.keys.current(); {
	case now.trusted != nil:
		return Checked
	case now.signer != nil:
		return NotChecked
	default:
		return NotSigned
	}
}
