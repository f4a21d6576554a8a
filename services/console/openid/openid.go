// Package openid signs visitors in with OpenID Connect: the authorization code flow with PKCE (OpenID Connect Core 1.0,
// section 3.1; RFC 7636). A claim of the visitor decides the role.
package openid

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/driftless-sync/driftless/services/internal/auth"
)

// timeout is the longest time for which a sign-in waits for the provider.
const timeout = 15 * time.Second

// Config configures the provider.
type Config struct {
	// Issuer is the provider's address, below which it serves /.well-known/openid-configuration.
	Issuer                 string
	ClientID, ClientSecret string
	// Scopes are asked for beside openid.
	Scopes []string
	// Name is the claim with the visitor's name for the audit trail. It must be one that only the provider can set, and
	// that no two visitors share.
	Name string
	// RoleClaim is the claim that decides the role: a text or a list of texts. Roles has the role of each value.
	RoleClaim string
	Roles     map[string]auth.Role
	// Default is the role of visitors without such a value. 0 refuses them.
	Default auth.Role
	// Redirect is the address of the console to which the provider sends visitors back.
	Redirect string
}

// Visitor is somebody who has signed in.
type Visitor struct {
	Name string
	Role auth.Role
}

// Attempt is a sign-in that has begun. The visitor's browser keeps it, sealed, until the provider sends it back.
type Attempt struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
	// To is where the visitor wanted to go.
	To string `json:"t"`
}

// ErrNoRole reports a visitor whom the provider knows and the settings give no role.
var ErrNoRole = errors.New("no role")

// Provider signs in with a provider. It is safe for concurrent use.
type Provider struct {
	cfg    Config
	client *http.Client
	mu     sync.Mutex
	// found is nil until the provider's metadata was read.
	found *oidc.Provider
}

// New returns a provider. It is asked for its metadata when somebody signs in, so that the console starts without it.
func New(cfg Config) *Provider {
	return &Provider{cfg: cfg, client: &http.Client{Timeout: timeout}}
}

// discover returns the provider's metadata. It reads them again after a failure.
func (p *Provider) discover(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	// The keys of the provider are read with the context of its discovery, long after this request.
	found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.client), p.cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("the OpenID provider %s does not answer as one: %w", p.cfg.Issuer, err)
	}
	p.found = found
	return found, nil
}

func (p *Provider) oauth(found *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID:     p.cfg.ClientID,
		ClientSecret: p.cfg.ClientSecret,
		Endpoint:     found.Endpoint(),
		RedirectURL:  p.cfg.Redirect,
		Scopes:       append([]string{oidc.ScopeOpenID}, p.cfg.Scopes...),
	}
}

// Begin returns the provider's address to send the visitor to, and the attempt to keep.
func (p *Provider) Begin(ctx context.Context, to string) (address string, a Attempt, err error) {
	found, err := p.discover(ctx)
	if err != nil {
		return "", a, err
	}
	a = Attempt{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), To: to}
	return p.oauth(found).AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), a, nil
}

// Finish returns who has signed in, from the request with which the provider sends the visitor back.
func (p *Provider) Finish(ctx context.Context, r *http.Request, a Attempt) (Visitor, error) {
	query := r.URL.Query()
	if a.State == "" || subtle.ConstantTimeCompare([]byte(a.State), []byte(query.Get("state"))) != 1 {
		return Visitor{},
			errors.New("the sign-in was not begun in this browser, or took longer than 10 minutes: begin again")
	}
	if code := query.Get("error"); code != "" {
		return Visitor{},
			fmt.Errorf("the provider refused the sign-in: %s", cmp.Or(printable(query.Get("error_description")),
				printable(code)))
	}
	found, err := p.discover(ctx)
	if err != nil {
		return Visitor{}, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	token, err := p.oauth(found).Exchange(ctx, query.Get("code"), oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return Visitor{}, fmt.Errorf("the provider did not confirm the sign-in: %w", err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := found.VerifierContext(ctx, &oidc.Config{ClientID: p.cfg.ClientID}).Verify(ctx, raw)
	if err != nil {
		return Visitor{}, fmt.Errorf("the provider's token is not valid: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.Nonce)) != 1 {
		return Visitor{}, errors.New("the provider's token belongs to another sign-in: begin again")
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return Visitor{}, fmt.Errorf("read the provider's token: %w", err)
	}
	if err := p.complete(ctx, found, token, id.Subject, claims); err != nil {
		return Visitor{}, err
	}
	return p.visitor(claims)
}

// complete adds the claims that the provider tells only when it is asked (UserInfo), if the token lacks one that
// counts.
func (p *Provider) complete(ctx context.Context, found *oidc.Provider, token *oauth2.Token, subject string,
	claims map[string]any,
) error {
	if claims[p.cfg.Name] != nil && claims[p.cfg.RoleClaim] != nil || found.UserInfoEndpoint() == "" {
		return nil
	}
	info, err := found.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return fmt.Errorf("ask the provider about the visitor: %w", err)
	}
	// OpenID Connect Core 1.0, section 5.3.2: an answer about another subject must not be used.
	if info.Subject != subject {
		return errors.New("the provider answered about somebody else")
	}
	more := map[string]any{}
	if err := info.Claims(&more); err != nil {
		return fmt.Errorf("read what the provider says about the visitor: %w", err)
	}
	for name, value := range more {
		if _, known := claims[name]; !known {
			claims[name] = value
		}
	}
	return nil
}

// visitor returns the name and the role that claims stand for. An address that the provider has not verified is no
// name: its owner may be somebody else.
func (p *Provider) visitor(claims map[string]any) (Visitor, error) {
	name, _ := claims[p.cfg.Name].(string)
	if p.cfg.Name == "email" {
		if verified, _ := claims["email_verified"].(bool); name != "" && !verified {
			return Visitor{}, fmt.Errorf("the provider does not say that it has verified the address %s "+
				"(claim email_verified): set another claim for names, such as preferred_username", printable(name))
		}
	}
	if name = printable(name); name == "" {
		return Visitor{},
			fmt.Errorf("the provider does not say the claim %s, which is the visitor's name for the audit "+
				"trail: ask for another scope, or set another claim", p.cfg.Name)
	}
	v := Visitor{Name: name, Role: p.cfg.Default}
	for _, value := range texts(claims[p.cfg.RoleClaim]) {
		v.Role = max(v.Role, p.cfg.Roles[value])
	}
	if v.Role == 0 {
		return v, fmt.Errorf("%s has %w here: none of the values of the claim %s has one", name, ErrNoRole,
			p.cfg.RoleClaim)
	}
	return v, nil
}

// texts returns the values of a claim that is a text or a list.
func texts(claim any) []string {
	switch c := claim.(type) {
	case string:
		return []string{c}
	case []any:
		var out []string
		for _, value := range c {
			if text, ok := value.(string); ok {
				out = append(out, text)
			}
		}
		return out
	}
	return nil
}

// printable returns a text of the provider without what cannot be seen, and not longer than the audit trail has it.
func printable(text string) string {
	const longest = 200
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "")))
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "")
	}
	return text
}

// anybody stands for every visitor in the settings.
const anybody = "*"

// ParseRoles reads roles as the settings have them: "pricing=approve". It returns the role of each value of the claim,
// and that of all other visitors, 0 if they have none.
func ParseRoles(entries []string) (roles map[string]auth.Role, otherwise auth.Role, err error) {
	roles = map[string]auth.Role{}
	for _, entry := range entries {
		at := strings.LastIndex(entry, "=")
		if at <= 0 {
			return nil, 0, fmt.Errorf("%q must be VALUE=ROLE, such as pricing=approve", entry)
		}
		value := strings.TrimSpace(entry[:at])
		role, err := auth.ParseRole(strings.TrimSpace(entry[at+1:]))
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", value, err)
		}
		if value == anybody {
			otherwise = role
			continue
		}
		roles[value] = role
	}
	if len(roles) == 0 && otherwise == 0 {
		return nil, 0, errors.New("no visitor has a role: set the role of a value of the claim, or of * for everybody")
	}
	return roles, otherwise, nil
}
