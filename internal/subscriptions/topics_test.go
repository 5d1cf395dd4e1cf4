package subscriptions_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/concordsync/concord/internal/subscriptions"
	"github.com/concordsync/concord/internal/webhook/payload"
)

// What Shopify is asked to send is what the door understands, and the other way round.
func TestTheDoorUnderstandsWhatIsSubscribedTo(t *testing.T) {
	t.Parallel()
	var topics []string
	for _, topic := range slices.Concat(subscriptions.Topics(), subscriptions.ComplianceTopics()) {
		topics = append(topics, string(topic))
	}
	require.ElementsMatch(t, payload.Topics(), topics)
}
