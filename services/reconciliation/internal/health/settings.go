package health

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/state"
)

// Settings returns the settings of the services as their running processes announce them. service restricts it to one,
// "" to none. ok is false if there is no such service.
func Settings(processes []*meshv1.Process, now time.Time, service string) (out []*controlv1.ServiceSettings, ok bool) {
	for _, name := range services {
		if service == "" || service == name {
			out = append(out, settingsOf(name, processes, now))
		}
	}
	return out, len(out) > 0
}

func settingsOf(service string, processes []*meshv1.Process, now time.Time) *controlv1.ServiceSettings {
	out := &controlv1.ServiceSettings{Service: service}
	var known []*meshv1.Process
	silent := 0
	for _, p := range processes {
		switch {
		case p.GetService() != service || !state.IsRunning(p, now):
		case len(p.GetSettings()) == 0:
			silent++
		default:
			known = append(known, p)
		}
	}
	out.Known = uint32(len(known))
	switch {
	case len(known)+silent == 0:
		out.Unknown = "no process of " + service + " is known to run"
	case silent == 1:
		out.Unknown = "1 process does not say what its settings are: it may be of an earlier version"
	case silent > 1:
		out.Unknown = fmt.Sprintf("%d processes do not say what their settings are: they may be of an earlier version",
			silent)
	}
	for _, name := range settingNames(known) {
		out.Settings = append(out.Settings, mergeSetting(name, known))
	}
	return out
}

// settingNames returns the names of all settings, in the order in which the processes announce them.
func settingNames(processes []*meshv1.Process) []string {
	var out []string
	seen := map[string]bool{}
	for _, p := range processes {
		for _, s := range p.GetSettings() {
			if !seen[s.GetName()] {
				seen[s.GetName()] = true
				out = append(out, s.GetName())
			}
		}
	}
	return out
}

// mergeSetting puts the values of one setting together. Processes with the same value from the same place share one.
func mergeSetting(name string, processes []*meshv1.Process) *controlv1.EffectiveSetting {
	out := &controlv1.EffectiveSetting{Name: name}
	for _, p := range processes {
		i := slices.IndexFunc(p.GetSettings(), func(s *meshv1.Setting) bool { return s.GetName() == name })
		if i < 0 {
			// A process of another version does not have it.
			out.Differs = true
			continue
		}
		s := p.GetSettings()[i]
		out.Default, out.Secret = s.GetDefault(), out.GetSecret() || s.GetSecret()
		out.Changed = out.GetChanged() || isChanged(s)
		j := slices.IndexFunc(out.GetValues(), func(v *controlv1.SettingValue) bool {
			return proto.Equal(v.GetSetting(), s)
		})
		if j < 0 {
			j = len(out.GetValues())
			out.Values = append(out.Values, &controlv1.SettingValue{Setting: s})
		}
		out.Values[j].Processes = append(out.Values[j].Processes, whereabouts(p))
	}
	for _, v := range out.GetValues() {
		first := out.GetValues()[0].GetSetting()
		if v.GetSetting().GetValue() != first.GetValue() || v.GetSetting().GetSet() != first.GetSet() {
			out.Differs = true
		}
	}
	return out
}

// isChanged reports whether a setting has another value than its default. A secret has none.
func isChanged(s *meshv1.Setting) bool {
	if s.GetSecret() {
		return s.GetSet()
	}
	return s.GetValue() != s.GetDefault()
}

// whereabouts says where a process runs.
func whereabouts(p *meshv1.Process) string {
	if p.GetHost() == "" {
		return "process " + p.GetInstance()
	}
	return fmt.Sprintf("%s, process %d", p.GetHost(), p.GetPid())
}
