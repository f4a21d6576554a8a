//go:build !linux

package localnodes

import "syscall"

func dieWithParent(*syscall.SysProcAttr) {}
