// Package durable writes files that are whole or absent, also after the power was lost.
package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// WriteFile makes a file that has the data and the mode, in place of an earlier one. When it returns nil, the file
// survives a loss of power. A process that dies, or a failure, leaves the earlier file as it was. The directory must
// exist. Two writes of one file at the same time leave one of them.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	dir := filepath.Dir(path)
	draft, err := os.CreateTemp(dir, filepath.Base(path)+".*.new")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = draft.Write(data)
	// Without the sync, a rename may be on disk before the data is. The file would then be empty.
	err = errors.Join(err, draft.Chmod(mode), draft.Sync(), draft.Close())
	if err == nil {
		err = os.Rename(draft.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(draft.Name())))
	}
	return SyncDir(dir)
}

// SyncDir makes what was created, renamed or removed in a directory survive a loss of power.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}
