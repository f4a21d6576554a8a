package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/config"
)

func TestGuardPage_CommandsWork(t *testing.T) {
	t.Parallel()
	r := newPageRig(t, "guard")
	c := &cli{Local: config.Local{DataDir: r.dir}}
	held := func() {
		t.Helper()
		commit(t, r.mesh.database, []string{"UPDATE driftless.prices SET unit_amount = unit_amount / 100"})
		awaitQuiet(t, c)
		require.Eventually(t, func() bool {
			out, code := r.run("driftless plan mug")
			return code == 2 && strings.Contains(out, "held by the guard")
		}, scriptTimeout, 50*time.Millisecond)
	}
	held()
	commands := pageCommands(t, "guard.md")
	require.Len(t, commands, 5)
	for i, want := range []struct {
		text string
		code int
	}{
		{"1 product", 2},
		{"driftless approve mug --reason TEXT", 2},
		{"-99 %: 14.00 EUR to 0.14 EUR", 0},
		{"1 held change is approved: push makes it now", 0},
		{"the rule replaced_prices lets every change pass", 0},
	} {
		out, code := r.run(commands[i])
		require.Equal(t, want.code, code, "%s%s", commands[i], out)
		require.Contains(t, out, want.text, commands[i])
	}
	awaitQuiet(t, c)
	out, code := r.run("driftless plan")
	require.Zero(t, code, out)
}
