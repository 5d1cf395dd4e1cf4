// Command temporalcli prints the path of a Temporal CLI, building it first when the machine has none. Continuous integration
// runs it before the tests, so that the build does not eat into their time limit.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/concordsync/concord/internal/devserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	path, err := devserver.EnsureCLI(ctx, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(path)
}
