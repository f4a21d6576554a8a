package mesh

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/signing"
)

// Signing are the keys of a client. The zero value neither signs nor checks.
type Signing struct {
	// Key is the text of the key that the client signs with, KeyFile the file that it was read from; empty for none.
	Key, KeyFile string
	// Trusted is the text of the public keys whose signatures count, TrustedFile the file that it was read from;
	// empty for none. With it, messages without such a signature are refused.
	Trusted, TrustedFile string
}

// rereadKeys is how often the files are looked at, and rereadSoon how soon again when a key is met that is not
// trusted: it may be in the file since then.
const (
	rereadKeys = 5 * time.Second
	rereadSoon = time.Second
)

// keys are what a keyring holds at one time. They are never changed.
type keys struct {
	// signer signs; nil for none. public is its public key.
	signer *signing.PrivateKey
	public signing.PublicKey
	// trusted is nil if nothing is checked.
	trusted signing.Trusted
}

// keyring holds the keys of a client, and reads their files again. Safe for concurrent use.
type keyring struct {
	role   string
	cfg    Signing
	logger *slog.Logger

	mu   sync.Mutex
	now  keys
	read time.Time
	// trouble is what was wrong with the files when they were read last, told once.
	trouble string
}

func newKeyring(role string, cfg Signing, logger *slog.Logger) (*keyring, error) {
	k := &keyring{role: role, cfg: cfg, logger: logger, read: time.Now()}
	var err error
	k.now, err = parseKeys(role, cfg)
	return k, err
}

// parseKeys reads the texts, and refuses what would have the client's own messages refused, or would keep it from
// publishing what others wait for.
func parseKeys(role string, cfg Signing) (keys, error) {
	var out keys
	if cfg.Key != "" {
		key, err := signing.ParsePrivate(cfg.Key)
		if err != nil {
			return keys{}, fmt.Errorf("DRIFTLESS_SIGNING_KEY is no signing key: %w", err)
		}
		out.signer, out.public = &key, key.Public()
	}
	if cfg.Trusted == "" {
		return out, nil
	}
	trusted, err := signing.ParseTrusted(cfg.Trusted, writers())
	switch {
	case err != nil:
		return keys{}, fmt.Errorf("DRIFTLESS_TRUSTED_KEYS is no list of public keys: %w", err)
	case len(trusted) == 0:
		return keys{}, errors.New("DRIFTLESS_TRUSTED_KEYS names no key: everything would be refused; " +
			"remove it, or see `driftless keys create`")
	case !slices.Contains(writers(), role):
		// A client that only reads.
	case out.signer == nil:
		return keys{}, errors.New("DRIFTLESS_TRUSTED_KEYS is set and DRIFTLESS_SIGNING_KEY is not: " +
			"what this service publishes would be refused; give it a signing key of its own (`driftless keys create`)")
	case !trusted.Trusts(role, out.public):
		return keys{}, fmt.Errorf("DRIFTLESS_TRUSTED_KEYS does not have the public key of DRIFTLESS_SIGNING_KEY: "+
			"what this service publishes would be refused; add %s=%s to it, for all services", role, out.public)
	}
	out.trusted = trusted
	return out, nil
}

// current returns the keys that count now.
func (k *keyring) current() keys { return k.atMost(rereadKeys) }

// atMost returns the keys, as the files were at most so long ago.
func (k *keyring) atMost(old time.Duration) keys {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cfg.KeyFile == "" && k.cfg.TrustedFile == "" || time.Since(k.read) < old {
		return k.now
	}
	k.read = time.Now()
	if err := k.reread(); err != nil {
		if err.Error() != k.trouble {
			k.logger.Error("the keys for signatures cannot be read again; those of before count on", "error", err)
		}
		k.trouble = err.Error()
		return k.now
	}
	k.trouble = ""
	return k.now
}

func (k *keyring) reread() (err error) {
	cfg := k.cfg
	if cfg.KeyFile != "" {
		if cfg.Key, err = config.ReadSecret("DRIFTLESS_SIGNING_KEY_FILE", cfg.KeyFile); err != nil {
			return err
		}
	}
	if cfg.TrustedFile != "" {
		if cfg.Trusted, err = config.ReadSecret("DRIFTLESS_TRUSTED_KEYS_FILE", cfg.TrustedFile); err != nil {
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
	k.cfg, k.now = cfg, next
	k.logger.Info("the keys for signatures were replaced", "key", next.id(), "trusted", next.ids())
	return nil
}

// id is the id of the key that signs; "" for none.
func (k keys) id() string {
	if k.signer == nil {
		return ""
	}
	return k.public.ID()
}

// ids are the trusted keys, as "ingestion=id".
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

// announce logs once what is signed and checked.
func (k *keyring) announce() {
	if !slices.Contains(writers(), k.role) {
		return
	}
	switch now := k.current(); {
	case now.trusted != nil:
		k.logger.Info("changes and commands are signed, and refused without a signature that is trusted",
			"key", now.id(), "trusted", now.ids())
	case now.signer != nil:
		k.logger.Info("changes and commands are signed, and signatures are not checked: "+
			"set DRIFTLESS_TRUSTED_KEYS to have them checked", "key", now.id())
	default:
		k.logger.Info(
			"changes and commands are not signed: who may publish on NATS can forge them; see docs/security.md")
	}
}

// SigningState says what the client does about signatures.
type SigningState string

// States of a client's signatures.
const (
	NotSigned  SigningState = "not signed"
	NotChecked SigningState = "signed, not checked"
	Checked    SigningState = "signed and checked"
)

// Signatures returns what this client does about signatures.
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
