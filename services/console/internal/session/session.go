// Package session keeps a visitor's sign-in in an encrypted cookie. The console keeps nothing on its side, so each of
// its replicas with the same key knows every visitor.
package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Lifetime is how long a sign-in lasts.
const Lifetime = 12 * time.Hour

// maxCookie is the largest value of a cookie in bytes. Browsers keep at least 4,096 with its name and attributes
// (RFC 6265, section 6.1).
const maxCookie = 3800

// briefLifetime is how long a browser keeps a cookie of SetBrief.
const briefLifetime = 10 * time.Minute

// minKey is the shortest accepted key in bytes.
const minKey = 32

// ErrNone reports that a request has no valid session: none at all, a changed or foreign one, or an expired one.
var ErrNone = errors.New("not signed in")

// Session is the sign-in of a visitor.
type Session struct {
	// ID is random. Form tokens are bound to it.
	ID string `json:"i"`
	// Token is the visitor's own token for the APIs. Empty if the visitor signed in by OpenID Connect, or if the APIs
	// require none.
	Token string `json:"t,omitempty"`
	// Actor and Role are those of a visitor who signed in by OpenID Connect. The console's own token then acts for the
	// visitor.
	Actor string `json:"a,omitempty"`
	Role  string `json:"r,omitempty"`
	// Expires is when the session ends.
	Expires time.Time `json:"e"`
}

// Keeper reads and writes sessions. It is safe for concurrent use.
type Keeper struct {
	seal cipher.AEAD
	// formKey authenticates form tokens.
	formKey []byte
	path    string
	secure  bool
	now     func() time.Time
}

// New returns a keeper. secret must have at least 32 bytes. An empty one makes a random key, so that sessions end with
// the process. path is the path below which cookies are sent. With secure they are sent over TLS only.
func New(secret, path string, secure bool, now func() time.Time) (*Keeper, error) {
	key := []byte(secret)
	if secret == "" {
		key = make([]byte, minKey)
		_, _ = rand.Read(key) // never fails
	}
	if len(key) < minKey {
		return nil, fmt.Errorf("the session key has %d bytes: it must have at least %d (openssl rand -hex 32)",
			len(key), minKey)
	}
	sealing, err := hkdf.Key(sha256.New, key, nil, "driftless console session", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key of sessions: %w", err)
	}
	formKey, err := hkdf.Key(sha256.New, key, nil, "driftless console form", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key of forms: %w", err)
	}
	block, err := aes.NewCipher(sealing)
	if err != nil {
		return nil, fmt.Errorf("session key: %w", err)
	}
	// GCM with a random nonce is good for 2^32 sessions of a key (NIST SP 800-38D, section 8.3).
	seal, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("session key: %w", err)
	}
	return &Keeper{seal: seal, formKey: formKey, path: path, secure: secure, now: now}, nil
}

// cookieName returns the name of the session's cookie. With the prefix __Host-, browsers accept it only over TLS, for
// the path /, and not from a subdomain (RFC 6265bis, section 4.1.3).
func (k *Keeper) cookieName() string {
	if k.secure && k.path == "/" {
		return "__Host-driftless"
	}
	return "driftless"
}

// Begin signs a visitor in, and sets the cookie. The id and the end of the session are new. It returns an error for a
// token that does not fit into a cookie.
func (k *Keeper) Begin(w http.ResponseWriter, s Session) error {
	s.ID, s.Expires = rand.Text(), k.now().Add(Lifetime).UTC().Truncate(time.Second)
	value, err := k.Seal("session", s)
	if err != nil {
		return err
	}
	if len(value) > maxCookie {
		return fmt.Errorf("the token has %d bytes, which do not fit into a cookie: use one that driftless token made",
			len(s.Token))
	}
	http.SetCookie(w, k.newCookie(k.cookieName(), value, Lifetime))
	return nil
}

// End signs the visitor out: it deletes the cookie.
func (k *Keeper) End(w http.ResponseWriter) {
	http.SetCookie(w, k.newCookie(k.cookieName(), "", -time.Second))
}

// Read returns the session of a request, or ErrNone.
func (k *Keeper) Read(r *http.Request) (Session, error) {
	c, err := r.Cookie(k.cookieName())
	if err != nil {
		return Session{}, ErrNone
	}
	var s Session
	if err := k.Open("session", c.Value, &s); err != nil {
		return Session{}, ErrNone
	}
	if !k.now().Before(s.Expires) {
		return Session{}, ErrNone
	}
	return s, nil
}

// FormToken returns the value that a form of the session must send.
func (k *Keeper) FormToken(s Session) string {
	mac := hmac.New(sha256.New, k.formKey)
	mac.Write([]byte(s.ID))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// IsFormToken reports whether a form with this value was made for the session.
func (k *Keeper) IsFormToken(s Session, value string) bool {
	return subtle.ConstantTimeCompare([]byte(k.FormToken(s)), []byte(value)) == 1
}

// Seal encrypts a value for a purpose. Only Open with the same purpose and key reads it.
func (k *Keeper) Seal(purpose string, value any) (string, error) {
	plain, err := json.Marshal(value)
	if err != nil {
		return "", fmt.Errorf("seal the %s: %w", purpose, err)
	}
	return base64.RawURLEncoding.EncodeToString(k.seal.Seal(nil, nil, plain, []byte(purpose))), nil //nolint:gosec // it makes its own nonce
}

// Open decrypts a value of Seal into the variable that value points to. It fails if the purpose or key is another one.
func (k *Keeper) Open(purpose, sealed string, value any) error {
	data, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return fmt.Errorf("open the %s: %w", purpose, err)
	}
	plain, err := k.seal.Open(nil, nil, data, []byte(purpose))
	if err != nil {
		return fmt.Errorf("open the %s: %w", purpose, err)
	}
	if err := json.Unmarshal(plain, value); err != nil {
		return fmt.Errorf("open the %s: %w", purpose, err)
	}
	return nil
}

// SetBrief sets a cookie with a sealed value for 10 minutes, such as the state of a sign-in at an identity provider.
// SameSite=Lax lets it come back with a redirect from another site.
func (k *Keeper) SetBrief(w http.ResponseWriter, name string, value any) error {
	sealed, err := k.Seal(name, value)
	if err != nil {
		return err
	}
	http.SetCookie(w, k.newCookie("driftless-"+name, sealed, briefLifetime))
	return nil
}

// TakeBrief reads a cookie of SetBrief, and deletes it. It reports whether there was a valid one.
func (k *Keeper) TakeBrief(w http.ResponseWriter, r *http.Request, name string, value any) bool {
	c, err := r.Cookie("driftless-" + name)
	if err != nil {
		return false
	}
	http.SetCookie(w, k.newCookie("driftless-"+name, "", -time.Second))
	return k.Open(name, c.Value, value) == nil
}

// newCookie returns a cookie with the attributes of every cookie of the console. A negative age deletes it.
func (k *Keeper) newCookie(name, value string, age time.Duration) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // without TLS, as on the own machine, no cookie can be secure
		Name:     name,
		Value:    value,
		Path:     k.path,
		MaxAge:   int(age / time.Second),
		HttpOnly: true,
		Secure:   k.secure,
		SameSite: http.SameSiteLaxMode,
	}
}
