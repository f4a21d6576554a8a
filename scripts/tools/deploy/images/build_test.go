package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A command without an image or a place in the packages cannot be installed.
func TestPrograms_HaveEveryCommand(t *testing.T) {
	const root = "../../../.."
	built := map[string]bool{}
	for _, p := range programs {
		built[p.pkg] = true
	}
	packages, err := os.ReadFile(root + "/deploy/packages/goreleaser.yaml")
	require.NoError(t, err)
	commands, err := filepath.Glob(root + "/services/cmd/*/main.go")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(commands), 6)
	for _, file := range commands {
		name := filepath.Base(filepath.Dir(file))
		require.True(t, built["./cmd/"+name], "%s has no image", name)
		require.Contains(t, string(packages), "main: ./cmd/"+name+"\n", "the packages lack %s", name)
		if name == "driftless" {
			continue
		}
		env := "deploy/packages/env/" + name + ".env"
		require.FileExists(t, root+"/"+env)
		require.Contains(t, string(packages), "src: "+env+",", "the packages lack the settings of %s", name)
	}
}
