package settings

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// query is what the address of the page says.
type query struct {
	// search restricts the settings to those with a text in their name or value.
	search string
	// service restricts them to one service.
	service string
}

func parse(v url.Values) query {
	return query{search: strings.TrimSpace(v.Get("q")), service: v.Get("service")}
}

// path returns the address of the page.
func (q query) path() string {
	v := url.Values{}
	if q.search != "" {
		v.Set("q", q.search)
	}
	if q.service != "" {
		v.Set("service", q.service)
	}
	if len(v) == 0 {
		return "/settings"
	}
	return "/settings?" + v.Encode()
}

// of returns the query for another service.
func (q query) of(service string) query {
	q.service = service
	return q
}

// command returns the command that prints the same settings.
func (q query) command() string {
	line := "driftless settings"
	if q.service != "" && q.service != consoleName {
		line += " " + visible.Argument(q.service)
	}
	if q.search != "" {
		line += " --all --search " + visible.Argument(q.search)
	}
	return line
}

// consoleName is the name of the console among the services.
const consoleName = "console"

// group is the settings of a service.
type group struct {
	service string
	// unknown says what is not known. Empty if everything is.
	unknown string
	// first have another value than the default, or differ between processes. rest are the others.
	first, rest []*controlv1.EffectiveSetting
}

// groups returns the settings that a query selects, by service. own are those of this console.
func groups(q query, services []*controlv1.ServiceSettings, own []*meshv1.Setting) []group {
	if len(own) > 0 {
		services = append(slices.Clone(services), ownSettings(own))
	}
	var out []group
	for _, s := range services {
		if q.service != "" && q.service != s.GetService() {
			continue
		}
		g := group{service: s.GetService(), unknown: s.GetUnknown()}
		for _, setting := range s.GetSettings() {
			switch {
			case !q.matches(setting):
			case setting.GetChanged() || setting.GetDiffers():
				g.first = append(g.first, setting)
			default:
				g.rest = append(g.rest, setting)
			}
		}
		// Values that differ between processes come first.
		slices.SortStableFunc(g.first, func(a, b *controlv1.EffectiveSetting) int {
			return cmp.Compare(rank(a), rank(b))
		})
		out = append(out, g)
	}
	return out
}

func rank(s *controlv1.EffectiveSetting) int {
	if s.GetDiffers() {
		return 0
	}
	return 1
}

// ownSettings returns the settings of this process in the form of the API.
func ownSettings(own []*meshv1.Setting) *controlv1.ServiceSettings {
	out := &controlv1.ServiceSettings{Service: consoleName, Known: 1}
	for _, s := range own {
		changed := s.GetValue() != s.GetDefault()
		if s.GetSecret() {
			changed = s.GetSet()
		}
		out.Settings = append(out.Settings, &controlv1.EffectiveSetting{
			Name: s.GetName(), Default: s.GetDefault(), Secret: s.GetSecret(), Changed: changed,
			Values: []*controlv1.SettingValue{{Setting: s}},
		})
	}
	return out
}

// matches reports whether a setting has the text that is searched for.
func (q query) matches(s *controlv1.EffectiveSetting) bool {
	if q.search == "" {
		return true
	}
	text := strings.ToLower(q.search)
	has := func(part string) bool { return strings.Contains(strings.ToLower(part), text) }
	return has(s.GetName()) || has(key(s.GetName())) ||
		slices.ContainsFunc(s.GetValues(), func(v *controlv1.SettingValue) bool {
			return has(v.GetSetting().GetValue()) || has(v.GetSetting().GetAt())
		})
}

// key returns the name of a setting as the configuration file has it.
func key(name string) string { return strings.ReplaceAll(name, "-", "_") }

// value returns a value in words.
func value(s *meshv1.Setting) string {
	switch {
	case s.GetSecret() && s.GetSet():
		return "set, and secret"
	case !s.GetSet() || s.GetValue() == "":
		return "not set"
	case s.GetTruncated():
		return s.GetValue() + "…"
	}
	return s.GetValue()
}

// origins are the origins in words.
var origins = map[string]string{"secret_file": "file of its own"} //nolint:gosec // no secret

// origin returns where a value comes from in words.
func origin(s *meshv1.Setting) string {
	words := cmp.Or(origins[s.GetOrigin()], s.GetOrigin())
	if s.GetAt() != "" {
		words += ": " + s.GetAt()
	}
	return words
}

// usual returns the default of a setting in words.
func usual(s *controlv1.EffectiveSetting) string {
	if s.GetSecret() || s.GetDefault() == "" {
		return "not set"
	}
	return s.GetDefault()
}

// empty says why no setting of a service is shown.
func (g group) empty(q query) string {
	switch {
	case len(g.first)+len(g.rest) > 0 || g.unknown != "":
		return ""
	case q.search != "":
		return "No setting has this text."
	}
	return "It has no settings."
}

// more names the settings that have their defaults.
func (g group) more() string {
	return view.Many(uint64(len(g.rest)), "setting has its default", "settings have their defaults")
}
