package host

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/reconcile"
	"github.com/concordsync/concord/internal/shopify"
)

// accounts opens a merchant's connections and keeps them while settings and credentials stay what they are, so that everything in
// this process shares one API budget, one request rate and one token.
type accounts struct {
	merchants *merchant.Store
	now       func() time.Time

	mu   sync.Mutex
	open map[string]*openAccount
}

type openAccount struct {
	settings    merchant.Settings
	credentials merchant.Credentials
	account     *reconcile.Account
}

func (a *accounts) connect(ctx context.Context, id string) (*reconcile.Account, error) {
	m, err := a.merchants.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	credentials, err := a.merchants.Credentials(ctx, id)
	if err != nil {
		return nil, err
	}
	// That the zone was proven is news of this account's own making, and no reason to give up its budget and token.
	settings := m.Settings
	settings.ZoneProven = false
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.open[id]; known != nil && known.credentials == credentials && reflect.DeepEqual(known.settings, settings) {
		return known.account, nil
	}
	store, list, err := Clients(m.Settings, credentials, a.now)
	if err != nil {
		return nil, err
	}
	account, err := reconcile.NewAccount(m.Settings, store, list)
	if err != nil {
		return nil, err
	}
	a.open[id] = &openAccount{settings: settings, credentials: credentials, account: account}
	return account, nil
}

// Clients makes the clients of both sides for a merchant. It calls nobody.
func Clients(settings merchant.Settings, credentials merchant.Credentials, now func() time.Time) (*shopify.Client, *listrak.Client, error) {
	zone, err := settings.Location()
	if err != nil {
		return nil, nil, err
	}
	store, err := shopify.New(shopify.Config{
		Shop: settings.Shop, BaseURL: settings.ShopifyURL, Now: now,
		ClientID: credentials.ShopifyClientID, ClientSecret: credentials.ShopifyClientSecret, Token: credentials.ShopifyToken,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("set up the Shopify client of %s: %w", settings.ID, err)
	}
	list, err := listrak.New(listrak.Config{
		BaseURL: settings.ListrakURL, AuthURL: settings.ListrakAuthURL, List: settings.EmailList, Zone: zone, Now: now,
		ClientID: credentials.ListrakClientID, ClientSecret: credentials.ListrakClientSecret, RatePerSecond: settings.ListrakRate,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("set up the Listrak client of %s: %w", settings.ID, err)
	}
	return store, list, nil
}
