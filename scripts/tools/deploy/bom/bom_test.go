package bom_test

import (
	"encoding/json"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/scripts/tools/deploy/bom"
)

// document is the part of a list that the tests read.
type document struct {
	Metadata     struct{ Component component }
	Components   []component
	Dependencies []struct {
		Ref       string
		DependsOn []string
	}
}

type component struct {
	Ref           string `json:"bom-ref"`
	Type, Version string
}

func program(name string, modules ...*debug.Module) bom.Program {
	return bom.Program{
		Name: name,
		Info: &debug.BuildInfo{GoVersion: "go1.26.8", Path: "example.com/" + name, Deps: modules},
	}
}

func list(t *testing.T, programs ...bom.Program) (d document, data []byte) {
	t.Helper()
	data, err := bom.List(bom.Subject{Name: "tools.tar.gz", Version: "0.1.0"}, programs...)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &d)) //nolint:musttag // the format's own names, without regard to case
	return d, data
}

func refs(components []component) (out []string) {
	for _, c := range components {
		out = append(out, c.Ref)
	}
	return out
}

func TestList_NamesEachModuleOnce(t *testing.T) {
	t.Parallel()
	shared := &debug.Module{Path: "example.com/shared", Version: "v1.2.3"}
	forked := &debug.Module{
		Path:    "example.com/old",
		Version: "v1.0.0",
		Replace: &debug.Module{Path: "example.com/fork", Version: "v1.0.1"},
	}
	local := &debug.Module{
		Path:    "example.com/proto",
		Version: "v0.0.0",
		Replace: &debug.Module{Path: "../proto", Version: "(devel)"},
	}

	one, _ := list(t, program("push", shared, forked, local))
	require.Equal(t, component{"pkg:golang/example.com/push@0.1.0", "application", "0.1.0"}, one.Metadata.Component)
	require.Equal(t, []string{
		"pkg:golang/example.com/fork@v1.0.1", "pkg:golang/example.com/proto@v0.0.0",
		"pkg:golang/example.com/shared@v1.2.3", "pkg:golang/std@1.26.8",
	}, refs(one.Components))

	two, data := list(t, program("push", shared), program("pull", shared, forked))
	require.Equal(t, "tools.tar.gz@0.1.0", two.Metadata.Component.Ref)
	require.Equal(t, []string{
		"pkg:golang/example.com/fork@v1.0.1", "pkg:golang/example.com/pull@0.1.0", "pkg:golang/example.com/push@0.1.0",
		"pkg:golang/example.com/shared@v1.2.3", "pkg:golang/std@1.26.8",
	}, refs(two.Components))
	needs := map[string][]string{}
	for _, d := range two.Dependencies {
		needs[d.Ref] = d.DependsOn
	}
	require.Equal(t, map[string][]string{
		"tools.tar.gz@0.1.0":                {"pkg:golang/example.com/push@0.1.0", "pkg:golang/example.com/pull@0.1.0"},
		"pkg:golang/example.com/push@0.1.0": {"pkg:golang/std@1.26.8", "pkg:golang/example.com/shared@v1.2.3"},
		"pkg:golang/example.com/pull@0.1.0": {
			"pkg:golang/std@1.26.8", "pkg:golang/example.com/shared@v1.2.3", "pkg:golang/example.com/fork@v1.0.1",
		},
	}, needs)
	_, again := list(t, program("push", shared), program("pull", shared, forked))
	require.Equal(t, data, again, "equal programs have an equal list")
}

func TestList_RefusesAnArchiveWithoutPrograms(t *testing.T) {
	t.Parallel()
	_, err := bom.List(bom.Subject{Name: "empty.tar.gz", Version: "0.1.0"})
	require.ErrorContains(t, err, "no program")
}
