package host

import (
	"context"
	"fmt"
	"log/slog"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
)

// DialTemporal connects to the Temporal server that TEMPORAL_ADDRESS, TEMPORAL_PROFILE and the other variables of the temporal CLI
// name; without any it is 127.0.0.1:7233. change, which may be nil, adjusts the options.
func DialTemporal(ctx context.Context, logger *slog.Logger, change func(*client.Options)) (client.Client, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return nil, fmt.Errorf("read Temporal's settings: %w. See TEMPORAL_ADDRESS, TEMPORAL_PROFILE and TEMPORAL_CONFIG_FILE", err)
	}
	options.Logger = TemporalLogger(logger)
	if change != nil {
		change(&options)
	}
	c, err := client.DialContext(ctx, options)
	if err != nil {
		address := options.HostPort
		if address == "" {
			address = client.DefaultHostPort
		}
		return nil, fmt.Errorf("reach the Temporal server at %s: %w. Start one with `starter dev`, or set TEMPORAL_ADDRESS", address, err)
	}
	return c, nil
}
