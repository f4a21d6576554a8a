package doctor_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/doctor"
)

var update = flag.Bool("update", false, "write the tables of docs/doctor.md")

// TestDocument_IsFresh compares the tables at the end of docs/doctor.md with the checks.
func TestDocument_IsFresh(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "..", "..", "docs", "doctor.md")
	page, err := os.ReadFile(path)
	require.NoError(t, err)
	const heading = "## All checks\n"
	text, _, found := strings.Cut(string(page), heading)
	require.True(t, found)
	want := text + heading + tables()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o600))
		return
	}
	require.Equal(t, want, string(page), "update it with: go test ./internal/doctor -update")
}

func tables() string {
	var b strings.Builder
	group := ""
	for _, c := range doctor.Checks() {
		if c.Group() != group {
			group = c.Group()
			fmt.Fprintf(&b, "\n### %s\n\n| id | severity | finds | why it matters | fix |\n|---|---|---|---|---|\n",
				group)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", c.ID, c.Severity, c.Finds, c.Why, c.Fix)
	}
	return b.String()
}

func TestChecks_AreComplete(t *testing.T) {
	t.Parallel()
	id := regexp.MustCompile(`^[a-z]+\.[a-z_]+$`)
	known := map[string]bool{}
	for _, c := range doctor.Checks() {
		require.Regexp(t, id, c.ID)
		require.False(t, known[c.ID], "%s is there twice", c.ID)
		known[c.ID] = true
		require.Contains(t, []doctor.Severity{doctor.Error, doctor.Warning}, c.Severity)
		for _, text := range []string{c.Finds, c.Why, c.Fix} {
			require.NotEmpty(t, text, c.ID)
			require.NotContains(t, text, "|", c.ID)
		}
		require.NotRegexp(t, `\.$`, c.Finds, c.ID)
		require.Regexp(t, `\.$`, c.Why, c.ID)
	}
	require.Len(t, doctor.Groups(), 8)
}
