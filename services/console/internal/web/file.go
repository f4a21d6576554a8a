package web

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"connectrpc.com/connect"

	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/internal/auth"
)

// form reads a form that is posted, and checks that the visitor may post it. It answers with a page that says why not,
// and returns false.
func (a *App) form(w http.ResponseWriter, r *http.Request, role auth.Role) (*Visit, bool) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	v, ok := a.visit(w, r)
	if !ok {
		return nil, false
	}
	if err := v.parse(); err != nil {
		a.showError(v,
			connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("the form cannot be read: %w", err)))
		return nil, false
	}
	v.Chrome.Path = backPath(v.PostForm.Get("back"))
	if !a.Sessions.IsFormToken(v.Session, v.PostForm.Get("form")) {
		a.showError(v, connect.NewError(connect.CodePermissionDenied,
			errors.New("the form was not made for this session, and nothing was done: open the page again")))
		return nil, false
	}
	if v.Chrome.Role < role {
		a.showError(v, connect.NewError(connect.CodePermissionDenied,
			fmt.Errorf("this needs the role %s, and %s has the role %s", role, v.Chrome.Name, v.Chrome.Role)))
		return nil, false
	}
	return v, true
}

// parse reads the fields of a form into PostForm, also those of a form with a file.
func (v *Visit) parse() error {
	kind, _, _ := mime.ParseMediaType(v.Header.Get("Content-Type"))
	if kind == "multipart/form-data" {
		return v.ParseMultipartForm(maxForm) //nolint:gosec // the body is bounded
	}
	return v.ParseForm()
}

// Upload returns the file of a form, and its name. It returns an error for the visitor if there is none.
func (v *Visit) Upload(field string) (name string, content []byte, err error) {
	file, header, err := v.FormFile(field)
	if err != nil {
		return "", nil, connect.NewError(connect.CodeInvalidArgument, errors.New("no file was chosen"))
	}
	defer func(file multipart.File) { _ = file.Close() }(file)
	content, err = io.ReadAll(file)
	if err != nil {
		return "", nil, fmt.Errorf("read the file %s: %w", header.Filename, err)
	}
	return header.Filename, content, nil
}

// Form adds a form whose answer is a page. It needs a role, and changes nothing. An error of the handler is shown as a
// page: see showError.
func (a *App) Form(role auth.Role, path string, handler func(*Visit) (view.Page, error)) {
	a.mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		v, ok := a.form(w, r, role)
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

// Download is a file for a visitor.
type Download struct {
	// Name is that of the file.
	Name    string
	Content []byte
}

// File adds a file that visitors download. An error of the handler is shown as a page: see showError.
func (a *App) File(path string, handler func(*Visit) (Download, error)) {
	a.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		v, ok := a.visit(w, r)
		if !ok {
			return
		}
		d, err := handler(v)
		if err != nil {
			a.showError(v, err)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Disposition", mime.FormatMediaType("attachment",
			map[string]string{"filename": strings.ReplaceAll(d.Name, "/", "_")}))
		_, _ = w.Write(d.Content)
	})
}
