package main

import "github.com/spf13/cobra"

func newExplainCommand(a *app) *cobra.Command {
	return &cobra.Command{Use: "explain", RunE: func(*cobra.Command, []string) error { return failedError("not built yet") }}
}
