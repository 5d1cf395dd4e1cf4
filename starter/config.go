package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/concordsync/concord/internal/config"
)

func newConfigCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "config", Short: "Show every setting: its value, its default, what it is for", Args: arguments(0, 0),
		Long: `Shows our own settings, which are environment variables, with secrets hidden, and which Temporal server would be used.

How to reach Temporal is set the way the temporal CLI knows it: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, the TEMPORAL_TLS_
variables, or a profile of a configuration file (TEMPORAL_CONFIG_FILE, TEMPORAL_PROFILE).`,
		RunE: func(*cobra.Command, []string) error {
			settings, err := a.settings()
			if err != nil {
				return err
			}
			v := &configView{Settings: settings.Table()}
			v.Temporal.From, _ = a.temporalFrom()
			switch _, dev := a.temporalFrom(); {
			case dev != nil:
				v.Temporal.Address = dev.Temporal
			case a.env("TEMPORAL_ADDRESS") != "":
				v.Temporal.Address = a.env("TEMPORAL_ADDRESS")
			}
			return a.show(v)
		},
	}
}

type configView struct {
	Settings []config.Setting `json:"settings"`
	Temporal struct {
		// From says what names the server.
		From string `json:"from"`
		// Address is empty when a profile or a default decides.
		Address string `json:"address,omitempty"`
	} `json:"temporal"`
}

func (v *configView) text(p *page) {
	for _, s := range v.Settings {
		value := s.Value
		switch {
		case value == "" && s.Default != "" && !s.Set:
			value = s.Default
		case value == "":
			value = "not set"
		}
		origin := "default"
		if s.Set {
			origin = "set"
		}
		p.line("%s = %s  (%s)", s.Variable, value, origin)
		description := s.Description
		if s.Allowed != "" {
			description += " Allowed: " + s.Allowed + "."
		}
		if s.Set && s.Default != "" {
			description += " Default: " + s.Default + "."
		}
		for _, line := range wrap(description, 110) {
			p.line("    %s", line)
		}
	}
	p.line("")
	address := ""
	if v.Temporal.Address != "" {
		address = " (" + v.Temporal.Address + ")"
	}
	p.line("Temporal is named by: %s%s", v.Temporal.From, address)
	p.line("    TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_PROFILE and the other variables of the temporal CLI decide.")
}

// wrap breaks text into lines of at most width characters, between words.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
