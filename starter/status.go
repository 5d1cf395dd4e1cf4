package main

import "github.com/spf13/cobra"

func newStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{Use: "status", RunE: func(*cobra.Command, []string) error { return failedError("not built yet") }}
}
