package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"connectrpc.com/connect"
)

// Headers of a delegate's call: the actor on whose behalf it calls, and the actor's role. The call has the lower one of
// that role and the token's. Without HeaderRole it has the token's.
const (
	HeaderActor = "Driftless-Actor"
	HeaderRole  = "Driftless-Role"
)

// HeaderExpired is set in the refusal of a token that has expired, so that a client can tell it from a wrong one.
const HeaderExpired = "Driftless-Token-Expired"

// maxActor is the maximum length of an actor in characters.
const maxActor = 200

// Handler passes on requests with a valid token, with their Principal in the context. It refuses others before their
// body is read, in the form that the protocol of the request has for errors.
func (t *Tokens) Handler(next http.Handler) http.Handler {
	errorWriter := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := t.authenticate(r)
		if err == nil {
			next.ServeHTTP(w, r.WithContext(WithPrincipal(r.Context(), p)))
			return
		}
		refuse(errorWriter, w, r, err)
	})
}

// refuse answers a request with an error. A request in none of Connect's protocols gets the error in Connect's JSON.
func refuse(errorWriter *connect.ErrorWriter, w http.ResponseWriter, r *http.Request, err *connect.Error) {
	if err.Code() == connect.CodeUnauthenticated {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if errorWriter.IsSupported(r) {
		_ = errorWriter.Write(w, r, err)
		return
	}
	status := http.StatusForbidden
	switch err.Code() {
	case connect.CodeUnauthenticated:
		status = http.StatusUnauthorized
	case connect.CodeInvalidArgument:
		status = http.StatusBadRequest
	default:
	}
	maps.Copy(w.Header(), err.Meta())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"code": err.Code().String(), "message": err.Message()})
}

// authenticate returns the caller: the token's holder, or the actor for whom a delegate calls.
func (t *Tokens) authenticate(r *http.Request) (Principal, *connect.Error) {
	// The scheme may be in any case (RFC 9110, section 11.1).
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		token = ""
	}
	p, err := t.Find(strings.TrimLeft(token, " "))
	if err != nil {
		refusal := connect.NewError(connect.CodeUnauthenticated, err)
		if _, expired := errors.AsType[*expiredError](err); expired {
			refusal.Meta().Set(HeaderExpired, "true")
		}
		return p, refusal
	}
	return p.onBehalf(r.Header)
}

// onBehalf returns the principal for a request with these headers. With those of a delegate, it is the actor's.
func (p Principal) onBehalf(h http.Header) (Principal, *connect.Error) {
	actors, roles := h.Values(HeaderActor), h.Values(HeaderRole)
	if len(actors)+len(roles) == 0 {
		return p, nil
	}
	if !p.Delegate {
		return p, connect.NewError(connect.CodePermissionDenied, fmt.Errorf(
			"the token %s may not act on behalf of others: leave out the headers %s and %s, or set delegate: true for "+
				"the token", p.Token, HeaderActor, HeaderRole))
	}
	if len(actors) != 1 || len(roles) > 1 {
		return p, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf(
			"a delegate sends the header %s once, and %s at most once", HeaderActor, HeaderRole))
	}
	if err := checkActor(actors[0]); err != nil {
		return p, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("%s: %w", HeaderActor, err))
	}
	p.Actor = strings.TrimSpace(actors[0])
	if len(roles) == 1 {
		role, err := ParseRole(roles[0])
		if err != nil {
			return p, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("%s: %w", HeaderRole, err))
		}
		p.Role = min(p.Role, role)
	}
	return p, nil
}

// checkActor refuses names that the ledger cannot store, or that would look like something else on a terminal.
func checkActor(name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return errors.New("must not be empty")
	case utf8.RuneCountInString(name) > maxActor:
		return fmt.Errorf("must have at most %d characters", maxActor)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("must be UTF-8, with printable characters only")
	default:
		return nil
	}
}
