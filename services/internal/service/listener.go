package service

import (
	"fmt"
	"net"
	"os"
	"strconv"
)

// listenerVariable has the file descriptor of a listener that the process inherits. It is no setting: only the process
// that has opened the listener can know it.
const listenerVariable = "DRIFTLESS_LISTENER_FD"

// ListenerEnvironment is the entry of the environment for a program whose first inherited file is the listener of its
// HTTP server. The program serves there instead of at its address.
const ListenerEnvironment = listenerVariable + "=3"

// inheritedListener returns the listener that the process inherits, or nil if it inherits none.
func inheritedListener() (net.Listener, error) {
	value, ok := os.LookupEnv(listenerVariable)
	if !ok {
		return nil, nil
	}
	fd, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", listenerVariable, err)
	}
	file := os.NewFile(uintptr(fd), "inherited listener")
	defer file.Close()
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("use the inherited listener: %w", err)
	}
	return listener, nil
}
