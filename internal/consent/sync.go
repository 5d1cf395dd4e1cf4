package consent

import (
	"fmt"
	"strings"
)

// Sync is one thing that Concord keeps going for a merchant and that is switched on and off by itself. The names are part of
// signals, updates, the command line and the ledger: never rename them.
type Sync string

// The syncs of consent.
const (
	EmailToShopify Sync = "email_to_shopify"
	EmailToListrak Sync = "email_to_listrak"
	SMSToShopify   Sync = "sms_to_shopify"
	SMSToListrak   Sync = "sms_to_listrak"
)

// Syncs lists the directions that this version can run; EventSyncs are beside them.
var Syncs = []Sync{EmailToShopify, EmailToListrak, SMSToShopify, SMSToListrak}

// ParseSync checks a name that came from outside.
func ParseSync(name string) (Sync, error) {
	for _, s := range AllSyncs() {
		if string(s) == name {
			return s, nil
		}
	}
	return "", fmt.Errorf("unknown sync %q: want one of %s", name, SyncNames())
}

// SyncNames joins the known names for messages.
func SyncNames() string {
	all := AllSyncs()
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = string(s)
	}
	return strings.Join(names, ", ")
}

// SyncTo names the sync that delivers decisions of channel to side.
func SyncTo(channel Channel, side Side) Sync {
	return Sync(channel.String() + "_to_" + strings.ToLower(side.String()))
}

// Channel tells which channel a sync carries.
func (s Sync) Channel() Channel {
	if strings.HasPrefix(string(s), "sms_") {
		return SMS
	}
	return Email
}

// To tells to which side a sync delivers.
func (s Sync) To() Side {
	if strings.HasSuffix(string(s), "_to_listrak") {
		return Listrak
	}
	return Shopify
}
