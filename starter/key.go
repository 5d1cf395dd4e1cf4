package main

import "github.com/spf13/cobra"

func newKeyCommand(a *app) *cobra.Command {
	return &cobra.Command{Use: "key", RunE: func(*cobra.Command, []string) error { return failedError("not built yet") }}
}
