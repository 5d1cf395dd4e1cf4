package keys

import (
	"runtime"
	"syscall"
	"testing"
)

// asNobody runs f with the file access of a user who owns nothing, for root reads everything.
func asNobody(_ *testing.T, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Never unlocked, so that the thread ends with the goroutine.
		runtime.LockOSThread()
		// It cannot fail, and tells nothing when it is refused: then this is no root either (setfsuid(2)).
		_ = syscall.Setfsuid(65534)
		f()
	}()
	<-done
}
