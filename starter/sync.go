package main

import "github.com/spf13/cobra"

func newSyncCommand(a *app) *cobra.Command {
	return &cobra.Command{Use: "sync", RunE: func(*cobra.Command, []string) error { return failedError("not built yet") }}
}
