package web

import (
	"errors"
	"net/http"

	"github.com/driftless-sync/driftless/services/console/internal/session"
	"github.com/driftless-sync/driftless/services/console/openid"
)

// OpenIDPath is the path to which an OpenID provider sends visitors back.
const OpenIDPath = "/sign-in/openid/done"

// attempt is the name of the cookie of a sign-in that has begun.
const attempt = "sign-in"

// addOpenID adds the routes of OpenID Connect.
func (a *App) addOpenID() {
	a.mux.HandleFunc("GET /sign-in/openid", func(w http.ResponseWriter, r *http.Request) {
		address, begun, err := a.OpenID.Begin(r.Context(), backPath(r.URL.Query().Get("to")))
		if err != nil {
			a.Logger.WarnContext(r.Context(), "a sign-in could not begin", "error", err)
			a.renderSignIn(w, r, http.StatusBadGateway, err.Error())
			return
		}
		if err := a.Sessions.SetBrief(w, attempt, begun); err != nil {
			a.renderSignIn(w, r, http.StatusInternalServerError, err.Error())
			return
		}
		http.Redirect(w, r, address, http.StatusSeeOther) //nolint:gosec // the provider's address, of the settings
	})
	a.mux.HandleFunc("GET "+OpenIDPath, func(w http.ResponseWriter, r *http.Request) {
		var begun openid.Attempt
		// Without the cookie the attempt has no state, and is refused.
		_ = a.Sessions.TakeBrief(w, r, attempt, &begun)
		visitor, err := a.OpenID.Finish(r.Context(), r, begun)
		if err != nil {
			status := http.StatusUnauthorized
			if errors.Is(err, openid.ErrNoRole) {
				status = http.StatusForbidden
			}
			a.Logger.WarnContext(r.Context(), "a sign-in was refused", "visitor", visitor.Name, "error", err)
			a.renderSignIn(w, r, status, err.Error())
			return
		}
		a.begin(w, r, session.Session{Actor: visitor.Name, Role: visitor.Role.String()}, backPath(begun.To))
	})
}
