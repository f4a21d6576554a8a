package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/driftless-sync/driftless/services/internal/secretfile"
)

// Settings are the tokens that an API accepts. The zero value asks for none.
type Settings struct {
	// Token is the token without a name of its own, of DRIFTLESS_TOKEN: its name is Operator, and its role Approve.
	// Empty for none.
	Token string
	// Tokens are the named tokens, as Entries has them in text, and File the file that they were read from. The file is
	// read again while the service runs. Empty for none.
	Tokens, File string
}

// IsOpen reports whether the API asks for no token.
func (s Settings) IsOpen() bool { return s.Token == "" && s.Tokens == "" && s.File == "" }

// rereadInterval is how often the file is read again.
const rereadInterval = 5 * time.Second

// Errors of Tokens.Find.
var (
	errMissing = errors.New("this needs a token, in the header Authorization: Bearer TOKEN; driftless takes it from DRIFTLESS_TOKEN")
	errUnknown = errors.New("the token is not one of this API: it was mistyped or revoked, or belongs to another mesh")
)

// expiredError is the refusal of a token that has expired.
type expiredError struct{ token Principal }

func (e *expiredError) Error() string {
	return fmt.Sprintf("the token %s expired at %s: make another with `driftless token new %s --role %s`", e.token.Token,
		e.token.Expires.UTC().Format(time.RFC3339), e.token.Token, e.token.Role)
}

// Tokens finds the caller for a token. Nil accepts every caller, as the zero Settings do. Safe for concurrent use.
type Tokens struct {
	cfg    Settings
	logger *slog.Logger
	now    func() time.Time

	mu      sync.Mutex
	named   Entries
	entries []knownToken
	read    time.Time
	// lastError is the error of the latest read, logged once.
	lastError string
}

// knownToken is a token that the API accepts.
type knownToken struct {
	hash      [sha256.Size]byte
	principal Principal
}

// NewTokens returns the tokens of the settings. It returns an error if the named ones are wrong, if there are none in a
// file or text that should have some, or if the file cannot be read.
func NewTokens(cfg Settings, logger *slog.Logger) (*Tokens, error) {
	if logger == nil {
		logger = slog.Default()
	}
	t := &Tokens{cfg: cfg, logger: logger, now: time.Now, read: time.Now()}
	var err error
	switch {
	case cfg.File != "":
		t.named, err = readEntries(cfg.File)
	case cfg.Tokens != "":
		if t.named, err = ParseEntries(cfg.Tokens); err != nil {
			err = fmt.Errorf("DRIFTLESS_TOKENS: %w", err)
		}
	}
	if err != nil {
		return nil, err
	}
	t.entries = known(cfg.Token, t.named)
	for _, e := range t.named {
		if !e.Expires.IsZero() && !t.now().Before(e.Expires) {
			logger.Warn("a token has expired", "token", e.Name, "expired", e.Expires)
		}
	}
	return t, nil
}

// ParseEntries reads the text of DRIFTLESS_TOKENS, which must have an entry.
func ParseEntries(text string) (out Entries, err error) {
	if err := out.UnmarshalText([]byte(text)); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, errors.New("there is no token: make one with `driftless token new NAME --role ROLE`")
	}
	return out, nil
}

// readEntries reads a file of tokens.
func readEntries(path string) (Entries, error) {
	const setting = "DRIFTLESS_TOKENS_FILE"
	text, err := secretfile.Read(setting, path)
	if err != nil {
		return nil, err
	}
	entries, err := ParseEntries(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", setting, path, err)
	}
	return entries, nil
}

// known returns the tokens that are accepted: the unnamed one unless it is empty, and the named ones.
func known(unnamed string, named Entries) []knownToken {
	var out []knownToken
	if unnamed != "" {
		out = append(out, knownToken{
			hash:      sha256.Sum256([]byte(unnamed)),
			principal: Principal{Token: Operator, Role: Approve, Unnamed: true},
		})
	}
	for _, e := range named {
		out = append(out, knownToken{
			hash:      e.Hash,
			principal: Principal{Token: e.Name, Role: e.Role, Delegate: e.Delegate, Expires: e.Expires},
		})
	}
	return out
}

// Find returns the caller with a token, which may be empty. Its time does not depend on how much of the token is right.
func (t *Tokens) Find(token string) (Principal, error) {
	if t == nil || t.cfg.IsOpen() {
		return anybody(), nil
	}
	if token == "" {
		return Principal{}, errMissing
	}
	hash := sha256.Sum256([]byte(token))
	var found *Principal
	for _, e := range t.current() {
		// No early end: the time must not tell which entry is equal.
		if subtle.ConstantTimeCompare(hash[:], e.hash[:]) == 1 {
			found = &e.principal
		}
	}
	switch {
	case found == nil:
		return Principal{}, errUnknown
	case !found.Expires.IsZero() && !t.now().Before(found.Expires):
		return Principal{}, &expiredError{*found}
	default:
		return *found, nil
	}
}

// current returns the tokens, read from the file at most rereadInterval ago. If the file is wrong, the previous tokens
// stay: an API that suddenly refused everybody, or nobody, would be worse.
func (t *Tokens) current() []knownToken {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cfg.File == "" || t.now().Sub(t.read) < rereadInterval {
		return t.entries
	}
	t.read = t.now()
	named, err := readEntries(t.cfg.File)
	if err != nil {
		if err.Error() != t.lastError {
			t.logger.Error("could not reread the tokens; using the previous ones", "error", err)
		}
		t.lastError = err.Error()
		return t.entries
	}
	t.lastError = ""
	if named.String() != t.named.String() {
		t.named, t.entries = named, known(t.cfg.Token, named)
		t.logger.Info("tokens replaced", "tokens", t.names())
	}
	return t.entries
}

// names returns each token with its role, for logs.
func (t *Tokens) names() []string {
	out := make([]string, len(t.named))
	for i, e := range t.named {
		out[i] = e.Name + "=" + e.Role.String()
	}
	return out
}
