package stripesim

import (
	"crypto/subtle"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// identity is who makes a request, and the account and mode of the objects that it uses.
type identity struct {
	account  string
	live     bool
	readOnly bool
	key      string
}

var apiVersion = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}(\.[a-z]+)?$`)

// keyMode returns the mode of a key, and whether the key is restricted.
func keyMode(key string) (live, restricted, ok bool) {
	for prefix, mode := range map[string][2]bool{
		"sk_test_": {false, false}, "sk_live_": {true, false}, "rk_test_": {false, true}, "rk_live_": {true, true},
	} {
		if rest, found := strings.CutPrefix(key, prefix); found && rest != "" {
			return mode[0], mode[1], true
		}
	}
	return false, false, false
}

// mask returns the part of a key that Stripe shows in its messages.
func mask(key string) string {
	if len(key) < 12 {
		return "****"
	}
	return key[:8] + strings.Repeat("*", len(key)-12) + key[len(key)-4:]
}

func unauthorized(code, message string) *refusal {
	return &refusal{
		status:       http.StatusUnauthorized,
		kind:         typeInvalid,
		code:         code,
		message:      message,
		keepsKeyFree: true,
	}
}

func (s *Sim) authenticate(r *http.Request) (identity, *refusal) {
	key := r.Header.Get("Authorization")
	if bearer, ok := strings.CutPrefix(key, "Bearer "); ok {
		key = strings.TrimSpace(bearer)
	} else if user, _, ok := r.BasicAuth(); ok {
		key = user
	} else {
		key = ""
	}
	if key == "" {
		return identity{},
			unauthorized("",
				"You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth "+
					"(e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details, "+
					"or we can help at https://support.stripe.com/.")
	}
	if strings.HasPrefix(key, "pk_") {
		return identity{},
			unauthorized("secret_key_required",
				"This API call cannot be made with a publishable API key. Please use a secret API key. "+
					"You can find a list of your API keys at https://dashboard.stripe.com/account/apikeys.")
	}
	live, restricted, ok := keyMode(key)
	id := identity{account: s.cfg.Account, live: live, key: key}
	// Without a list of keys, only the name of a restricted key defines what it may do.
	id.readOnly = restricted && len(s.cfg.APIKeys) == 0 && strings.Contains(key, "readonly")
	if ok && len(s.cfg.APIKeys) > 0 {
		at := slices.IndexFunc(s.cfg.APIKeys,
			func(k APIKey) bool { return subtle.ConstantTimeCompare([]byte(k.Key), []byte(key)) == 1 })
		if ok = at >= 0; ok {
			id.readOnly = s.cfg.APIKeys[at].ReadOnly
			if a := s.cfg.APIKeys[at].Account; a != "" {
				id.account = a
			}
		}
	}
	if !ok {
		return identity{}, unauthorized("", "Invalid API Key provided: "+mask(key))
	}
	if of := r.Header.Get("Stripe-Account"); of != "" && of != id.account {
		if !strings.HasPrefix(of, "acct_") || len(s.cfg.Accounts) > 0 && !slices.Contains(s.cfg.Accounts, of) {
			return identity{}, &refusal{
				status: http.StatusForbidden, kind: typeInvalid, code: "account_invalid", keepsKeyFree: true,
				message: "The provided key '" + mask(key) + "' does not have access to account '" + of +
					"' (or that account does not exist). " +
					"Application access may have been revoked.",
			}
		}
		id.account = of
	}
	return id, nil
}

// permit refuses writes with a key that may only read.
func (id identity) permit(op *operation) *refusal {
	if !id.readOnly || op.method == http.MethodGet {
		return nil
	}
	return id.forbidden(op)
}

// forbidden returns Stripe's answer to a restricted key that lacks a permission.
func (id identity) forbidden(op *operation) *refusal {
	needs := op.permission + "_write"
	if op.method == http.MethodGet {
		needs = op.permission + "_read"
	}
	return &refusal{
		status: http.StatusForbidden, kind: typeInvalid, keepsKeyFree: true,
		message: "The provided key '" + mask(id.key) +
			"' does not have the required permissions for this endpoint on account '" + id.account +
			"'. Having the '" + needs + "' permission would allow this request to continue.",
	}
}

// revoked returns Stripe's answer to a key that was rolled or deleted.
func (id identity) revoked() *refusal {
	return unauthorized("api_key_expired", "Expired API Key provided: "+mask(id.key))
}
