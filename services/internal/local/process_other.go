//go:build unix && !linux

package local

import (
	"os/exec"
	"strconv"
	"syscall"
)

// stopWithParent does nothing, since only Linux has a parent-death signal. The next start stops a process that is left.
func stopWithParent(*syscall.SysProcAttr, syscall.Signal) {}

// commandLine returns the command line of a running process, or "" if it is gone.
func commandLine(pid int) string {
	output, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return ""
	}
	return string(output)
}
