package cmd_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/config"
)

// sharedReaders are the packages that read groups of settings for a program, such as the rules of the guard.
var sharedReaders = []string{
	"../internal/service", "../internal/config", "../internal/stripeapi/stripeconfig", "../reconciliation",
}

// A setting that its program does not read is accepted, documented, and has no effect.
func TestPrograms_ReadEverySetting(t *testing.T) {
	t.Parallel()
	shared := map[string]bool{}
	for _, dir := range sharedReaders {
		noteSelected(t, dir, shared)
	}
	methods := map[string]bool{}
	noteSelected(t, "../internal/config", methods)
	for program, settings := range map[string]any{
		"ingestion":      config.IngestionService{},
		"push":           config.PushService{},
		"pull":           config.PullService{},
		"reconciliation": config.ReconciliationService{},
		"console":        config.ConsoleService{},
	} {
		own := map[string]bool{}
		noteSelected(t, program, own)
		for _, group := range groupsOf(reflect.TypeOf(settings)) {
			if group == reflect.TypeFor[config.File]() {
				continue // read before the settings are
			}
			for f := range group.Fields() {
				if f.Anonymous || own[f.Name] || isPassedOn(group, own) && shared[f.Name] ||
					hasMethodIn(group, own) && methods[f.Name] {
					continue
				}
				require.Fail(t, "nothing reads a setting",
					"%s accepts %s and does not read it: pass %s on in cmd/%s/main.go, or read it where the program "+
						"passes config.%s to", program, f.Tag.Get("env"), f.Name, program, group.Name())
			}
		}
	}
}

// groupsOf returns a struct and the structs that it embeds.
func groupsOf(t reflect.Type) []reflect.Type {
	out := []reflect.Type{t}
	for f := range t.Fields() {
		if f.Anonymous {
			out = append(out, groupsOf(f.Type)...)
		}
	}
	return out
}

// isPassedOn reports whether a program gives a group to a shared reader. service.Main reads some groups of every
// program.
func isPassedOn(group reflect.Type, selected map[string]bool) bool {
	switch group {
	case reflect.TypeFor[config.Log](), reflect.TypeFor[config.Hosts](), reflect.TypeFor[config.NATS]():
		return true
	case reflect.TypeFor[config.Tokens]():
		return selected["Auth"]
	}
	return selected[group.Name()]
}

// hasMethodIn reports whether a program calls a method of a group.
func hasMethodIn(group reflect.Type, selected map[string]bool) bool {
	for m := range group.Methods() {
		if selected[m.Name] {
			return true
		}
	}
	return false
}

// noteSelected notes the names that the code of a directory, without tests, selects from a value: "Slot" of s.Slot.
func noteSelected(t *testing.T, dir string, into map[string]bool) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	require.NotEmpty(t, files, dir)
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		packages := map[string]bool{}
		for _, spec := range file.Imports {
			packages[filepath.Base(strings.Trim(spec.Path.Value, `"`))] = true
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if from, ok := s.X.(*ast.Ident); !ok || !packages[from.Name] {
				into[s.Sel.Name] = true
			}
			return true
		})
	}
}
