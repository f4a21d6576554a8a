package catalog

import (
	"slices"
	"strconv"
	"strings"
)

// maxPathDepth is the depth of Stripe's parameters: default_price_data[currency_options][eur][tiers][0][unit_amount].
const maxPathDepth = 6

// setting is one value that a call gives an object, with the path to it: {"recurring", "interval"}. Parameters and the
// texts of differences are rendered from settings. Settings are comparable.
type setting struct {
	path  [maxPathDepth]string
	value string
	// priceRef is Param.PriceRef.
	priceRef string
}

// newSetting returns a setting. It leaves out empty names at the end of the path.
func newSetting(value string, path ...string) setting {
	s := setting{value: value}
	copy(s.path[:], path)
	return s
}

// names returns the path without empty names.
func (s setting) names() []string {
	if i := slices.Index(s.path[:], ""); i >= 0 {
		return s.path[:i]
	}
	return s.path[:]
}

func (s setting) hasPath(path ...string) bool { return slices.Equal(s.names(), path) }

// nestedIn returns the setting as a part of another field.
func (s setting) nestedIn(field string) setting {
	out := setting{value: s.value, priceRef: s.priceRef}
	out.path[0] = field
	copy(out.path[1:], s.names())
	return out
}

// param writes the setting as Stripe's parameter.
func (s setting) param() Param {
	names := s.names()
	if len(names) == 1 {
		return Param{Name: names[0], Value: s.value, PriceRef: s.priceRef}
	}
	name := names[0] + "[" + strings.Join(names[1:], "][") + "]"
	return Param{Name: name, Value: s.value, PriceRef: s.priceRef}
}

// field returns the field of the setting as differences name it. A key of metadata and a currency are fields of their
// own.
func (s setting) field() string {
	if s.path[0] == "metadata" || s.path[0] == "currency_options" {
		return s.path[0] + "." + s.path[1]
	}
	return s.path[0]
}

// valueText writes a value as text: "a", "a, b" or "x=a, y=b". The first names of each path are those of the field.
func valueText(settings []setting, first int) string {
	parts := make([]string, 0, len(settings))
	for _, s := range settings {
		rest := s.names()[first:]
		if len(rest) > 0 && isIndex(rest[0]) && (len(rest) == 1 || len(rest) == 2 && rest[1] == "name") {
			rest = nil
		}
		if len(rest) > 0 {
			parts = append(parts, strings.Join(rest, ".")+"="+s.value)
		} else {
			parts = append(parts, s.value)
		}
	}
	return strings.Join(parts, ", ")
}

func isIndex(name string) bool {
	_, err := strconv.Atoi(name)
	return err == nil
}

// settingGroup is everything that a step sets of one field.
type settingGroup struct {
	// name is Stripe's name of the parameter. field is the name in differences.
	name, field string
	settings    []setting
}

// groupByField groups adjacent settings of the same field.
func groupByField(settings []setting) []settingGroup {
	var out []settingGroup
	for _, s := range settings {
		if last := len(out) - 1; last >= 0 && out[last].field == s.field() {
			out[last].settings = append(out[last].settings, s)
			continue
		}
		out = append(out, settingGroup{name: s.path[0], field: s.field(), settings: []setting{s}})
	}
	return out
}

// text returns the value of the group's field as text.
func (g settingGroup) text() string {
	if g.field != g.name {
		return valueText(g.settings, 2)
	}
	return valueText(g.settings, 1)
}

// draft is a step together with the settings from which its parameters are rendered.
type draft struct {
	Step
	settings []setting
}

// newDraft returns a step with the settings of its call, in the order of their parameters' names.
func newDraft(step Step, settings []setting) draft {
	type written struct {
		setting setting
		param   Param
	}
	all := make([]written, len(settings))
	for i, s := range settings {
		all[i] = written{s, s.param()}
	}
	slices.SortStableFunc(all, func(a, b written) int { return strings.Compare(a.param.Name, b.param.Name) })
	d := draft{Step: step, settings: make([]setting, len(all))}
	d.Params = make([]Param, len(all))
	for i, w := range all {
		d.settings[i], d.Params[i] = w.setting, w.param
	}
	return d
}

// value returns the value that a draft sets a field to.
func (d draft) value(path ...string) (value string, ok bool) {
	i := slices.IndexFunc(d.settings, func(s setting) bool { return s.hasPath(path...) })
	if i < 0 {
		return "", false
	}
	return d.settings[i].value, true
}
