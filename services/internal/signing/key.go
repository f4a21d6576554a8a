// Package signing proves who published a message: the writer signs it with its private key, and readers check that
// with the public keys that they trust. It is pure: it reads no file and knows no server.
//
// The signatures are Ed25519. What is signed is the writer's role, the subject, the headers that say something, and
// the body, so that a signed message counts on its own subject only.
package signing

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// The text forms of keys. The prefixes make a leaked key easy to find, and keep the two kinds apart.
const (
	privatePrefix = "driftless_signing_key_v1_"
	publicPrefix  = "driftless_public_key_v1_"
)

// checksumSize is how many bytes behind a key tell that it was copied as a whole.
const checksumSize = 4

// PrivateKey signs. Its text is a secret, which no verb prints; see Reveal.
type PrivateKey struct{ key ed25519.PrivateKey }

// PublicKey checks what the private key of the same pair has signed.
type PublicKey struct{ key [ed25519.PublicKeySize]byte }

// Create returns a new key.
func Create() (PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("create a signing key: %w", err)
	}
	return PrivateKey{key}, nil
}

// ParsePrivate reads the text of a private key. Its errors do not quote the text.
func ParsePrivate(text string) (PrivateKey, error) {
	if strings.HasPrefix(strings.TrimSpace(text), publicPrefix) {
		return PrivateKey{}, errors.New("this is a public key: the signing key begins with " + privatePrefix)
	}
	seed, err := decode(privatePrefix, text, ed25519.SeedSize)
	if err != nil {
		return PrivateKey{}, err
	}
	return PrivateKey{ed25519.NewKeyFromSeed(seed)}, nil
}

// ParsePublic reads the text of a public key. Its errors do not quote the text, which may be a private key by
// mistake.
func ParsePublic(text string) (PublicKey, error) {
	if strings.HasPrefix(strings.TrimSpace(text), privatePrefix) {
		return PublicKey{}, errors.New("this is a signing key, a secret: the public key begins with " + publicPrefix)
	}
	raw, err := decode(publicPrefix, text, ed25519.PublicKeySize)
	if err != nil {
		return PublicKey{}, err
	}
	return PublicKey{[ed25519.PublicKeySize]byte(raw)}, nil
}

// Reveal returns the text of the key, for the one file that holds it.
func (k PrivateKey) Reveal() string { return encode(privatePrefix, k.key.Seed()) }

// Public returns the public key of the pair.
func (k PrivateKey) Public() PublicKey {
	return PublicKey{[ed25519.PublicKeySize]byte(k.key[ed25519.SeedSize:])}
}

// Format hides the key from every verb.
func (k PrivateKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// LogValue hides the key from logs.
func (k PrivateKey) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// MarshalText hides the key from encoders.
func (k PrivateKey) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// String returns the text of the key. It is no secret.
func (p PublicKey) String() string { return encode(publicPrefix, p.key[:]) }

// ID names the key in signatures and logs. Two keys may have the same id only by an attack on SHA-256, which gains
// nothing: the signature is still checked with the trusted key.
func (p PublicKey) ID() string {
	sum := sha256.Sum256(p.key[:])
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

func encode(prefix string, raw []byte) string {
	return prefix + base64.RawURLEncoding.EncodeToString(append(bytes.Clone(raw), checksum(prefix, raw)...))
}

func decode(prefix, text string, size int) ([]byte, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), prefix)
	if !ok {
		return nil, errors.New("it must begin with " + prefix + "; `driftless keys create` makes a pair")
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil || len(raw) != size+checksumSize || !bytes.Equal(checksum(prefix, raw[:size]), raw[size:]) {
		return nil, fmt.Errorf("it begins with %s and is not complete, or was changed: copy it again", prefix)
	}
	return raw[:size], nil
}

func checksum(prefix string, raw []byte) []byte {
	sum := sha256.Sum256(append([]byte(prefix), raw...))
	return sum[:checksumSize]
}
