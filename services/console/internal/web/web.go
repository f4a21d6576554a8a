// Package web is what the console's pages run on: routes, sign-in, roles, forms, errors, and events that make pages
// read themselves again. A page is a function of a visit, which has the APIs with the visitor's own rights.
package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/a-h/templ"

	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
	"github.com/driftless-sync/driftless/services/console/internal/live"
	"github.com/driftless-sync/driftless/services/console/internal/session"
	"github.com/driftless-sync/driftless/services/console/internal/static"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/console/openid"
	"github.com/driftless-sync/driftless/services/internal/auth"
)

// Config configures the console's pages.
type Config struct {
	// Base is the path of the console without a slash at its end.
	Base string
	// APIs makes clients of the APIs.
	APIs *APIs
	// Sessions keeps visitors signed in.
	Sessions *session.Keeper
	// Link is the key of the sign-in link, which signs in once with the token. Empty for none.
	Link, LinkToken string
	// OpenID signs visitors in with an OpenID provider. Nil if there is none.
	OpenID *openid.Provider
	// JaegerURL and StripeURL are the addresses of Jaeger and of Stripe's dashboard. Empty if there is none.
	JaegerURL, StripeURL string
	Now                  func() time.Time
	Logger               *slog.Logger
}

// App serves the pages. Its routes are added before Handler is called.
type App struct {
	Config
	mux  *http.ServeMux
	hub  *live.Hub
	link *oneTimeLink
	// stopping is closed when the process stops.
	stopping <-chan struct{}
}

// New returns an app with the routes of sign-in and events. Events of the app end with ctx.
func New(ctx context.Context, cfg Config) *App {
	a := &App{
		Config: cfg, mux: http.NewServeMux(), hub: live.New(ctx, cfg.Logger), link: newLink(cfg.Link),
		stopping: ctx.Done(),
	}
	a.mux.Handle("GET "+static.Prefix, static.Handler())
	a.mux.HandleFunc("GET /sign-in", a.showSignIn)
	a.mux.HandleFunc("POST /sign-in", a.signIn)
	a.mux.HandleFunc("GET /sign-in/link", a.followLink)
	if cfg.OpenID != nil {
		a.addOpenID()
	}
	a.Action(0, "/sign-out", a.signOut)
	a.Action(0, "/theme", setTheme)
	a.mux.HandleFunc("GET /live", a.serveLive)
	a.mux.HandleFunc("/", a.notFound)
	return a
}

// Handler returns the handler of the console.
func (a *App) Handler() http.Handler {
	var h http.Handler = a.mux
	if a.Base != "" {
		root := http.NewServeMux()
		root.Handle(a.Base+"/", http.StripPrefix(a.Base, a.mux))
		root.Handle("GET "+a.Base, http.RedirectHandler(a.Base+"/", http.StatusSeeOther))
		h = root
	}
	return secure(h)
}

// secure sets the headers that restrict what a page may do. No script, style or image comes from elsewhere, none is in
// the page itself, and no other site may frame it.
func secure(next http.Handler) http.Handler {
	const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// Visit is a request of a visitor who is signed in.
type Visit struct {
	*http.Request
	// Control and Ingest are the APIs with the visitor's rights.
	Control controlv1connect.ControlServiceClient
	Ingest  ingestv1connect.IngestServiceClient
	Chrome  *view.Chrome
	Session session.Session
	w       http.ResponseWriter
	hub     *live.Hub
}

// Page adds a page. Its pattern is a path as of http.ServeMux, without the method. An error of the handler is shown as
// a page: see showError.
func (a *App) Page(path string, handler func(*Visit) (view.Page, error)) {
	pattern := "GET " + path
	if path == "/" {
		pattern = "GET /{$}"
	}
	a.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		v, ok := a.visit(w, r)
		if !ok {
			return
		}
		p, err := handler(v)
		if err != nil {
			a.showError(v, err)
			return
		}
		a.show(v, p)
	})
}

// Done is the result of an action.
type Done struct {
	// Text says what was done.
	Text string
	// Command is the command that does the same.
	Command string
	// Back is the path to go to. It defaults to the page of the form.
	Back string
}

// Action adds an action, which needs a role. It is a form that is posted. Afterwards the visitor sees the page of the
// form again, with the result or the error. The APIs check the role, too.
func (a *App) Action(role auth.Role, path string, handler func(*Visit) (Done, error)) {
	a.mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		v, ok := a.form(w, r, role)
		if !ok {
			return
		}
		done, err := handler(v)
		flash := &view.Flash{Text: done.Text, Command: done.Command}
		if err != nil {
			flash = &view.Flash{Text: Explain(err), Failed: true}
			a.Logger.WarnContext(r.Context(), "an action failed", "path", path, "visitor", v.Chrome.Name, "error", err)
		}
		if flash.Text != "" {
			if err := a.Sessions.SetBrief(w, "flash", cut(flash)); err != nil {
				a.showError(v, err)
				return
			}
		}
		back := v.Chrome.Path
		if err == nil && done.Back != "" {
			back = done.Back
		}
		http.Redirect(w, r, a.Base+back, http.StatusSeeOther)
	})
}

// headerPart is in requests of the script for a part of a page.
const headerPart = "Hx-Request"

// maxForm is the largest form in bytes: a thousand selected products.
const maxForm = 2 << 20

// cut shortens a result to what fits into a cookie. A part of a command would do something else, so it is left out.
func cut(f *view.Flash) *view.Flash {
	const longest = 1200
	short := func(s string) string {
		if len(s) <= longest {
			return s
		}
		return strings.ToValidUTF8(s[:longest], "") + "…"
	}
	command := f.Command
	if len(command) > longest {
		command = ""
	}
	return &view.Flash{Text: short(f.Text), Failed: f.Failed, Command: command}
}

// backPath returns the path of a form's page, "/" if it is none of the console's.
func backPath(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") ||
		strings.ContainsAny(path, "\\\r\n\t") {
		return "/"
	}
	return path
}

// visit identifies the visitor. If nobody is signed in, it answers with the way to sign in, and returns false.
func (a *App) visit(w http.ResponseWriter, r *http.Request) (*Visit, bool) {
	path := r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		path += "?" + r.URL.RawQuery
	}
	s, err := a.Sessions.Read(r)
	if err != nil {
		a.askToSignIn(w, r, path)
		return nil, false
	}
	v := &Visit{Request: r, Session: s, w: w, hub: a.hub}
	v.Control, v.Ingest = a.APIs.For(s)
	v.Chrome = &view.Chrome{
		Base:      a.Base,
		Path:      path,
		FormToken: a.Sessions.FormToken(s),
		Theme:     theme(r),
		Now:       a.Now(),
		JaegerURL: a.JaegerURL,
		StripeURL: a.StripeURL,
	}
	who, err := a.APIs.Identify(r.Context(), s, v.Control)
	if err != nil {
		if connect.CodeOf(err) == connect.CodeUnauthenticated {
			a.Sessions.End(w)
			a.askToSignIn(w, r, path)
			return nil, false
		}
		a.showError(v, err)
		return nil, false
	}
	v.Chrome.Name, v.Chrome.Role, v.Chrome.Account, v.Chrome.Open = who.Name, who.Role, who.Account, who.Open
	if r.Method == http.MethodGet && r.Header.Get(headerPart) == "" {
		var f view.Flash
		if a.Sessions.TakeBrief(w, r, "flash", &f) {
			v.Chrome.Flash = &f
		}
	}
	v.Request = r.WithContext(view.With(r.Context(), v.Chrome))
	return v, true
}

func (a *App) show(v *Visit, p view.Page) {
	if p.Redirect != "" {
		http.Redirect(v.w, v.Request, a.Base+p.Redirect, http.StatusSeeOther)
		return
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	templ.Handler(view.Layout(p), templ.WithStatus(max(p.Status, http.StatusOK))).ServeHTTP(v.w, v.Request)
}

func (a *App) notFound(w http.ResponseWriter, r *http.Request) {
	v, ok := a.visit(w, r)
	if !ok {
		return
	}
	a.showError(v, connect.NewError(connect.CodeNotFound, errors.New("the console has no page here")))
}
