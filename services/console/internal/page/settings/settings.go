// Package settings is the page with what runs: processes and their versions, what they found when they checked their
// own parts, the settings of the services and where they come from, signatures, streams and consumers.
package settings

import (
	"cmp"
	"slices"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/console/internal/live"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/console/internal/web"
)

// Add adds the page. own are the settings of this console, nil if they are not known.
func Add(app *web.App, own []*meshv1.Setting) {
	app.Page("/settings", func(v *web.Visit) (view.Page, error) { return show(v, own) })
}

// known is what is known of the settings.
type known struct {
	query  query
	groups []group
	// unknown says why nothing is known of the services.
	unknown string
	checked checked
}

func show(v *web.Visit, own []*meshv1.Setting) (view.Page, error) {
	k := known{query: parse(v.URL.Query())}
	status, err := v.Control.GetStatus(v.Context(), connect.NewRequest(&controlv1.GetStatusRequest{}))
	if err != nil {
		return view.Page{}, err
	}
	settings, err := v.Control.GetSettings(v.Context(), connect.NewRequest(&controlv1.GetSettingsRequest{}))
	if err != nil {
		k.unknown = web.Explain(err)
		settings = connect.NewResponse(&controlv1.GetSettingsResponse{})
	}
	answer, err := v.Control.GetFindings(v.Context(), connect.NewRequest(&controlv1.GetFindingsRequest{}))
	if err != nil {
		k.checked = checked{unknown: web.Explain(err)}
	} else {
		k.checked = check(answer.Msg)
	}
	k.groups = groups(k.query, settings.Msg.GetServices(), own)
	return view.Page{
		Title:   "Settings",
		Section: "/settings",
		Body:    page(status.Msg, v.Chrome, k),
		Command: k.query.command(),
		// No event tells what a check has found.
		Live: live.Status + "," + view.Slowly,
	}, nil
}

// process is a row of the table of processes.
type process struct {
	service, role, place, version, doing, problem string
	started, seen                                 time.Time
	tone, state                                   string
}

// processes returns the processes of all services, those that run first.
func processes(s *controlv1.GetStatusResponse) []process {
	var out []process
	for _, service := range s.GetServices() {
		for _, p := range service.GetProcesses() {
			r := p.GetProcess()
			row := process{
				service: service.GetService(),
				role:    r.GetRole(),
				place:   r.GetHost(),
				version: cmp.Or(r.GetVersion(), "unknown"),
				doing:   r.GetDoing(),
				problem: r.GetNotReady(),
				started: r.GetStartedAt().AsTime(),
				seen:    r.GetAt().AsTime(),
				state:   p.GetState(),
				tone:    "good",
			}
			switch {
			case p.GetState() == "lost":
				row.tone, row.problem = "bad", "it has not reported for a while, as after a kill"
			case p.GetState() == "stopped":
				row.tone, row.doing = "", ""
			case row.problem != "":
				row.tone = "held"
			}
			out = append(out, row)
		}
	}
	order := map[string]int{"running": 0, "lost": 1, "stopped": 2}
	slices.SortStableFunc(out, func(a, b process) int { return cmp.Compare(order[a.state], order[b.state]) })
	return out
}

// versions returns the versions of all running processes, sorted. More than one is a skew.
func versions(s *controlv1.GetStatusResponse) []string {
	var out []string
	for _, service := range s.GetServices() {
		out = append(out, service.GetVersions()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
