// Package now is the first page: one sentence about the whole, what needs attention, and the way of changes as a live
// picture.
package now

import (
	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/live"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/console/internal/web"
	"github.com/driftless-sync/driftless/services/internal/auth"
)

// Add adds the page and its actions.
func Add(app *web.App) {
	app.Page("/", show)
	app.Action(auth.Operate, "/pause", pause)
	app.Action(auth.Operate, "/resume", resume)
}

func show(v *web.Visit) (view.Page, error) {
	status, mark, err := web.ReadStatus(v)
	if err != nil {
		return view.Page{}, err
	}
	return view.Page{
		Title:   "Now",
		Section: "/",
		Body:    page(status),
		Command: "driftless status",
		Live:    live.Status,
		Read:    mark,
	}, nil
}

// pausable are the services that a visitor can pause.
var pausable = []string{"ingestion", "push", "pull"}

func pause(v *web.Visit) (web.Done, error) {
	service := v.PostForm.Get("service")
	length, err := web.ParseDuration(v.PostForm.Get("for"))
	if err != nil {
		return web.Done{}, err
	}
	request := &controlv1.PauseRequest{Services: []string{service}, Reason: v.PostForm.Get("reason")}
	if length > 0 {
		request.Duration = durationpb.New(length)
	}
	if _, err := v.Control.Pause(v.Context(), connect.NewRequest(request)); err != nil {
		return web.Done{}, err
	}
	return web.Done{Text: service + " is paused.", Command: pauseCommand(service)}, nil
}

func resume(v *web.Visit) (web.Done, error) {
	service := v.PostForm.Get("service")
	request := &controlv1.ResumeRequest{Services: []string{service}}
	if _, err := v.Control.Resume(v.Context(), connect.NewRequest(request)); err != nil {
		return web.Done{}, err
	}
	return web.Done{Text: service + " works again.", Command: resumeCommand(service)}, nil
}

func pauseCommand(service string) string  { return "driftless pause " + service }
func resumeCommand(service string) string { return "driftless resume " + service }
