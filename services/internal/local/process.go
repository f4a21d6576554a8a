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

// startProcess starts cmd in a process group of its own. Ctrl-C at the terminal then reaches only this process, which
// stops its children in order. On Linux the child also stops if this process dies first.
func startProcess(cmd *exec.Cmd) (*process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	stopWithParent(cmd.SysProcAttr, syscall.SIGINT)

	p := &process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// Linux sends the parent-death signal when the thread that forked ends. So this thread must live as long as the
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

// stop sends the signals in order, at most grace apart. It returns when the process has ended, however long that takes
// after the last one.
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
