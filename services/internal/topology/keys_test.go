package topology

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// keyVariables has the keys that keys.go declares, by the names of their variables.
var keyVariables = map[string]Key{
	"KeyOrigin":        KeyOrigin,
	"KeyMapping":       KeyMapping,
	"KeySnapshot":      KeySnapshot,
	"KeyCapture":       KeyCapture,
	"KeyHistory":       KeyHistory,
	"KeyHalted":        KeyHalted,
	"KeyGuard":         KeyGuard,
	"KeyCreationsHeld": KeyCreationsHeld,
	"KeyStripeMode":    KeyStripeMode,
	"KeyEvents":        KeyEvents,
	"KeyPoll":          KeyPoll,
	"KeyScan":          KeyScan,
	"KeyScanState":     KeyScanState,
	"KeyUsage":         KeyUsage,
	"KeyPaused":        KeyPaused,
	"KeyBudget":        KeyBudget,
	"KeyBudgetBell":    KeyBudgetBell,
	"KeyObserved":      KeyObserved,
	"KeyLink":          KeyLink,
	"KeyProcess":       KeyProcess,
}

// accessors maps the methods of state.Stores that return a record or a store to the key that they use.
func accessors(t *testing.T) map[string]string {
	t.Helper()
	// Stores have no topology.Key in their constructor.
	out := map[string]string{
		"Observed": "KeyObserved", "Links": "KeyLink", "Gate": "KeyPaused", "Paused": "KeyPaused",
		"PauseService": "KeyPaused", "ResumeService": "KeyPaused",
	}
	eachFile(t, "../state", func(file *ast.File) {
		for _, decl := range file.Decls {
			method, ok := decl.(*ast.FuncDecl)
			if !ok || method.Recv == nil || !method.Name.IsExported() {
				continue
			}
			for _, key := range keysIn(method) {
				out[method.Name.Name] = key
			}
		}
	})
	return out
}

// keysIn returns the names of the variables topology.Key* in a syntax tree.
func keysIn(tree ast.Node) (keys []string) {
	ast.Inspect(tree, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if pkg, ok := s.X.(*ast.Ident); ok && pkg.Name == "topology" {
				if _, ok := keyVariables[s.Sel.Name]; ok {
					keys = append(keys, s.Sel.Name)
				}
			}
		}
		return true
	})
	return keys
}

// calledOnStores returns the names of the methods that a syntax tree calls on a state.Stores: on a variable or a field
// stores, or on the result of state.New.
func calledOnStores(tree ast.Node) (methods []string) {
	ast.Inspect(tree, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if method.Sel.Name == "Revision" {
			// ObservedStore.Revision reads the state of the stream, and no key.
			return false
		}
		switch on := method.X.(type) {
		case *ast.Ident:
			if on.Name == "stores" {
				methods = append(methods, method.Sel.Name)
			}
		case *ast.SelectorExpr:
			if on.Sel.Name == "stores" {
				methods = append(methods, method.Sel.Name)
			}
		case *ast.CallExpr:
			if made, ok := on.Fun.(*ast.SelectorExpr); ok && made.Sel.Name == "New" && isPackage(made.X, "state") {
				methods = append(methods, method.Sel.Name)
			}
		}
		return true
	})
	return methods
}

func isPackage(x ast.Expr, name string) bool {
	id, ok := x.(*ast.Ident)
	return ok && id.Name == name
}

// eachFile calls do for each Go file below a directory, without tests.
func eachFile(t *testing.T, dir string, do func(*ast.File)) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		do(file)
		return nil
	}))
}

// mayUse reports whether a service may use a key, or all the parts of it that it uses.
func (a access) mayUse(key Key) bool {
	return slices.ContainsFunc(slices.Concat(a.reads, a.writes), func(k Key) bool {
		return k == key || k == key.Sub("*") || k == key.Sub(a.service) ||
			k == key.Sub(a.service).Sub("*")
	})
}

func TestKeys_ListsEveryVariable(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "keys.go", nil, 0)
	require.NoError(t, err)
	var declared []string
	for _, decl := range file.Decls {
		if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.VAR {
			for _, spec := range d.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names {
					declared = append(declared, name.Name)
				}
			}
		}
	}
	for _, name := range declared {
		require.Contains(t, keyVariables, name)
	}
	require.Len(t, declared, len(keyVariables))
}

// Without a permission, NATS drops the request, and the service sees only a timeout.
func TestKeys_ServicesUseOnlyPermittedKeys(t *testing.T) {
	methods := accessors(t)
	for _, name := range []string{"Halted", "Guard", "Capture", "History", "Budget", "BudgetBell", "CreationsHeld"} {
		require.Contains(t, methods, name, "the record has another name")
	}
	used := map[string]bool{}
	for _, a := range accesses {
		var keys []string
		eachFile(t, filepath.Join("..", "..", a.service), func(file *ast.File) {
			keys = append(keys, keysIn(file)...)
			for _, method := range calledOnStores(file) {
				if key, ok := methods[method]; ok {
					keys = append(keys, key)
				}
			}
		})
		require.NotEmpty(t, keys, "%s uses no key", a.service)
		for _, key := range keys {
			used[key] = true
			require.True(t, a.mayUse(keyVariables[key]),
				"%s uses %s: add it to the service's row in access.go, or requests time out", a.service, key)
		}
	}
	for name := range keyVariables {
		require.True(t, used[name], "no service uses %s", name)
	}
}
