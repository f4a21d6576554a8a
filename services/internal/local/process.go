package local

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a child process that somebody waits for.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// startProcess starts cmd in a process group of its own, so that a Ctrl-C at the terminal reaches only us and we stop
// things in their order. Where the system can, the child is told to stop should this process die first.
func startProcess(cmd *exec.Cmd) (*process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	stopWithParent(cmd.SysProcAttr, syscall.SIGINT)

	p := &process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// "Parent" in the parent-death signal is the thread that forked, so that thread has to live as long as the
		// child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.exited)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in ProcessState
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// stop sends the signals one after the other, each with the time it has to work, and returns when the process is gone.
func (p *process) stop(grace time.Duration, signals ...os.Signal) {
	for _, signal := range signals {
		_ = p.cmd.Process.Signal(signal) // it may be gone already, which is what we want
		select {
		case <-p.exited:
			return
		case <-time.After(grace):
		}
	}
	<-p.exited
}
