// Command starter is Concord's command line: it starts everything on one machine, sets merchants up, switches syncs, and tells how
// things stand. `starter help` lists the verbs and the exit codes.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks for an orderly end; with the handler gone the second one ends us at once.
	context.AfterFunc(ctx, stop)
	return newApp().execute(ctx, os.Args[1:])
}
