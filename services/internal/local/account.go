package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the system user that Postgres runs as. nil means the user of this process.
type account struct {
	name string
	uid  int
	gid  int
}

// runAs returns the account for a cluster. Postgres refuses to run as root. For root it is the owner of an existing
// cluster, else the user `postgres` of the packages, else `nobody`.
func runAs(dataDir string) (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	if info, err := os.Stat(home{dir: dataDir}.cluster()); err == nil {
		if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 {
			uid, gid := int(owner.Uid), int(owner.Gid)
			return &account{name: "user " + strconv.Itoa(uid), uid: uid, gid: gid}, nil
		}
	}
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(found.Uid)
		gid, gidErr := strconv.Atoi(found.Gid)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return nil, fmt.Errorf("ids of the user %s: %w", name, err)
		}
		return &account{name: name, uid: uid, gid: gid}, nil
	}
	return nil, errors.New("Postgres refuses to run as root, and there is neither a user postgres nor nobody; " +
		"run as an ordinary user, or set DATABASE_URL to your own server")
}

// applyTo makes cmd run as the account, in a directory that every account can enter. It removes the environment of this
// process, which has secrets that Postgres must not have, and PG variables.
func (a *account) applyTo(cmd *exec.Cmd) {
	if a != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)},
		}
	}
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH"), "LD_LIBRARY_PATH=" + os.Getenv("LD_LIBRARY_PATH")}
}

// chown changes the owner of a file or directory to the account.
func (a *account) chown(path string) error {
	if a == nil {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

// canEnter reports whether the account can enter dir. It tries instead of reading permissions, because access lists,
// mount options and capabilities matter too.
func (a *account) canEnter(ctx context.Context, bin binaries, dir string) bool {
	if a == nil {
		return true
	}
	cmd := exec.CommandContext(ctx, bin.path("postgres"), "--version")
	cmd.Dir = filepath.Clean(dir)
	a.applyTo(cmd)
	return cmd.Run() == nil
}
