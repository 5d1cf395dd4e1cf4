package main

import "github.com/spf13/cobra"

func newRefusedCommand(a *app) *cobra.Command {
	return &cobra.Command{Use: "refused", RunE: func(*cobra.Command, []string) error { return failedError("not built yet") }}
}
