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

// stopLeftover stops a server that still runs on the cluster. This process has the lock of the data directory, so the
// server is left from a parent that was killed.
//
// Postgres handles a postmaster.pid whose process is gone. If its number belongs to a zombie or to another program, the
// file is removed, since Postgres would assume a running server. In either case Postgres detects processes of a killed
// server that still use its shared memory.
func stopLeftover(ctx context.Context, cluster string, log *slog.Logger) error {
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
		return removeStale(pidFile) // it is partly written, or of a single-user server
	}
	if !isPostmasterOf(pid, cluster) {
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
		if err := waitUntilGone(ctx, pid, cluster, 10*time.Second); !errors.Is(err, errStillRunning) {
			return err
		}
	}
	return fmt.Errorf("the Postgres (process %d) that a killed run left behind on %s does not stop", pid, cluster)
}

// isPostmasterOf reports whether a process is the postmaster of the cluster. The postmaster's children have other
// command lines.
func isPostmasterOf(pid int, cluster string) bool {
	command := commandLine(pid) + " "
	return strings.Contains(command, "postgres") && strings.Contains(command, " "+cluster+" ")
}

var errStillRunning = errors.New("the process still runs")

// waitUntilGone waits until a process is not the postmaster of the cluster any more. It returns errStillRunning after
// timeout, and the error of ctx if that ends first.
func waitUntilGone(ctx context.Context, pid int, cluster string, timeout time.Duration) error {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	deadline := time.After(timeout)
	for isPostmasterOf(pid, cluster) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return errStillRunning
		case <-poll.C:
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
