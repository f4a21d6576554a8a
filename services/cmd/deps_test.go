// Package cmd_test checks the boundaries of the design: a binary does not link what its service must not use.
package cmd_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const services = "github.com/driftless-sync/driftless/services/"

func TestPrograms_LinkOnlyTheirOwnDependencies(t *testing.T) {
	t.Parallel()
	dependOnSources(t)

	database := []string{"github.com/jackc/", "github.com/lib/pq", "github.com/pressly/goose"}
	stripe := []string{"github.com/stripe/", services + "internal/stripeapi"}
	standIns := []string{"github.com/nats-io/nats-server", services + "internal/local", services + "stripesim"}
	forTests := []string{
		"github.com/stretchr/testify", "github.com/stripe/stripe-mock", "pgregory.net/rapid", "go.uber.org/goleak",
		"testing",
	}

	for program, forbidden := range map[string][][]string{
		"ingestion":      {stripe, standIns, forTests},
		"push":           {database, standIns, forTests},
		"pull":           {database, standIns, forTests},
		"reconciliation": {stripe, standIns, forTests},
		"driftless":      {forTests},
		"console":        {database, stripe, standIns, forTests},
	} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			linked := dependencies(t, program)
			for _, group := range forbidden {
				for _, path := range group {
					if ours, ok := strings.CutPrefix(path, services); ok {
						// The path of a package that was moved would match nothing.
						require.DirExists(t, filepath.Join("..", ours))
					}
					for _, dependency := range linked {
						require.False(t, within(dependency, path), "%s links %s, which it must not", program,
							dependency)
					}
				}
			}
		})
	}
}

func dependencies(t *testing.T, program string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "./"+program)
	cmd.Stderr = os.Stderr
	output, err := cmd.Output()
	require.NoError(t, err)
	return strings.Fields(string(output))
}

// within reports whether a package is the named one or below it. A name that ends in a slash only names packages below.
func within(path, name string) bool {
	return path == name || strings.HasPrefix(path, strings.TrimSuffix(name, "/")+"/")
}

// dependOnSources makes Go's test cache depend on the files that `go list` reads. The cache only knows the files that
// this process reads, and would keep an old success.
func dependOnSources(t *testing.T) {
	t.Helper()
	_, err := os.Stat("../go.mod")
	require.NoError(t, err)
	require.NoError(t, filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		_, err = os.Stat(path)
		return err
	}))
}
