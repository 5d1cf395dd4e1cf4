package main

import "github.com/spf13/cobra"

func newMerchantCommand(a *app) *cobra.Command {
	return &cobra.Command{Use: "merchant", RunE: func(*cobra.Command, []string) error { return failedError("not built yet") }}
}
