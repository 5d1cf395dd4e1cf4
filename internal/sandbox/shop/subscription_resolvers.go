package shop

// createSubscription is webhookSubscriptionCreate. What the sandbox would have to leave out of every webhook it refuses, so that it cannot pass
// for honoured.
func createSubscription(store *Store, arguments inputs) (value, error) {
	input := arguments.object("webhookSubscription")
	for _, member := range []string{"filter", "includeFields", "metafieldNamespaces", "metafields"} {
		if input[member] != nil {
			return unmodelled("WebhookSubscriptionInput", member)
		}
	}
	made, refused, err := store.Subscribe(SubscriptionInput{
		Topic: arguments.text("topic"), URI: input.text("uri"), Name: input.text("name"), Format: input.text("format"),
	})
	if err != nil {
		return value{}, err
	}
	return value{object: subscriptionPayload{name: "WebhookSubscriptionCreatePayload", made: made, userErrors: refused}}, nil
}

func listSubscriptions(store *Store, arguments inputs) (value, error) {
	if arguments.text("query") != "" {
		return unmodelled("QueryRoot", "webhookSubscriptions(query:)")
	}
	if arguments.text("format") == "XML" {
		return unmodelled("QueryRoot", "webhookSubscriptions(format: XML)")
	}
	asked := listing(arguments)
	page, err := store.ListSubscriptions(asked.Paging, arguments.texts("topics"), arguments.text("uri"), asked.Reverse)
	if err != nil {
		return value{}, err
	}
	return connectionOf("WebhookSubscription", page, func(s Subscription) object { return subscriptionNode{s} }), nil
}

type subscriptionNode struct{ subscription Subscription }

func (subscriptionNode) typeName() string { return "WebhookSubscription" }

func (s subscriptionNode) resolve(_ *execution, call call) (value, error) {
	switch call.name {
	case "id":
		return text(string(s.subscription.ID)), nil
	case "topic":
		return text(s.subscription.Topic.apiName()), nil
	case "uri":
		return text(s.subscription.URI), nil
	default:
		return unmodelled("WebhookSubscription", call.name)
	}
}

// subscriptionPayload is what the mutations of subscriptions answer.
type subscriptionPayload struct {
	name       string
	made       *Subscription
	deleted    SubscriptionID
	userErrors []UserError
}

func (p subscriptionPayload) typeName() string { return p.name }

func (p subscriptionPayload) resolve(_ *execution, call call) (value, error) {
	switch call.name {
	case "webhookSubscription":
		if p.made == nil {
			return value{}, nil
		}
		return value{object: subscriptionNode{*p.made}}, nil
	case "deletedWebhookSubscriptionId":
		return optionalText(string(p.deleted)), nil
	case "userErrors":
		list := make([]object, 0, len(p.userErrors))
		for _, refused := range p.userErrors {
			list = append(list, userErrorNode{"UserError", refused})
		}
		return listOf(list), nil
	default:
		return unmodelled(p.name, call.name)
	}
}
