package web

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"connectrpc.com/connect"

	"github.com/driftless-sync/driftless/services/console/internal/view"
)

// failure is what a visitor reads about an error.
type failure struct {
	status                       int
	title, text, remedy, command string
}

// classify says what an error of an API means for a visitor.
func classify(err error) failure {
	f := failure{status: http.StatusInternalServerError, title: "Something went wrong", text: Explain(err)}
	switch connect.CodeOf(err) { //nolint:exhaustive // all others are faults of a service
	case connect.CodeNotFound:
		f.status, f.title = http.StatusNotFound, "Not found"
	case connect.CodePermissionDenied:
		f.status, f.title = http.StatusForbidden, "Not allowed"
	case connect.CodeInvalidArgument, connect.CodeFailedPrecondition, connect.CodeOutOfRange:
		f.status, f.title = http.StatusBadRequest, "That is not possible"
	case connect.CodeUnimplemented:
		f.status, f.title = http.StatusBadGateway, "Reconciliation is older than the console"
		f.remedy = "Upgrade reconciliation to the console's version."
		f.command = "driftless version"
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeCanceled:
		f.status, f.title = http.StatusServiceUnavailable, "The mesh does not answer"
		f.remedy = "Nothing is known about the catalog and Stripe while this lasts. This page tries again by itself."
		f.command = "driftless status"
	}
	return f
}

// Explain returns the text of an error without the names of codes.
func Explain(err error) string {
	if c, ok := errors.AsType[*connect.Error](err); ok {
		return strings.Replace(err.Error(), c.Error(), c.Message(), 1)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}

// showError answers with a page that says what failed, and what to do.
func (a *App) showError(v *Visit, err error) {
	f := classify(err)
	if f.status >= http.StatusInternalServerError && v.Context().Err() == nil {
		a.Logger.WarnContext(v.Context(), "a page failed", "path", v.URL.Path, "error", err)
	}
	v.Request = v.WithContext(view.With(v.Context(), v.Chrome))
	p := view.Page{Title: f.title, Status: f.status, Body: view.Failure(f.title, f.text, f.remedy, f.command)}
	if f.status == http.StatusServiceUnavailable {
		p.Live = view.Again
	}
	a.show(v, p)
}
