package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Principal is the caller of an API.
type Principal struct {
	// Token is the name of the token.
	Token string
	// Role is what the caller may do. For a delegate it is the lower one of the token's and the actor's.
	Role Role
	// Actor is the person on whose behalf a delegate calls. Empty if the token acts for itself.
	Actor string
	// Delegate reports whether the token may act on behalf of others.
	Delegate bool
	// Unnamed reports whether the token is that of DRIFTLESS_TOKEN, or the API asks for none. Such callers may say
	// themselves who they are.
	Unnamed bool
	// Open reports whether the API asks for no token.
	Open bool
	// Expires is when the token stops working. Zero means never.
	Expires time.Time
}

// Name is what the audit trail has: the name of the token, or "ann (by console)".
func (p Principal) Name() string {
	if p.Actor != "" {
		return onBehalf(p.Actor, p.Token)
	}
	return p.Token
}

func onBehalf(actor, token string) string { return actor + " (by " + token + ")" }

// As returns the name for the audit trail if a request says that it comes from an actor, which may be empty. Only
// callers without a name of their own, and delegates, may say so. For others, claimed is the name that the request has
// and that nobody has checked.
func (p Principal) As(actor string) (name, claimed string, err error) {
	actor = strings.TrimSpace(actor)
	name = p.Name()
	if actor == "" || actor == name {
		return name, "", nil
	}
	if err := checkActor(actor); err != nil {
		return "", "", fmt.Errorf("actor: %w", err)
	}
	switch {
	case slices.Contains(services, actor):
		return "", "", fmt.Errorf("actor: %s is the name of a service: say who asks for it", actor)
	case p.Unnamed:
		return actor, "", nil
	case p.Delegate && p.Actor == "":
		return onBehalf(actor, p.Token), "", nil
	default:
		return name, actor, nil
	}
}

// anybody is the caller of an API that asks for no token.
func anybody() Principal { return Principal{Token: Operator, Role: Approve, Unnamed: true, Open: true} }

type principalKey struct{}

// WithPrincipal returns a context with the caller.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// From returns the caller. Without one it returns a principal that may do nothing.
func From(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}
