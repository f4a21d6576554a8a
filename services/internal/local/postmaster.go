package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stopOrphan stops the server that still runs on the cluster. Nobody else can be using it, since we hold the lock of
// the data directory: its parent was killed.
//
// A postmaster.pid whose process is gone is left to Postgres. One whose number is a zombie's, or now belongs to another
// program, is removed: Postgres would take that for a running server. Survivors of a killed server that still hold its
// shared memory are noticed by Postgres itself in either case.
func stopOrphan(ctx context.Context, cluster string, log *slog.Logger) error {
	pidFile := filepath.Join(cluster, "postmaster.pid")
	content, err := os.ReadFile(pidFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	line, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid <= 0 {
		return removeStale(pidFile) // cut off while it was written
	}
	if !serves(pid, cluster) {
		if syscall.Kill(pid, 0) == nil {
			return removeStale(pidFile)
		}
		return nil
	}
	log.Warn("stopping the private Postgres that a killed run left behind", "pid", pid, "cluster", cluster)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop the Postgres (process %d) that a killed run left behind on %s: %w", pid, cluster,
				err)
		}
		if err := awaitGone(ctx, pid, cluster, 10*time.Second); !errors.Is(err, errStillThere) {
			return err
		}
	}
	return fmt.Errorf("the Postgres (process %d) that a killed run left behind on %s does not stop", pid, cluster)
}

// serves reports whether the process is the postmaster of the cluster; its children rewrite their command lines.
func serves(pid int, cluster string) bool {
	command := commandLine(pid) + " "
	return strings.Contains(command, "postgres") && strings.Contains(command, " "+cluster+" ")
}

var errStillThere = errors.New("still there")

func awaitGone(ctx context.Context, pid int, cluster string, patience time.Duration) error {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	deadline := time.After(patience)
	for serves(pid, cluster) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return errStillThere
		case <-look.C:
		}
	}
	return nil
}

func removeStale(pidFile string) error {
	if err := os.Remove(pidFile); err != nil {
		return fmt.Errorf("remove a stale postmaster.pid: %w", err)
	}
	return nil
}
