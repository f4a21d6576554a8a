package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a running program of a service.
type process struct {
	cmd   *exec.Cmd
	url   string
	took  time.Duration
	ended chan error
}

// startProcess starts a service's program, which is in this program's folder, and waits until it is ready.
func startProcess(ctx context.Context, name, addr string, env ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the services' programs: %w", err)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(self), name))
	cmd.Env = append(append(os.Environ(), "DRIFTLESS_LOG_LEVEL=error",
		"DRIFTLESS_"+strings.ToUpper(name)+"_ADDR="+addr), env...)
	cmd.Stderr = os.Stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{cmd: cmd, url: "http://" + addr, ended: make(chan error, 1)}
	go func() {
		p.ended <- cmd.Wait()
		close(p.ended)
	}()
	for !ready(ctx, p.url) {
		if time.Since(start) > 2*time.Minute {
			return nil, errors.Join(fmt.Errorf("%s was not ready within two minutes", name), p.stop())
		}
		select {
		case err := <-p.ended:
			return nil, fmt.Errorf("%s has ended: %w", name, err)
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), p.stop())
		case <-time.After(5 * time.Millisecond):
		}
	}
	p.took = time.Since(start)
	return p, nil
}

// stop ends the process, unless it has ended.
func (p *process) stop() error {
	err := p.cmd.Process.Signal(syscall.SIGTERM)
	if ended := <-p.ended; ended != nil && err == nil {
		// The exit status does not matter for the measurement.
		return nil
	}
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// peakMemory returns the maximum resident memory of the process so far, in megabytes.
func (p *process) peakMemory() (float64, error) { return memory(p.cmd.Process.Pid, "VmHWM") }

// freeAddr returns a local address on which nobody listens.
func freeAddr() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a local address
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return addr, nil
}

// memory reads a figure of a process's memory, in megabytes.
func memory(pid int, figure string) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read a process's memory: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, figure+":"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("the memory of process %d is not reported", pid)
}
