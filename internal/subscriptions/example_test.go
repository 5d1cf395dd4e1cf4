package subscriptions_test

import (
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/shopify"
	"github.com/concordsync/concord/internal/subscriptions"
)

// TestTheExampleOfTheAppSubscribesToEverything holds deploy/shopify.app.toml against the topics that Concord wants.
func TestTheExampleOfTheAppSubscribesToEverything(t *testing.T) {
	t.Parallel()
	var app struct {
		ClientID       string `toml:"client_id"`
		Name           string `toml:"name"`
		ApplicationURL string `toml:"application_url"`
		Embedded       bool   `toml:"embedded"`
		AccessScopes   struct {
			Scopes string `toml:"scopes"`
		} `toml:"access_scopes"`
		Auth struct {
			RedirectURLs []string `toml:"redirect_urls"`
		} `toml:"auth"`
		Webhooks struct {
			APIVersion    string `toml:"api_version"`
			Subscriptions []struct {
				Topics     []shopify.Topic `toml:"topics"`
				Compliance []shopify.Topic `toml:"compliance_topics"`
				URI        string          `toml:"uri"`
			} `toml:"subscriptions"`
		} `toml:"webhooks"`
	}
	read, err := toml.DecodeFile("../../deploy/shopify.app.toml", &app)
	require.NoError(t, err)
	require.Empty(t, read.Undecoded())
	require.Equal(t, shopify.APIVersion, app.Webhooks.APIVersion)
	require.Len(t, app.Webhooks.Subscriptions, 2)
	require.Equal(t, subscriptions.Topics(), app.Webhooks.Subscriptions[0].Topics)
	require.Equal(t, subscriptions.ComplianceTopics(), app.Webhooks.Subscriptions[1].Compliance)
	keeper := subscriptions.Keeper{PublicURL: app.ApplicationURL}
	for _, one := range app.Webhooks.Subscriptions {
		require.Equal(t, keeper.Address("acme"), one.URI)
	}
}
