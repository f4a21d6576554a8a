package localtest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain is also the process that is killed below.
func TestMain(m *testing.M) {
	if os.Getenv("LOCALTEST_DIE") != "" {
		serveUntilKilled()
	}
	VerifyTestMain(m)
}

func serveUntilKilled() {
	dir, _, err := newScratchDir()
	if err == nil {
		_, err = start(dir, nil)
	}
	if err != nil {
		panic(err)
	}
	fmt.Println(dir)
	select {}
}

func TestNewScratchDir_LeavesNothingWhenTestProcessIsKilled(t *testing.T) {
	t.Parallel()
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), "LOCALTEST_DIE=1")
	victim.Stderr = os.Stderr
	stdout, err := victim.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, victim.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	dir := strings.TrimSpace(line)
	require.FileExists(t, dir+"/postgres/cluster/postmaster.pid")

	require.NoError(t, victim.Process.Kill())
	_ = victim.Wait()
	require.Eventually(t, func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	}, 20*time.Second, 20*time.Millisecond)
}

func TestCanOthersEnter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	inside := filepath.Join(dir, "inside")
	require.NoError(t, os.Mkdir(inside, 0o755))
	for _, d := range []string{dir, filepath.Dir(dir)} {
		require.NoError(t, os.Chmod(d, 0o755))
	}
	require.True(t, canOthersEnter(inside))
	require.NoError(t, os.Chmod(dir, 0o700))
	require.False(t, canOthersEnter(inside))
	require.False(t, canOthersEnter(filepath.Join(dir, "absent")))
}
