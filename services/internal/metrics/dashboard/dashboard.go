// Package dashboard generates the Grafana dashboard of the mesh. Its rows are in rows.go, and JSON returns the file
// that Grafana imports, deploy/grafana/driftless.json. It uses only metrics of package metrics and rules of
// deploy/alerts; a test checks that.
package dashboard

import (
	"encoding/json"
	"fmt"
)

// Row is a row of panels under a title.
type Row struct {
	Title  string
	Panels []Panel
}

// Panel is one panel.
type Panel struct {
	Title string
	// Help explains the panel in one or two sentences.
	Help string
	// Unit in Grafana's terms: "s", "bytes", "reqps", "percentunit", "short", "bool_yes_no".
	Unit string
	// Stat panels show one number each. The others are graphs over time.
	Stat bool
	// Bad is the value from which a stat is red; nil for never. With Below it is red below that value.
	Bad   *float64
	Below bool
	// Exemplars are shown in a panel of durations.
	Exemplars bool
	Queries   []Query
}

// Query is a PromQL expression with the name of its series.
type Query struct{ Expr, Legend string }

// width of Grafana's grid.
const width = 24

// Heights of panels.
const (
	statHeight  = 4
	graphHeight = 8
)

type object = map[string]any

// JSON returns the dashboard in the format that Grafana imports.
func JSON() ([]byte, error) {
	source := object{"type": "prometheus", "uid": "${datasource}"}
	var panels []object
	id, y := 0, 0
	add := func(p object, x, w, h int) {
		id++
		p["id"], p["gridPos"] = id, object{"x": x, "y": y, "w": w, "h": h}
		panels = append(panels, p)
	}
	for _, row := range Rows {
		add(object{"type": "row", "title": row.Title, "collapsed": false, "panels": []object{}}, 0, width, 1)
		y++
		x, height := 0, 0
		for _, p := range row.Panels {
			w, h := width/3, graphHeight
			if p.Stat {
				w, h = width/8, statHeight
			}
			if x+w > width {
				x, y = 0, y+height
			}
			add(panel(p, source), x, w, h)
			x, height = x+w, h
		}
		y += height
	}
	data, err := json.MarshalIndent(object{
		"title": "Driftless", "uid": "driftless", "tags": []string{"driftless"}, "schemaVersion": 39, "version": 1,
		"editable": true,
		"refresh":  "30s", "time": object{"from": "now-3h", "to": "now"}, "timezone": "browser", "graphTooltip": 1,
		"links": []object{{
			"type": "link", "title": "Runbooks", "icon": "doc", "targetBlank": true,
			"url": "https://github.com/driftless-sync/driftless/tree/main/docs/runbooks",
		}},
		"templating": object{"list": []object{
			{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
			{
				"name": "account", "label": "Account", "type": "query", "datasource": source, "includeAll": true,
				"multi": true, "refresh": 2,
				"query":   object{"query": "label_values(driftless_build_info, account)", "refId": "account"},
				"current": object{"text": "All", "value": "$__all"},
			},
		}},
		"panels": panels,
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the dashboard: %w", err)
	}
	return append(data, '\n'), nil
}

func panel(p Panel, source object) object {
	var targets []object
	for i, q := range p.Queries {
		targets = append(targets, object{
			"refId": string(rune('A' + i)), "expr": q.Expr, "legendFormat": q.Legend, "datasource": source,
			"exemplar": p.Exemplars, "instant": p.Stat, "range": !p.Stat,
		})
	}
	out := object{"title": p.Title, "description": p.Help, "datasource": source, "targets": targets}
	defaults := object{"unit": p.Unit}
	if p.Stat {
		steps := []object{{"color": "green", "value": nil}}
		if p.Bad != nil {
			steps = append(steps, object{"color": "red", "value": *p.Bad})
			if p.Below {
				steps[0]["color"], steps[1]["color"] = "red", "green"
			}
		}
		defaults["thresholds"] = object{"mode": "absolute", "steps": steps}
		out["type"], out["options"] = "stat",
			object{
				"colorMode":     "background",
				"reduceOptions": object{"calcs": []string{"lastNotNull"}},
				"graphMode":     "none",
			}
	} else {
		defaults["custom"] = object{"fillOpacity": 10, "showPoints": "never"}
		out["type"], out["options"] = "timeseries",
			object{"legend": object{"displayMode": "list", "placement": "bottom"}, "tooltip": object{"mode": "multi"}}
	}
	out["fieldConfig"] = object{"defaults": defaults, "overrides": []object{}}
	return out
}
