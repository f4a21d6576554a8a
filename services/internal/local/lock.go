package local

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// dirLock is an exclusive lock on a directory. The kernel releases it when the process ends, however it ends.
type dirLock struct{ file *os.File }

// lockDir locks dir, which must exist. It returns ErrInUse if another process has the lock.
func lockDir(dir string) (*dirLock, error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		defer file.Close()
		return nil, fmt.Errorf("%w: %s runs on %s; stop it or choose another data directory", ErrInUse,
			holderName(file),
			dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), file.Close())
	}
	if err := errors.Join(file.Truncate(0), writeAt(file, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return nil, errors.Join(fmt.Errorf("write the lock file of %s: %w", dir, err), file.Close())
	}
	return &dirLock{file}, nil
}

// release releases the lock. The file stays: if it were removed, two processes could lock two files of the same name.
func (l *dirLock) release() error {
	// A child that was forked by another goroutine has the file too until it executes its program. Closing the file
	// alone would leave the directory locked until then.
	return errors.Join(syscall.Flock(int(l.file.Fd()), syscall.LOCK_UN), l.file.Close())
}

func holderName(file *os.File) string {
	// Only for the message: an empty or odd file makes it vaguer.
	content, _ := io.ReadAll(file)
	if pid := strings.TrimSpace(string(content)); pid != "" {
		return "process " + pid
	}
	return "another process"
}

func writeAt(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}
