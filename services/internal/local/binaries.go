package local

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// minMajor is the minimum major version: its pgoutput sends the messages of pg_logical_emit_message.
const minMajor = 14

// binariesVariable names the only directory whose server may be used, for tests on several versions.
const binariesVariable = "DRIFTLESS_POSTGRES_BIN"

// binaries is an installation of PostgreSQL.
type binaries struct {
	dir   string
	major int
}

func (b binaries) path(name string) string { return filepath.Join(b.dir, name) }

// findBinaries returns the usable installations: first in PATH, then where pg_config says, then where packages install
// them, latest version first. There is at least one, or the error is ErrNoPostgres. If DRIFTLESS_POSTGRES_BIN is set,
// only that directory counts, so that a test never runs on another version.
func findBinaries(ctx context.Context) ([]binaries, error) {
	if dir := os.Getenv(binariesVariable); dir != "" {
		found, err := usableBinaries(ctx, []string{dir})
		if err != nil {
			return nil, fmt.Errorf("%s is %s: %w", binariesVariable, dir, err)
		}
		return found, nil
	}
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	if output, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(output)))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin",
	} {
		found, _ := filepath.Glob(pattern) // the only error is a bad pattern
		slices.SortFunc(found, func(a, b string) int { return majorIn(b) - majorIn(a) })
		dirs = append(dirs, found...)
	}
	return usableBinaries(ctx, dirs)
}

// FindProgram returns the path of one of PostgreSQL's programs, from PATH or beside an installed server.
func FindProgram(ctx context.Context, name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	found, _ := findBinaries(ctx) // the error below is about the program, not about a server
	for _, b := range found {
		if _, err := os.Stat(b.path(name)); err == nil {
			return b.path(name), nil
		}
	}
	return "", fmt.Errorf("find PostgreSQL's program %s: %w", name, err)
}

// usableBinaries returns the installations with a suitable version, each once.
func usableBinaries(ctx context.Context, dirs []string) ([]binaries, error) {
	var found []binaries
	var tooOld []string
	for _, dir := range dirs {
		// Programs in PATH are often links to the directory with initdb and postgres.
		server, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
		if err != nil {
			continue
		}
		b := binaries{dir: filepath.Dir(server)}
		if slices.ContainsFunc(found, func(f binaries) bool { return f.dir == b.dir }) {
			continue
		}
		if _, err := os.Stat(b.path("initdb")); err != nil {
			continue
		}
		output, err := exec.CommandContext(ctx, server, "--version").Output() //nolint:gosec // the operator's own server
		if err != nil {
			continue
		}
		if b.major = majorIn(string(output)); b.major < minMajor {
			tooOld = append(tooOld, strings.TrimSpace(string(output)))
			continue
		}
		found = append(found, b)
	}
	const remedy = "install it (Debian, Ubuntu: apt-get update && apt-get install -y --no-install-recommends postgresql), " +
		"or set DATABASE_URL to your own server"
	switch {
	case len(found) > 0:
		return found, nil
	case len(tooOld) > 0:
		return nil, fmt.Errorf("%w: found %s, need %d or later; %s", ErrNoPostgres, strings.Join(tooOld, ", "),
			minMajor,
			remedy)
	default:
		return nil, fmt.Errorf("%w: %s", ErrNoPostgres, remedy)
	}
}

var firstNumber = regexp.MustCompile(`\d+`)

// majorIn returns the major version in the name of a directory or in the output of --version, 0 if there is none.
func majorIn(text string) int {
	major, err := strconv.Atoi(firstNumber.FindString(text))
	if err != nil {
		return 0
	}
	return major
}
