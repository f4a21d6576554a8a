package local

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// stopWithParent makes the kernel send signal to the child when its parent dies.
func stopWithParent(attr *syscall.SysProcAttr, signal syscall.Signal) { attr.Pdeathsig = signal }

// commandLine returns the command line of a running process, or "" if it is gone or a zombie. Everybody may read
// /proc/PID/cmdline, unlike the working directory or the executable.
func commandLine(pid int) string {
	content, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return ""
	}
	return string(bytes.ReplaceAll(content, []byte{0}, []byte{' '}))
}
