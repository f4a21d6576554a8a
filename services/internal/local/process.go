package local

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a child process and the signal of its end.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// startProcess starts cmd in its own process group. A Ctrl-C at the terminal then only reaches this process, which
// stops the others in order. Where the system can, the child is stopped if this process dies first.
func startProcess(cmd *exec.Cmd) (*process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	stopWithParent(cmd.SysProcAttr, syscall.SIGINT)

	p := &process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The parent in the parent-death signal is the thread that forked, so that thread must live as long as the
		// child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.exited)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // the exit status is in ProcessState
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// stop sends the signals one by one, waits for grace after each, and returns when the process is gone.
func (p *process) stop(grace time.Duration, signals ...os.Signal) {
	for _, signal := range signals {
		_ = p.cmd.Process.Signal(signal) // the process may already be gone
		select {
		case <-p.exited:
			return
		case <-time.After(grace):
		}
	}
	<-p.exited
}
