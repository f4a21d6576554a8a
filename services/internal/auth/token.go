package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Hash is the SHA-256 of a token. A fast hash is enough for tokens that nobody can guess, so HashToken refuses others.
type Hash [sha256.Size]byte

func (h Hash) String() string { return hashPrefix + hex.EncodeToString(h[:]) }

// tokenPrefix lets scanners for secrets recognize a token.
const tokenPrefix = "driftless_token_v1_"

// NewToken returns a random token of 256 bits.
func NewToken() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // It never returns an error.
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// Limits of tokens that were made elsewhere. 26 characters of base32 have 130 bits. Random texts of this length have
// more different characters than the minimum, whatever their alphabet, but for digits.
const (
	minLength    = 26
	maxLength    = 4096
	minDifferent = 12
)

// HashToken returns the hash of a token. It refuses a token that may be guessed: SHA-256 is too fast to protect one.
func HashToken(token string) (Hash, error) {
	different := map[rune]bool{}
	for _, c := range token {
		if c <= ' ' || c > '~' {
			return Hash{}, errors.New("the token must have only letters, digits and signs of ASCII, without spaces")
		}
		different[c] = true
	}
	switch {
	case len(token) > maxLength:
		return Hash{}, fmt.Errorf("the token is longer than %d characters", maxLength)
	case strings.HasPrefix(token, hashPrefix):
		return Hash{}, errors.New("this is the hash of a token, not a token")
	case len(token) < minLength || len(different) < minDifferent:
		return Hash{}, fmt.Errorf("the token is weak: it must be random, with at least %d characters, %d of them "+
			"different; `driftless token new NAME --role ROLE` makes a strong one", minLength, minDifferent)
	}
	return sha256.Sum256([]byte(token)), nil
}
