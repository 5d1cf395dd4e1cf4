package devserver

import "syscall"

// childAttributes puts the server into a process group of its own, so that a Ctrl-C at the terminal reaches only us and we stop
// it in order, and asks the kernel to kill it when the thread that started it dies, however we died.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
