// Package bom lists the modules that are linked into programs of Go, as CycloneDX 1.6. A list has no time and no serial
// number, so that the same programs have the same list.
package bom

import (
	"bytes"
	"cmp"
	"debug/buildinfo"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// Subject is what a list is about.
type Subject struct {
	Name, Version, Description string
}

// Program is a program, with what Go recorded in it.
type Program struct {
	Name string
	Info *buildinfo.BuildInfo
}

// List returns the list of the modules in the programs of the subject. A subject of one program is that program.
func List(s Subject, programs ...Program) ([]byte, error) {
	if len(programs) == 0 {
		return nil, errors.New("there is no program of Go to list the modules of")
	}
	l := &collector{byRef: map[string]bool{}}
	main := application(s, programs[0].Info.Path)
	if len(programs) == 1 {
		l.need(main.BOMRef, programs[0].Info)
	} else {
		main.BOMRef = s.Name + "@" + s.Version
		refs := make([]string, 0, len(programs))
		for _, p := range programs {
			c := application(Subject{Name: p.Name, Version: s.Version}, p.Info.Path)
			l.add(c)
			l.need(c.BOMRef, p.Info)
			refs = append(refs, c.BOMRef)
		}
		l.dependencies = append(l.dependencies, cdx.Dependency{Ref: main.BOMRef, Dependencies: &refs})
	}
	slices.SortStableFunc(l.components, func(a, b cdx.Component) int { return cmp.Compare(a.BOMRef, b.BOMRef) })
	document := cdx.NewBOM()
	document.SerialNumber = ""
	document.Metadata = &cdx.Metadata{Component: &main}
	document.Components, document.Dependencies = &l.components, &l.dependencies
	var b bytes.Buffer
	encoder := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON)
	encoder.SetPretty(true)
	if err := encoder.EncodeVersion(document, cdx.SpecVersion1_6); err != nil {
		return nil, fmt.Errorf("write the bill of materials: %w", err)
	}
	return b.Bytes(), nil
}

func application(s Subject, path string) cdx.Component {
	return cdx.Component{
		BOMRef:      "pkg:golang/" + path + "@" + s.Version,
		Type:        cdx.ComponentTypeApplication,
		Name:        s.Name,
		Version:     s.Version,
		Description: s.Description,
		Licenses:    &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
	}
}

// collector has each component once.
type collector struct {
	components   []cdx.Component
	dependencies []cdx.Dependency
	byRef        map[string]bool
}

func (l *collector) add(c cdx.Component) {
	if !l.byRef[c.BOMRef] {
		l.byRef[c.BOMRef] = true
		l.components = append(l.components, c)
	}
}

// need adds the modules of a program, and that the program needs them.
func (l *collector) need(program string, info *buildinfo.BuildInfo) {
	modules := []cdx.Component{library("std", strings.TrimPrefix(info.GoVersion, "go"))}
	for _, m := range info.Deps {
		modules = append(modules, module(m))
	}
	refs := make([]string, len(modules))
	for i, m := range modules {
		l.add(m)
		refs[i] = m.BOMRef
	}
	l.dependencies = append(l.dependencies, cdx.Dependency{Ref: program, Dependencies: &refs})
}

func module(m *debug.Module) cdx.Component {
	// A module that is replaced by a directory keeps its name.
	if m.Replace != nil && !strings.HasPrefix(m.Replace.Path, ".") {
		m = m.Replace
	}
	return library(m.Path, m.Version)
}

func library(path, version string) cdx.Component {
	url := "pkg:golang/" + path
	if version != "" {
		url += "@" + version
	}
	return cdx.Component{
		BOMRef:     url,
		Type:       cdx.ComponentTypeLibrary,
		Name:       path,
		Version:    version,
		PackageURL: url,
	}
}
