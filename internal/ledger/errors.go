package ledger

import "errors"

// What can be wrong with the database. The text that wraps them says what to do.
var (
	// ErrMalformedDSN: the ledger's address cannot be understood.
	ErrMalformedDSN = errors.New("malformed ledger address")
	// ErrNewerSchema: a newer build has changed this ledger; this build must not touch it.
	ErrNewerSchema = errors.New("the ledger was written by a newer version of Concord")
	// ErrLocked: another process keeps the SQLite file locked. Nothing was written.
	ErrLocked = errors.New("the ledger is locked by another process")
	// ErrGone: the SQLite file was deleted, replaced, cannot be opened, or is damaged.
	ErrGone = errors.New("the ledger's file is gone or unusable")
	// ErrUnreachable: PostgreSQL does not answer, or turned us away. The same call may succeed later.
	ErrUnreachable = errors.New("the ledger's PostgreSQL cannot be reached")
)

// What can be wrong with a call.
var (
	// ErrUnknownMerchant: no merchant has this id, or it was removed.
	ErrUnknownMerchant = errors.New("unknown merchant")
	// ErrMerchantExists: a merchant with this id is there, or was there for another shop.
	ErrMerchantExists = errors.New("a merchant with this id exists")
	// ErrNotRemoved: the merchant has to be removed first.
	ErrNotRemoved = errors.New("the merchant is not removed")
	// ErrShopTaken: another merchant has this Shopify store.
	ErrShopTaken = errors.New("another merchant has this Shopify store")
	// ErrListTaken: another merchant has this Listrak list. Two stores on one list would take each other's copies for decisions.
	ErrListTaken = errors.New("another merchant has this Listrak list")
	// ErrSMSListTaken: another merchant has this Listrak SMS list.
	ErrSMSListTaken = errors.New("another merchant has this Listrak SMS list")
	// ErrConflict: the subject or merchant was changed since it was loaded. Load again, decide again.
	ErrConflict = errors.New("it was changed by someone else meanwhile")
	// ErrClaimed: somebody else is delivering to this side of the subject right now.
	ErrClaimed = errors.New("the delivery is claimed by someone else")
	// ErrNotPermitted: the merchant is paused, broken or removed, or the sync is off. Nothing may be written to a side.
	ErrNotPermitted = errors.New("deliveries are switched off")
	// ErrBrake: the delivery would resubscribe more people within 24 hours than the merchant's limit allows, or others wait for an operator.
	ErrBrake = errors.New("more people would be resubscribed than the limit allows")
	// ErrSwitched: the merchant was changed, switched or removed since its switches were read. Nothing of the call was written; read them again.
	ErrSwitched = errors.New("the merchant was switched meanwhile")
	// ErrFenced: the run lease was taken by another holder. Stop; nothing of the call was written.
	ErrFenced = errors.New("the run lease was taken over")
)
