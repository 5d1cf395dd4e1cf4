// Package privacy does what people and merchants have a right to: forget a person or everybody of a merchant, tell a person what is held
// of them, and end a merchant who has left. Every step can be repeated; what has been done is a row of the ledger (privacy_requests). It
// knows no Temporal: the activities call it.
package privacy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
	"github.com/concordsync/concord/internal/merchant"
	"github.com/concordsync/concord/internal/privacy/person"
	"github.com/concordsync/concord/internal/reconcile"
)

// Merchants knows merchants and ends those who have left; *merchant.Store does.
type Merchants interface {
	// Uninstall erases the merchant's credentials but what verifies webhooks, and stops it with the reason.
	Uninstall(ctx context.Context, merchant, reason string) error
	// Get returns the merchant with its settings; ledger.ErrUnknownMerchant when there is none any more.
	Get(ctx context.Context, id string) (merchant.Merchant, error)
}

// Forgetter asks Listrak to forget people; *listrak.PrivacyClient does.
type Forgetter interface {
	Forget(ctx context.Context, whom listrak.Whom) (requestID string, err error)
	Forgotten(ctx context.Context, requestID string) (bool, error)
}

// ErrNoAccess is in the chain of an error of Office.Listrak when the merchant has no credentials of a Privacy integration.
var ErrNoAccess = errors.New("the merchant has no credentials of a Listrak Privacy integration")

// Office does privacy requests. All fields are required.
type Office struct {
	// Engine has the ledger and the keys, connects to both sides, and tells checkout windows.
	Engine    *reconcile.Engine
	Merchants Merchants
	// Listrak returns the client of the merchant's Privacy integration.
	Listrak func(ctx context.Context, merchant string) (Forgetter, error)
	// ExportDirectory is where exports are written.
	ExportDirectory string
	// OptOutRetention is how long hashed opt-outs are kept after a shop was erased.
	OptOutRetention time.Duration
}

// Busy is the error of a step that has to wait for somebody else, who will be done within After.
type Busy struct {
	After time.Duration
	Why   string
}

// Error says what is waited for.
func (b *Busy) Error() string { return "waits: " + b.Why }

// Progress is how far a request is, as ledger.PrivacyRequest.Progress keeps it. It holds no personal data.
type Progress struct {
	// Erased is when the ledger forgot the person; zero until then.
	Erased consent.Instant `json:"erased,omitzero"`
	// Forgets are the requests that were made of Listrak, one for each address of the person, in the order of Person.
	Forgets []Forget `json:"forgets,omitempty"`
	// Waiting says in plain words what a person must do; empty when nobody must.
	Waiting string `json:"waiting,omitempty"`
}

// Forget is one request made of Listrak.
type Forget struct {
	// Request is Listrak's id of it; empty when there is none.
	Request string `json:"request,omitempty"`
	Done    bool   `json:"done,omitempty"`
	// Refused: Listrak does not take this address, so it can have nobody by it.
	Refused bool `json:"refused,omitempty"`
}

// ProgressOf reads a request's progress; what a newer build wrote in a form of its own reads as none.
func ProgressOf(r ledger.PrivacyRequest) Progress {
	var p Progress
	if json.Unmarshal([]byte(r.Progress), &p) != nil {
		return Progress{}
	}
	return p
}

func (p Progress) encode() (string, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("encode progress: %w", err)
	}
	return string(text), nil
}

// job is a request that is being done.
type job struct {
	*Office
	merchant string
	request  ledger.PrivacyRequest
	progress Progress
	person   person.Person
	// country is the one of phone numbers without a country code.
	country string
}

// open reads a request with the person it is about.
func (o *Office) open(ctx context.Context, merchant, id string) (*job, error) {
	request, err := o.Engine.Ledger.PrivacyRequest(ctx, merchant, id)
	if err != nil {
		return nil, err
	}
	j := &job{Office: o, merchant: merchant, request: request, progress: ProgressOf(request)}
	if !request.Open() {
		return j, nil
	}
	if j.person, err = person.Open(o.Engine.Keys, merchant, id, request.Sealed); err != nil {
		return j, err
	}
	j.country, err = o.countryOf(ctx, merchant)
	return j, err
}

// countryOf is the country of a merchant's phone numbers; the default for one who was removed.
func (o *Office) countryOf(ctx context.Context, id string) (string, error) {
	m, err := o.Merchants.Get(ctx, id)
	switch {
	case errors.Is(err, ledger.ErrUnknownMerchant):
		return merchant.DefaultCountry, nil
	case err != nil:
		return "", err
	}
	return m.Settings.SMS.Country, nil
}

func (j *job) save(ctx context.Context) error {
	text, err := j.progress.encode()
	if err != nil {
		return err
	}
	err = j.Engine.Ledger.SavePrivacyProgress(ctx, j.merchant, j.request.ID, text)
	if errors.Is(err, ledger.ErrNoPrivacyRequest) {
		// A person has closed it meanwhile.
		return nil
	}
	return err
}

func (j *job) finish(ctx context.Context, outcome string) (string, error) {
	if err := j.Engine.Ledger.FinishPrivacyRequest(ctx, j.merchant, j.request.ID, outcome); err != nil {
		return "", err
	}
	return outcome, nil
}

// day shows a time as outcomes do.
func day(at consent.Instant) string { return at.Time().Format("2 January 2006") }
