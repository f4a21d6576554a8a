package localtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// templateVariable names a directory that the test processes of one run share: the first makes a cluster there, and the
// others copy it. initdb takes a second of processor time.
const templateVariable = "DRIFTLESS_TEST_CLUSTER"

// copyCluster makes dir the data directory of a server that has a cluster already. It makes nothing unless
// templateVariable is set, or if dir exists.
func copyCluster(dir string) error {
	template := os.Getenv(templateVariable)
	if template == "" {
		return nil
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeTemplate(template); err != nil {
		return err
	}
	// cp keeps the owner, who is another user if this one is root.
	if output, err := exec.Command("cp", "-a", filepath.Join(template, "data"), dir).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	return nil
}

// makeTemplate makes the cluster that is copied, unless another process has made it.
func makeTemplate(template string) (err error) {
	if err := os.MkdirAll(template, 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(template, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }() // closing it unlocks it
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	made := filepath.Join(template, "data")
	if _, err := os.Stat(made); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Not the directory of a process that was killed: its server may still be stopping.
	draft, err := os.MkdirTemp(template, "draft-")
	if err != nil {
		return err
	}
	if err := os.Chmod(draft, 0o755); err != nil {
		return err
	}
	server, err := startIn(draft, nil)
	if err != nil {
		return err
	}
	if err := server.Close(); err != nil {
		return err
	}
	return os.Rename(draft, made)
}
