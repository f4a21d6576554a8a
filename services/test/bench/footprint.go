package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

var serviceNames = []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation}

// footprint is the footprint of a service in a process of its own.
type footprint struct {
	ReadyMillis float64 `json:"ready_ms"`
	ResidentMB  float64 `json:"resident_mb"`
}

// idle is how long a service is idle before its memory is read.
const idle = 3 * time.Second

// footprints starts each service's program alone and measures it.
func footprints(ctx context.Context, database, nats string) (map[string]footprint, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the services' programs: %w", err)
	}
	out := map[string]footprint{}
	for _, name := range serviceNames {
		f, err := measureService(ctx, filepath.Join(filepath.Dir(self), name), name, database, nats)
		if err != nil {
			return nil, err
		}
		out[name] = f
	}
	return out, nil
}

func measureService(ctx context.Context, program, name, database, nats string) (f footprint, err error) {
	addr, err := freeAddr()
	if err != nil {
		return f, err
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), "DATABASE_URL="+database, "NATS_URL="+nats, "STRIPE_API_KEY=sk_test_bench",
		"STRIPE_API_BASE=http://127.0.0.1:1",
		"STRIPE_WEBHOOK_SECRET=whsec_bench", "DRIFTLESS_LOG_LEVEL=error",
		"DRIFTLESS_"+strings.ToUpper(name)+"_ADDR="+addr)
	cmd.Stderr = os.Stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return f, fmt.Errorf("start %s: %w", name, err)
	}
	defer func() {
		err = errors.Join(err, cmd.Process.Signal(syscall.SIGTERM))
		_ = cmd.Wait()
	}()
	for !ready(ctx, "http://"+addr) {
		if time.Since(start) > time.Minute {
			return f, fmt.Errorf("%s was not ready within a minute", name)
		}
		select {
		case <-ctx.Done():
			return f, context.Cause(ctx)
		case <-time.After(2 * time.Millisecond):
		}
	}
	f.ReadyMillis = float64(time.Since(start).Microseconds()) / 1000
	select {
	case <-ctx.Done():
		return f, context.Cause(ctx)
	case <-time.After(idle):
	}
	f.ResidentMB, err = memory(cmd.Process.Pid, "VmRSS")
	return f, err
}
