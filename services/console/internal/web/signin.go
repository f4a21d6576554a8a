package web

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"connectrpc.com/connect"
	"github.com/a-h/templ"

	"github.com/driftless-sync/driftless/services/console/internal/session"
	"github.com/driftless-sync/driftless/services/console/internal/view"
)

// askToSignIn leads to the page for signing in. A part of a page that is read again cannot be redirected: its page is
// loaded as a whole.
func (a *App) askToSignIn(w http.ResponseWriter, r *http.Request, path string) {
	to := a.Base + "/sign-in"
	if path != "/" && r.Method == http.MethodGet {
		to += "?" + url.Values{"to": {path}}.Encode()
	}
	if r.Header.Get(headerPart) != "" {
		w.Header().Set("Hx-Redirect", to)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (a *App) showSignIn(w http.ResponseWriter, r *http.Request) {
	a.renderSignIn(w, r, http.StatusOK, "")
}

func (a *App) renderSignIn(w http.ResponseWriter, r *http.Request, status int, problem string) {
	to := backPath(r.FormValue("to"))
	chrome := &view.Chrome{Base: a.Base, Path: "/sign-in", Theme: theme(r), Now: a.Now()}
	page := view.Page{Title: "Sign in", Body: view.SignIn(to, problem, a.OpenID != nil)}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	templ.Handler(view.Layout(page), templ.WithStatus(status)).
		ServeHTTP(w, r.WithContext(view.With(r.Context(), chrome)))
}

// signIn signs in with a token. It needs no form token: the server refuses forms of other origins.
func (a *App) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	token := strings.TrimSpace(r.PostFormValue("token"))
	if token == "" {
		a.renderSignIn(w, r, http.StatusBadRequest, "Enter a token. driftless token makes one.")
		return
	}
	a.begin(w, r, session.Session{Token: token}, backPath(r.PostFormValue("to")))
}

// begin signs in if the APIs accept the session, and goes to a path.
func (a *App) begin(w http.ResponseWriter, r *http.Request, s session.Session, to string) {
	control, _ := a.APIs.For(s)
	who, err := a.APIs.Identify(r.Context(), s, control)
	switch {
	case err != nil && connect.CodeOf(err) == connect.CodeUnauthenticated:
		a.Logger.WarnContext(r.Context(), "a sign-in was refused", "remote", r.RemoteAddr)
		a.renderSignIn(w, r, http.StatusUnauthorized, "This token is not accepted. Check that it is whole, and that it has not expired.")
		return
	case err != nil:
		a.renderSignIn(w, r, http.StatusServiceUnavailable, Explain(err))
		return
	}
	if err := a.Sessions.Begin(w, s); err != nil {
		a.renderSignIn(w, r, http.StatusBadRequest, err.Error())
		return
	}
	a.Logger.InfoContext(r.Context(), "signed in", "visitor", who.Name, "role", who.Role.String())
	http.Redirect(w, r, a.Base+to, http.StatusSeeOther) //nolint:gosec // backPath has checked that it is a path of ours
}

func (a *App) signOut(v *Visit) (Done, error) {
	a.Sessions.End(v.w)
	return Done{Back: "/sign-in"}, nil
}

// oneTimeLink is a link that signs in once.
type oneTimeLink struct {
	mu  sync.Mutex
	key string
}

func newLink(key string) *oneTimeLink { return &oneTimeLink{key: key} }

// use reports whether the key is that of the link, which then ends.
func (l *oneTimeLink) use(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.key == "" || subtle.ConstantTimeCompare([]byte(l.key), []byte(key)) != 1 {
		return false
	}
	l.key = ""
	return true
}

func (a *App) followLink(w http.ResponseWriter, r *http.Request) {
	// A program that only looks at the link, as chats do for a preview, must not use it up.
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if !a.link.use(r.URL.Query().Get("key")) {
		a.renderSignIn(w, r, http.StatusUnauthorized, "The link was used already, or is of an earlier start. Sign in with a token.")
		return
	}
	a.begin(w, r, session.Session{Token: a.LinkToken}, "/")
}

// theme returns the appearance that the visitor has chosen: light, dark, or "" for the browser's.
func theme(r *http.Request) string {
	c, err := r.Cookie("driftless-theme")
	if err != nil || c.Value != "light" && c.Value != "dark" {
		return ""
	}
	return c.Value
}

func setTheme(v *Visit) (Done, error) {
	chosen := v.PostForm.Get("theme")
	if chosen != "light" && chosen != "dark" {
		chosen = ""
	}
	http.SetCookie(v.w, &http.Cookie{ //nolint:gosec // it holds no secret, and has to work without TLS
		Name:     "driftless-theme",
		Value:    chosen,
		Path:     v.Chrome.Base + "/",
		MaxAge:   365 * 24 * 60 * 60,
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	})
	return Done{}, nil
}
