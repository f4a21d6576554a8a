package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ticks is the number of clock ticks per second in which Linux' /proc counts processor time. It is the same on all
// architectures that Go supports.
const ticks = 100

// cpuOf returns the processor time of a process so far, in seconds. withEnded adds the time of its children that have
// ended.
func cpuOf(pid int, withEnded bool) (float64, error) {
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	// utime, stime, cutime, cstime: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
	last := 13
	if withEnded {
		last = 15
	}
	total := 0.0
	for _, field := range fields[11:last] {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
		}
		total += n
	}
	return total / ticks, nil
}

// cpuOfGroup returns the processor time of a process and its children, including those that have ended.
func cpuOfGroup(pid int) (float64, error) {
	total, err := cpuOf(pid, true)
	if err != nil {
		return 0, err
	}
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, fmt.Errorf("list the processes: %w", err)
	}
	for _, dir := range all {
		child, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		fields, err := stat(child)
		if errors.Is(err, os.ErrNotExist) {
			continue // the process has ended
		}
		if err != nil || fields[1] != strconv.Itoa(pid) {
			continue
		}
		seconds, err := cpuOf(child, true)
		if err == nil {
			total += seconds
		}
	}
	return total, nil
}

// stat returns the fields of a process's status after its name, which may contain any character: state, parent and so
// on.
func stat(pid int) ([]string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, fmt.Errorf("processor time of a process: %w", err)
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 16 {
		return nil, fmt.Errorf("processor time of process %d: %q cannot be read", pid, data)
	}
	return fields, nil
}
