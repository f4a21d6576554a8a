package localtest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// guardScript waits until its standard input ends, which happens when the test process is gone, however it ended. It
// then stops a Postgres that is left below the directory, and removes the directory.
const guardScript = `
cat >/dev/null
pid=$(head -n 1 "$1/postgres/cluster/postmaster.pid" 2>/dev/null)
[ -z "$pid" ] || kill -INT "$pid" 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do
	[ -e "$1/postgres/cluster/postmaster.pid" ] || break
	sleep 0.3
done
rm -rf "$1"
`

// newScratchDir creates a directory that Postgres' user can enter; as root, t.TempDir is not one. It is removed by
// remove, when this process ends, or when remove is garbage-collected, so keep a reference to it.
func newScratchDir() (dir string, remove func(), err error) {
	parent := os.TempDir()
	if os.Geteuid() == 0 && !canOthersEnter(parent) {
		parent = "/tmp" // TMPDIR is below /root
	}
	dir, err = os.MkdirTemp(parent, "driftless-test-")
	if err != nil {
		return "", nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", nil, errors.Join(err, os.Remove(dir))
	}
	cmd := exec.Command("/bin/sh", "-c", guardScript, "sh", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C must not reach it
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return "", nil, errors.Join(err, os.Remove(dir))
	}
	return dir, func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	}, nil
}

// canOthersEnter reports whether every user may enter a directory and all that it is in.
func canOthersEnter(dir string) bool {
	info, err := os.Stat(dir)
	if err != nil || info.Mode()&0o001 == 0 {
		return false
	}
	return filepath.Dir(dir) == dir || canOthersEnter(filepath.Dir(dir))
}
