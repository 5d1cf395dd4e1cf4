//go:build !linux

package devserver

import "syscall"

// childAttributes has nothing to ask for outside Linux: there a server outlives a parent that is killed without a chance to
// call Stop, and has to be ended by hand.
func childAttributes() *syscall.SysProcAttr { return nil }
