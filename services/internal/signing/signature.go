package signing

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// domain begins everything that is signed: a signature made for something else, or by another format, never counts
// here.
const domain = "driftless mesh message v1\x00"

// format begins the text of a signature.
const format = "v1"

// Why a message is not authentic.
var (
	// ErrUnsigned: it carries no signature.
	ErrUnsigned = errors.New("it is not signed")
	// ErrMalformed: what it carries as a signature is none.
	ErrMalformed = errors.New("its signature cannot be read")
	// ErrUnknownKey: the key is not trusted for the role that the signature names.
	ErrUnknownKey = errors.New("it is signed with a key that is not trusted")
	// ErrInvalid: the signature is not that of this message.
	ErrInvalid = errors.New("its signature does not fit it")
)

// Message is what a signature covers.
type Message struct {
	// Subject is the one under which readers find the message.
	Subject string
	// ID is the message's id for deduplication, "" for none.
	ID string
	// Version is the header with the version of the catalog, "" for none.
	Version string
	Body    []byte
}

// Signature says who has signed a message, and when by the signer's account.
type Signature struct {
	// Role is the service that signed.
	Role string
	// Key is the id of the key.
	Key string
	At  time.Time
	// After is a sequence of the stream that it had reached when the message was signed; 0 if that is not known.
	After uint64

	bytes []byte
}

// Sign returns the text of the signature of a message, for a header. After is a sequence that the message's stream
// has reached, 0 if none is known.
func (k PrivateKey) Sign(role string, m Message, at time.Time, after uint64) string {
	signature := ed25519.Sign(k.key, m.signed(role, at.UnixMilli(), after))
	return strings.Join([]string{
		format, role, k.Public().ID(), strconv.FormatInt(at.UnixMilli(), 10), strconv.FormatUint(after, 10),
		base64.RawURLEncoding.EncodeToString(signature),
	}, " ")
}

// Parse reads the text of a signature. It does not check it; see Trusted.Verify.
func Parse(text string) (Signature, error) {
	if text == "" {
		return Signature{}, ErrUnsigned
	}
	parts := strings.Split(text, " ")
	if len(parts) != 6 || parts[0] != format || parts[1] == "" {
		return Signature{}, ErrMalformed
	}
	at, errAt := strconv.ParseInt(parts[3], 10, 64)
	after, errAfter := strconv.ParseUint(parts[4], 10, 64)
	bytes, errBytes := base64.RawURLEncoding.Strict().DecodeString(parts[5])
	if errors.Join(errAt, errAfter, errBytes) != nil || len(bytes) != ed25519.SignatureSize {
		return Signature{}, ErrMalformed
	}
	return Signature{
		Role:  parts[1],
		Key:   parts[2],
		At:    time.UnixMilli(at),
		After: after,
		bytes: bytes,
	}, nil
}

// signed returns the bytes that are signed. Every part has its length before it, so that none can pass for another.
func (m Message) signed(role string, at int64, after uint64) []byte {
	parts := [][]byte{[]byte(role), []byte(m.Subject), []byte(m.ID), []byte(m.Version), m.Body}
	size := len(domain) + 16
	for _, p := range parts {
		size += 8 + len(p)
	}
	out := append(make([]byte, 0, size), domain...)
	out = binary.BigEndian.AppendUint64(out, uint64(at))
	out = binary.BigEndian.AppendUint64(out, after)
	for _, p := range parts {
		out = binary.BigEndian.AppendUint64(out, uint64(len(p)))
		out = append(out, p...)
	}
	return out
}

// Trusted are the public keys whose signatures count, by the role that they may sign for. Those under the role ""
// count for every role.
type Trusted map[string][]PublicKey

// ParseTrusted reads a list of public keys, separated by commas or line breaks, each with the role that it is
// limited to: "ingestion=driftless_public_key_v1_...". A role may have several keys, while one replaces another.
func ParseTrusted(text string, roles []string) (Trusted, error) {
	out := Trusted{}
	for i, entry := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' }) {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		role, key, limited := strings.Cut(entry, "=")
		if !limited {
			role, key = "", entry
		}
		role = strings.TrimSpace(role)
		if limited && !slices.Contains(roles, role) {
			return nil, fmt.Errorf("key %d is for none of the services %s", i+1, strings.Join(roles, ", "))
		}
		public, err := ParsePublic(key)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		out[role] = append(out[role], public)
	}
	return out, nil
}

// Trusts reports whether a key counts for a role.
func (t Trusted) Trusts(role string, key PublicKey) bool {
	return slices.Contains(t[role], key) || slices.Contains(t[""], key)
}

// Verify checks the signature of a message, by its text, and returns what it says.
func (t Trusted) Verify(text string, m Message) (Signature, error) {
	s, err := Parse(text)
	if err != nil {
		return Signature{}, err
	}
	known := false
	for _, k := range slices.Concat(t[s.Role], t[""]) {
		if k.ID() != s.Key {
			continue
		}
		known = true
		if ed25519.Verify(k.key[:], m.signed(s.Role, s.At.UnixMilli(), s.After), s.bytes) {
			return s, nil
		}
	}
	if known {
		return Signature{}, ErrInvalid
	}
	return Signature{}, ErrUnknownKey
}
