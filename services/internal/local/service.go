package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ServiceConfig is a program that Supervise keeps running.
type ServiceConfig struct {
	Name string
	// Path of the program.
	Path string
	// Env is its whole environment.
	Env []string
	// Output gets what it prints, line by line.
	Output io.Writer
	Logger *slog.Logger
}

// Delays before a program that ended is started again: doubling from the first to the last.
const (
	firstRestart = 250 * time.Millisecond
	lastRestart  = 15 * time.Second
	// settled is how long a program must have run for the next delay to be the first again.
	settled = 10 * time.Second
	// stopGrace is how long a program may take to stop.
	stopGrace = 15 * time.Second
)

// Service is a program that is kept running.
type Service struct {
	cfg   ServiceConfig
	pid   atomic.Int64
	ready atomic.Bool
}

// NewService prepares a program; Run runs it.
func NewService(cfg ServiceConfig) *Service { return &Service{cfg: cfg} }

// Pid of the running process; 0 while there is none.
func (s *Service) Pid() int { return int(s.pid.Load()) }

// Ready says that the program has shown that it can do its work: from now on it is started again whenever it ends.
func (s *Service) Ready() { s.ready.Store(true) }

// Run keeps the program running until ctx ends, then stops it with SIGTERM and waits for it. A program that ends
// before it was ever ready is an error with its last line: it cannot do its work and has said why.
func (s *Service) Run(ctx context.Context) error {
	delay := firstRestart
	for {
		start := time.Now()
		last, err := s.once(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // told to stop
		}
		if !s.ready.Load() {
			return fmt.Errorf("%s cannot start: %s", s.cfg.Name, strings.TrimPrefix(last, s.cfg.Name+": "))
		}
		if time.Since(start) > settled {
			delay = firstRestart
		}
		s.cfg.Logger.WarnContext(ctx, "a service ended and is started again", "service", s.cfg.Name, "in", delay,
			"why", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(delay):
		}
		delay = min(2*delay, lastRestart)
	}
}

// once runs the program to its end and returns the last line it printed.
func (s *Service) once(ctx context.Context) (last string, err error) {
	cmd := exec.Command(s.cfg.Path) //nolint:noctx // it is stopped with a signal, not killed with the context
	cmd.Env = s.cfg.Env
	reader, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	var lines sync.WaitGroup
	lines.Go(func() { last = passLines(s.cfg.Output, reader) })
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
		p.stop(stopGrace, syscall.SIGTERM, syscall.SIGKILL)
	}
	_ = writer.Close()
	lines.Wait()
	if state := cmd.ProcessState; state != nil && !state.Success() {
		return last, errors.New(state.String())
	}
	return last, nil
}
