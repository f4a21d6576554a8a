package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/driftless-sync/driftless/services/internal/local"
	"github.com/driftless-sync/driftless/services/internal/redact"
)

type psqlCmd struct {
	Args []string `arg:"" optional:"" help:"Arguments of psql."`
}

// Run replaces this process by psql. The password goes into the environment, which other users cannot read; they can
// read the arguments.
func (cmd *psqlCmd) Run(ctx context.Context, c *cli) error {
	e, err := findMesh(c.DataDir)
	if err != nil {
		return err
	}
	psql, err := local.FindProgram(ctx, "psql")
	if err != nil {
		return fmt.Errorf("%w: install it (Debian, Ubuntu: "+
			"apt-get install -y --no-install-recommends postgresql-client)", err)
	}
	address, password, ok := redact.WithoutPassword(e.Database)
	if !ok {
		return errors.New("the address of the database cannot be parsed: " +
			"run psql yourself with the DATABASE_URL that the mesh was started with")
	}
	env := os.Environ()
	if password != "" {
		env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, "PGPASSWORD=") })
		env = append(env, "PGPASSWORD="+password)
	}
	if err := syscall.Exec(psql, append([]string{"psql", "--dbname=" + address}, cmd.Args...), env); err != nil {
		return fmt.Errorf("run %s: %w", psql, err)
	}
	return nil
}
