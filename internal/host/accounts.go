package host

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
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
	log       *slog.Logger

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
		// Perhaps proven or disproven by another process, such as `merchant check --probe`.
		known.account.SetZoneProven(m.Settings.ZoneProven)
		return known.account, nil
	}
	store, list, err := Clients(m.Settings, credentials, a.now, a.log)
	if err != nil {
		return nil, err
	}
	var sms reconcile.SMS
	if hasSMS(m.Settings, credentials) {
		if sms, err = SMSClient(m.Settings, credentials, a.now); err != nil {
			return nil, err
		}
	}
	account, err := reconcile.NewAccount(m.Settings, store, list, sms)
	if err != nil {
		return nil, err
	}
	a.open[id] = &openAccount{settings: settings, credentials: credentials, account: account}
	return account, nil
}

// wire is shared by all clients of this process. Go's own transport keeps two idle connections for each host, and everybody's Listrak
// is one host: the others would be opened anew for every call.
var wire = func() *http.Transport {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 200, 50
	return transport
}()

// Time limits of one exchange; writes have a shorter one, the call time-out of the settings. A page of 5,000 contacts takes a while.
const (
	shopifyTimeout = 30 * time.Second
	listrakTimeout = 60 * time.Second
)

// Clients makes the clients of both sides for a merchant. It calls nobody. logger is told when Shopify answers with another version of
// its API than ours.
func Clients(settings merchant.Settings, credentials merchant.Credentials, now func() time.Time, logger *slog.Logger,
) (*shopify.Client, *listrak.Client, error) {
	zone, err := settings.Location()
	if err != nil {
		return nil, nil, err
	}
	appSecret := credentials.ShopifyClientSecret
	if credentials.ShopifyToken != "" {
		appSecret = "" // beside a token it only signs webhooks
	}
	store, err := shopify.New(shopify.Config{
		Shop: settings.Shop, BaseURL: settings.ShopifyURL, Now: now, HTTP: &http.Client{Transport: wire, Timeout: shopifyTimeout},
		ClientID: credentials.ShopifyClientID, ClientSecret: appSecret, Token: credentials.ShopifyToken,
		WithoutPhones: !hasSMS(settings, credentials),
		OtherVersion: func(version string) {
			logger.Warn("Shopify answers with another version of its API than this build knows: update Concord",
				"merchant", settings.ID, "version", version, "ours", shopify.APIVersion)
		},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("set up the Shopify client of %s: %w", settings.ID, err)
	}
	list, err := listrak.New(listrak.Config{
		BaseURL: settings.ListrakURL, AuthURL: settings.ListrakAuthURL, List: settings.EmailList, Zone: zone, Now: now,
		HTTP:     &http.Client{Transport: wire, Timeout: listrakTimeout},
		ClientID: credentials.ListrakClientID, ClientSecret: credentials.ListrakClientSecret, RatePerSecond: settings.ListrakRate,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("set up the Listrak client of %s: %w", settings.ID, err)
	}
	return store, list, nil
}

// hasSMS reports whether the merchant has set SMS up.
func hasSMS(settings merchant.Settings, credentials merchant.Credentials) bool {
	return settings.SMS.Enabled() && credentials.HasSMS()
}

// SMSClient makes the client of Listrak's SMS API for a merchant. It calls nobody.
func SMSClient(settings merchant.Settings, credentials merchant.Credentials, now func() time.Time) (*listrak.SMSClient, error) {
	zone, err := settings.Location()
	if err != nil {
		return nil, err
	}
	client, err := listrak.NewSMS(listrak.SMSConfig{
		BaseURL: settings.SMS.URL, AuthURL: settings.ListrakAuthURL, SenderCode: settings.SMS.SenderCode, List: settings.SMS.List, Zone: zone,
		Now: now, HTTP: &http.Client{Transport: wire, Timeout: listrakTimeout}, Spelling: spellingOf(settings),
		ClientID: credentials.ListrakSMSClientID, ClientSecret: credentials.ListrakSMSClientSecret, RatePerSecond: settings.ListrakRate,
	})
	if err != nil {
		return nil, fmt.Errorf("set up the Listrak SMS client of %s: %w", settings.ID, err)
	}
	return client, nil
}

// spellingOf is how phone numbers are written to Listrak for a merchant.
func spellingOf(settings merchant.Settings) listrak.PhoneSpelling {
	switch settings.SMS.Spelling {
	case merchant.SpellDigits:
		return listrak.OnlyDigits
	case merchant.SpellNational:
		return listrak.NationalDigits
	}
	return listrak.PlusDigits
}
