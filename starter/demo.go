package main

import "github.com/spf13/cobra"

// newDemoCommand is the demo.
func newDemoCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "demo", Short: "Show it all at work on this machine", Args: arguments(0, 0),
		RunE: func(*cobra.Command, []string) error { return failedError("the demo is not built yet") },
	}
}
