package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each service gets its own key. The mesh works with the keys, also after a restart with the same data.
func TestUp_SignsAndVerifies(t *testing.T) {
	t.Parallel()
	data := dataDir(t)
	for range 2 {
		p := up(t, data)
		out, _ := p.command("status", "--output", "json").CombinedOutput()
		require.Contains(t, strings.ReplaceAll(string(out), " ", ""), `"signatures":"signedandchecked"`)
		for name, pid := range p.At.Pids {
			env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
			require.NoError(t, err)
			if name == "console" {
				require.NotContains(t, string(env), "SIGNING", "the console is not in the mesh")
				continue
			}
			require.Contains(t, string(env), "DRIFTLESS_SIGNING_KEY_FILE="+filepath.Join(data, "signing", name+".key"))
			require.Equal(t, 1, strings.Count(string(env), ".key"), "%s gets the key of another service", name)
		}
		demo, err := p.command("demo", "--timeout", "3m").CombinedOutput()
		require.NoError(t, err, "%s\n%s", demo, p.log)
		require.NotContains(t, p.log.String(), "message refused")
		p.stop()
	}
}
