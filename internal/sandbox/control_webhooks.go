package sandbox

import (
	"fmt"
	"net/http"

	"github.com/concordsync/concord/internal/sandbox/shop"
)

func (sb *Sandbox) mergeCustomers(r *http.Request, act CustomerAct) (Customer, error) {
	store, one, err := sb.find(r, act.Email, act.Phone)
	if err != nil {
		return Customer{}, err
	}
	_, two, err := sb.find(r, act.To, "")
	if err != nil {
		return Customer{}, err
	}
	id, err := store.MergeCustomers(one.ID, two.ID)
	if err != nil {
		return Customer{}, err
	}
	kept, _ := store.CustomerByID(id)
	return customerView(kept), nil
}

func (sb *Sandbox) showWebhooks(r *http.Request, _ none) (WebhooksView, error) {
	store, err := sb.Shop(r.PathValue("domain"))
	if err != nil {
		return WebhooksView{}, err
	}
	report := store.Deliveries()
	return WebhooksView{DeliveryReport: report, Subscriptions: subscriptionViews(store.Subscriptions()),
		Deleted: subscriptionViews(report.Deleted)}, nil
}

func (sb *Sandbox) sendWebhook(r *http.Request, act WebhookAct) (none, error) {
	store, err := sb.Shop(r.PathValue("domain"))
	if err != nil {
		return none{}, err
	}
	if err := store.Send(act.Topic, act.Payload); err != nil {
		return none{}, fmt.Errorf("%w: send %q: %w", errBadRequest, act.Topic, err)
	}
	return none{}, nil
}

func (sb *Sandbox) webhookStruck(r *http.Request, _ none) (Struck, error) {
	store, err := sb.Shop(r.PathValue("domain"))
	if err != nil {
		return nil, err
	}
	return store.WebhookFaults.Struck(), nil
}

func (sb *Sandbox) putWebhookFaults(r *http.Request, faults Faults) (none, error) {
	store, err := sb.Shop(r.PathValue("domain"))
	if err != nil {
		return none{}, err
	}
	return none{}, set(&store.WebhookFaults, faults, webhookFaultKinds)
}

// asking does what a store does with a request about a customer's data.
func (sb *Sandbox) asking(r *http.Request, act CustomerAct, ask func(*shop.Store, shop.CustomerID) error) (none, error) {
	store, customer, err := sb.find(r, act.Email, act.Phone)
	if err != nil {
		return none{}, err
	}
	return none{}, ask(store, customer.ID)
}

func (sb *Sandbox) askForData(r *http.Request, act CustomerAct) (none, error) {
	return sb.asking(r, act, (*shop.Store).AskForData)
}

func (sb *Sandbox) askToRedact(r *http.Request, act CustomerAct) (none, error) {
	return sb.asking(r, act, (*shop.Store).AskToRedact)
}

func (sb *Sandbox) rotateSecret(r *http.Request, rotation Rotation) (none, error) {
	store, err := sb.Shop(r.PathValue("domain"))
	if err != nil {
		return none{}, err
	}
	if rotation.Secret == "" {
		return none{}, fmt.Errorf("%w: give the new secret", errBadRequest)
	}
	store.RotateSecret(rotation.Secret)
	return none{}, nil
}

func (sb *Sandbox) uninstall(r *http.Request, _ none) (none, error) {
	store, err := sb.Shop(r.PathValue("domain"))
	if err != nil {
		return none{}, err
	}
	store.Uninstall()
	return none{}, nil
}

func (sb *Sandbox) install(r *http.Request, _ none) (none, error) {
	store, err := sb.Shop(r.PathValue("domain"))
	if err != nil {
		return none{}, err
	}
	store.Install()
	return none{}, nil
}
