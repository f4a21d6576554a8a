package local

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/durable"
)

// home is the directory of a private server, with the cluster, its password and its log.
type home struct {
	dir     string
	account *account
}

func (h home) cluster() string  { return filepath.Join(h.dir, "cluster") }
func (h home) password() string { return filepath.Join(h.dir, "password") }
func (h home) log() string      { return filepath.Join(h.dir, "postgres.log") }
func (h home) nonce() string    { return filepath.Join(h.dir, "relocated") }

// chooseHome chooses the directory of the server. That is the data directory. If the account cannot enter it (a
// checkout below /root), it is a directory below cfg.relocateTo.
//
// A nonce in both directories ties them. If it differs, somebody has deleted the data directory to start over. The
// files of the old server are then removed, too: an old catalog must not meet new, empty streams.
func chooseHome(ctx context.Context, cfg PostgresConfig, acc *account, bin binaries) (home, error) {
	asked := home{dir: cfg.DataDir, account: acc}
	if _, err := os.Stat(asked.nonce()); err != nil && acc.canEnter(ctx, bin, cfg.DataDir) {
		return asked, nil
	}
	hash := sha256.Sum256([]byte(cfg.DataDir))
	moved := home{dir: filepath.Join(cfg.relocateTo, hex.EncodeToString(hash[:6]), "postgres"), account: acc}
	nonce, err := readNonce(asked, moved)
	if err != nil {
		return home{}, err
	}
	old, err := os.ReadFile(moved.nonce())
	if err == nil && string(old) != nonce {
		cfg.Logger.Warn("removing the private Postgres of a deleted data directory", "dir", moved.dir)
		if err := stopLeftover(ctx, moved.cluster(), cfg.Logger); err != nil {
			return home{}, err
		}
		if err := os.RemoveAll(moved.dir); err != nil {
			return home{}, fmt.Errorf("remove a deleted data directory's Postgres: %w", err)
		}
	}
	if err := makeEnterable(cfg.relocateTo, filepath.Dir(moved.dir), moved.dir); err != nil {
		return home{},
			fmt.Errorf("the user %s, which Postgres must run as, cannot enter %s, and another directory cannot be created; "+
				"choose a data directory that it can enter: %w", acc.name, cfg.DataDir, err)
	}
	if err := durable.WriteFile(moved.nonce(), []byte(nonce), 0o644); err != nil {
		return home{}, err
	}
	if !acc.canEnter(ctx, bin, moved.dir) {
		return home{}, fmt.Errorf("the user %s, which Postgres must run as, can enter neither %s nor %s; "+
			"choose a data directory that it can enter", acc.name, cfg.DataDir, moved.dir)
	}
	cfg.Logger.Info(
		"the private Postgres is in another directory: the user that it must run as cannot enter the data directory",
		"user", acc.name, "data_dir", cfg.DataDir, "dir", moved.dir)
	return moved, nil
}

// readNonce returns the nonce of the data directory. It creates it at the first time. If either nonce was emptied,
// nobody knows whether the old server belongs to the data directory, so it is not removed.
func readNonce(asked, moved home) (string, error) {
	for _, pair := range [][2]home{{asked, moved}, {moved, asked}} {
		damaged, other := pair[0].nonce(), pair[1].nonce()
		if info, err := os.Stat(damaged); err != nil || info.Size() > 0 {
			continue
		}
		return "", fmt.Errorf("%s is empty, perhaps since a loss of power, so nobody knows whether the Postgres in %s belongs "+
			"to the data directory. If it does, run `cp %q %q` and start again. To start over, remove %s and the data directory",
			damaged, moved.dir, other, damaged, moved.dir)
	}
	return readOrCreateSecret(asked.nonce(), 0o644)
}

// compatible returns the installation for the cluster, which only servers of its own major version can read.
func (h home) compatible(installed []binaries) (binaries, error) {
	content, err := os.ReadFile(filepath.Join(h.cluster(), "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return installed[0], nil
	}
	if err != nil {
		return binaries{}, err
	}
	major := majorIn(string(content))
	for _, bin := range installed {
		if bin.major == major {
			return bin, nil
		}
	}
	return binaries{},
		fmt.Errorf("%w: %s was created by PostgreSQL %d, but %d is installed; install postgresql-%[3]d, "+
			"or delete the data directory to start over", ErrNoPostgres, h.cluster(), major, installed[0].major)
}

// initialise creates the cluster at the first time. It returns the superuser's password.
func (h home) initialise(ctx context.Context, bin binaries, noSync bool) (string, error) {
	if _, err := os.Stat(h.cluster()); err == nil {
		password, err := os.ReadFile(h.password())
		if err == nil && len(password) == 0 {
			err = fmt.Errorf("%s is empty, perhaps since a loss of power", h.password())
		}
		if err != nil {
			return "", fmt.Errorf("the password of the cluster is missing; delete the data directory to start over: %w",
				err)
		}
		return string(password), nil
	}
	password, err := readOrCreateSecret(h.password(), 0o600)
	if err != nil {
		return "", err
	}
	// Created under another name first: a cluster that a kill leaves half done is never used.
	draft := h.cluster() + ".new"
	if err := os.RemoveAll(draft); err != nil {
		return "", err
	}
	if err := os.Mkdir(draft, 0o700); err != nil {
		return "", err
	}
	// initdb runs as the account, which must be able to read the password.
	if err := errors.Join(h.account.chown(draft), h.account.chown(h.password())); err != nil {
		return "", err
	}
	args := []string{
		"-D", draft, "-U", superuser, "--pwfile", h.password(), "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8",
	}
	if noSync {
		args = append(args, "--no-sync")
	}
	initdb := exec.CommandContext(ctx, bin.path("initdb"), args...)
	h.account.applyTo(initdb)
	if output, err := initdb.CombinedOutput(); err != nil {
		return "", fmt.Errorf("create the cluster: %w; initdb said:\n%s", err, bytes.TrimSpace(output))
	}
	if err := os.Rename(draft, h.cluster()); err != nil {
		return "", err
	}
	return password, durable.SyncDir(h.dir)
}

// startServer starts the server process with an empty log.
func (h home) startServer(bin binaries, settings []string) (*process, error) {
	log, err := os.OpenFile(h.log(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	//nolint:noctx // Close stops it in order; the context of the start must not kill it
	cmd := exec.Command(bin.path("postgres"), append([]string{"-D", h.cluster()}, settings...)...)
	cmd.Stdout, cmd.Stderr = log, log
	h.account.applyTo(cmd)
	return startProcess(cmd)
}

// logTail returns the end of the server's log for error messages.
func (h home) logTail() string {
	content, err := os.ReadFile(h.log())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}

// readOrCreateSecret returns the secret in a file. It creates both at the first time.
func readOrCreateSecret(path string, mode os.FileMode) (string, error) {
	content, err := os.ReadFile(path)
	if err == nil && len(content) > 0 {
		return string(content), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	secret := rand.Text()
	// With a half-written password the cluster could not be opened.
	return secret, durable.WriteFile(path, []byte(secret), mode)
}

// makeDir creates a directory if it is absent, and returns its path without symbolic links.
func makeDir(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(dir)
}

// makeEnterable creates directories that every user can enter, whatever the umask.
func makeEnterable(dirs ...string) error {
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}
