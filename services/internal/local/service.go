package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ServiceConfig configures a Service.
type ServiceConfig struct {
	Name string
	// Path of the program.
	Path string
	// Env is the complete environment of the program.
	Env []string
	// Files are inherited by the program, as file descriptors from 3 on. They stay open when it ends.
	Files []*os.File
	// Output gets the output of the program, line by line.
	Output io.Writer
	Logger *slog.Logger
}

// Delays before a program that ended is restarted. They double from the first to the last.
const (
	minRestartDelay = 250 * time.Millisecond
	maxRestartDelay = 15 * time.Second
	// stableAfter is how long a program must have run to reset the delay.
	stableAfter = 10 * time.Second
	// stopTimeout is the timeout of a stop before the program is killed.
	stopTimeout = 15 * time.Second
)

// Service runs a program and restarts it when it ends.
type Service struct {
	cfg   ServiceConfig
	pid   atomic.Int64
	ready atomic.Bool
}

// NewService returns a service that does not run yet.
func NewService(cfg ServiceConfig) *Service { return &Service{cfg: cfg} }

// Pid returns the id of the running process, 0 if there is none.
func (s *Service) Pid() int { return int(s.pid.Load()) }

// Ready records that the program can do its work. From then on it is restarted whenever it ends.
func (s *Service) Ready() { s.ready.Store(true) }

// Run keeps the program running until ctx ends. It then stops it with SIGTERM and waits for its end. If the program
// ends before it was ever ready, Run returns an error with its last line, which says why.
func (s *Service) Run(ctx context.Context) error {
	delay := minRestartDelay
	for {
		start := time.Now()
		last, err := s.runOnce(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the stop was wanted
		}
		if !s.ready.Load() {
			return fmt.Errorf("%s cannot start: %s", s.cfg.Name, strings.TrimPrefix(last, s.cfg.Name+": "))
		}
		if time.Since(start) > stableAfter {
			delay = minRestartDelay
		}
		s.cfg.Logger.WarnContext(ctx, "service ended and will be restarted", "service", s.cfg.Name, "in", delay,
			"why", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(delay):
		}
		delay = min(2*delay, maxRestartDelay)
	}
}

// runOnce runs the program until it ends and returns the last line of its output.
func (s *Service) runOnce(ctx context.Context) (last string, err error) {
	cmd := exec.Command(s.cfg.Path) //nolint:noctx // a signal stops it; the context must not kill it
	cmd.Env, cmd.ExtraFiles = s.cfg.Env, s.cfg.Files
	reader, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	var lines sync.WaitGroup
	lines.Go(func() { last = copyLines(s.cfg.Output, reader) })
	p, err := startProcess(cmd)
	if err != nil {
		_ = writer.Close()
		lines.Wait()
		return "", fmt.Errorf("start %s: %w", s.cfg.Path, err)
	}
	s.pid.Store(int64(cmd.Process.Pid))
	defer s.pid.Store(0)
	select {
	case <-p.exited:
	case <-ctx.Done():
		p.stop(stopTimeout, syscall.SIGTERM, syscall.SIGKILL)
	}
	_ = writer.Close()
	lines.Wait()
	if state := cmd.ProcessState; state != nil && !state.Success() {
		return last, errors.New(state.String())
	}
	return last, nil
}
