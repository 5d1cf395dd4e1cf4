package activities

import (
	"context"
	"errors"
	"fmt"

	"go.temporal.io/sdk/temporal"

	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/privacy"
)

// PrivacyWaitsType: a step of a privacy request waits for a delivery or a round that is at work, and asks to be retried after it.
const PrivacyWaitsType = "PrivacyWaits"

// UnknownPrivacyRequestType: the ledger has no such request any more, because its merchant was erased. Never retried.
const UnknownPrivacyRequestType = "UnknownPrivacyRequest"

// Kinds of privacy requests, as workflows know them.
const (
	KindDataRequest = string(ledger.DataRequest)
	KindRedact      = string(ledger.Redact)
	KindShopRedact  = string(ledger.ShopRedact)
	KindUninstalled = string(ledger.Uninstalled)
)

// PrivacyInput names a request. Who it is about stays in the ledger.
type PrivacyInput struct {
	Merchant string `json:"merchant"`
	Request  string `json:"request"`
}

// PrivacyState is how a request stands.
type PrivacyState struct {
	Kind string `json:"kind,omitempty"`
	// Done: nothing is left to do. Outcome says how it ended.
	Done    bool   `json:"done,omitempty"`
	Outcome string `json:"outcome,omitempty"`
	// Waiting: a person must do something first; the ledger keeps what.
	Waiting bool `json:"waiting,omitempty"`
}

// BeginPrivacy reads what kind a request is, and whether it is done already.
func (a *Activities) BeginPrivacy(ctx context.Context, in PrivacyInput) (PrivacyState, error) {
	request, err := a.Engine.Ledger.PrivacyRequest(ctx, in.Merchant, in.Request)
	if err != nil {
		return PrivacyState{}, privacyFailed(err)
	}
	return PrivacyState{Kind: string(request.Kind), Done: !request.Open(), Outcome: request.Outcome}, nil
}

// ErasePerson erases what the ledger knows of the person but the hash of an unsubscribe, and with it what is owed to them and their windows.
func (a *Activities) ErasePerson(ctx context.Context, in PrivacyInput) error {
	return privacyFailed(a.Office.ErasePerson(ctx, in.Merchant, in.Request))
}

// AskListrak asks Listrak to forget the person, or whether it has.
func (a *Activities) AskListrak(ctx context.Context, in PrivacyInput) (PrivacyState, error) {
	state, err := a.Office.AskListrak(ctx, in.Merchant, in.Request)
	return PrivacyState{Done: state.Done, Waiting: state.Waiting != ""}, privacyFailed(err)
}

// FinishErasure erases what came back meanwhile and ends the request.
func (a *Activities) FinishErasure(ctx context.Context, in PrivacyInput) (PrivacyState, error) {
	return ended(a.Office.FinishErasure(ctx, in.Merchant, in.Request))
}

// ExportPerson writes all that is held of the person into files and ends the request.
func (a *Activities) ExportPerson(ctx context.Context, in PrivacyInput) (PrivacyState, error) {
	return ended(a.Office.ExportPerson(ctx, in.Merchant, in.Request))
}

// UninstallMerchant stops a merchant who has left, erases its credentials and ends the request.
func (a *Activities) UninstallMerchant(ctx context.Context, in PrivacyInput) (PrivacyState, error) {
	return ended(a.Office.Uninstall(ctx, in.Merchant, in.Request))
}

// EraseShop erases everybody of a merchant who has left but the hashes of opt-outs, and ends the request.
func (a *Activities) EraseShop(ctx context.Context, in PrivacyInput) (PrivacyState, error) {
	_, stop := heartbeat(ctx)
	defer stop()
	return ended(a.Office.EraseShop(ctx, in.Merchant, in.Request))
}

func ended(outcome string, err error) (PrivacyState, error) {
	if err != nil {
		return PrivacyState{}, privacyFailed(err)
	}
	return PrivacyState{Done: true, Outcome: outcome}, nil
}

// privacyFailed is classified for privacy requests, which are tried for as long as they take: what only a person can mend is no reason to
// give up on a duty.
func privacyFailed(err error) error {
	var busy *privacy.Busy
	switch {
	case err == nil:
		return nil
	case errors.As(err, &busy):
		return temporal.NewApplicationErrorWithOptions(busy.Error(), PrivacyWaitsType, temporal.ApplicationErrorOptions{
			NextRetryDelay: max(busy.After, moreDelay), Category: temporal.ApplicationErrorCategoryBenign,
		})
	case errors.Is(err, ledger.ErrNoPrivacyRequest):
		return temporal.NewNonRetryableApplicationError(errorText(err), UnknownPrivacyRequestType, nil)
	}
	_, wait := worst(err)
	return temporal.NewApplicationErrorWithOptions(errorText(fmt.Errorf("do a privacy request: %w", err)), RoundFailedType,
		temporal.ApplicationErrorOptions{NextRetryDelay: wait})
}
