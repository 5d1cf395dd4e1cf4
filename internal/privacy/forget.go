package privacy

import (
	"context"
	"errors"
	"fmt"

	"github.com/concordsync/concord/internal/consent"
	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/ledger"
	"github.com/concordsync/concord/internal/listrak"
)

// ForgetState is how far Listrak is with forgetting a person.
type ForgetState struct {
	// Done: Listrak has forgotten the person, or somebody has closed the request.
	Done bool
	// Waiting says in plain words what a person must do before it can go on; empty when nobody must.
	Waiting string
}

// AskListrak asks Listrak to forget the person, once for each of their addresses, and whether it has. What a person must mend is no error:
// it is kept with the request and told as Waiting, and asked again with the next call. Other errors may pass by themselves.
func (o *Office) AskListrak(ctx context.Context, merchant, id string) (ForgetState, error) {
	j, err := o.open(ctx, merchant, id)
	if err != nil {
		return ForgetState{}, err
	}
	if !j.request.Open() {
		return ForgetState{Done: true}, nil
	}
	whom := j.whom()
	if len(whom) == 0 {
		return ForgetState{Done: true}, nil
	}
	for len(j.progress.Forgets) < len(whom) {
		j.progress.Forgets = append(j.progress.Forgets, Forget{})
	}
	err = j.ask(ctx, whom)
	j.progress.Waiting = ""
	switch f := failure.As(err); {
	case errors.Is(err, ErrNoAccess):
		j.progress.Waiting = noAccess(merchant, id)
	case f != nil && f.Class == failure.PersonMustAct:
		// Its advice is a sentence for an operator, and adapters keep people out of their errors.
		j.progress.Waiting = fmt.Sprintf("Listrak could not be asked (%s). %s. It is tried again within six hours.", f.Code, f.Advice)
	case err != nil:
		return ForgetState{}, errors.Join(err, j.save(ctx))
	}
	if err := j.save(ctx); err != nil {
		return ForgetState{}, err
	}
	state := ForgetState{Done: j.progress.Waiting == "", Waiting: j.progress.Waiting}
	for _, f := range j.progress.Forgets {
		state.Done = state.Done && f.Done
	}
	return state, nil
}

func noAccess(merchant, id string) string {
	return fmt.Sprintf("Listrak is not asked yet, because the merchant has no credentials of a Privacy integration. Make one in Listrak "+
		"(Integrations → Integration Management, type Privacy), set CONCORD_LISTRAK_PRIVACY_CLIENT_ID and CONCORD_LISTRAK_PRIVACY_CLIENT_SECRET, "+
		"and run: starter merchant set %[1]s --credentials. It goes on within six hours, or at once with: starter privacy go-on %[2]s --merchant "+
		"%[1]s. Or let Listrak forget the person by hand, and then run: starter privacy done %[2]s --merchant %[1]s", merchant, id)
}

// whom are the addresses that Listrak is asked to forget, in a fixed order.
func (j *job) whom() []listrak.Whom {
	var list []listrak.Whom
	if j.person.Email != "" {
		list = append(list, listrak.Whom{Email: j.person.Email})
	}
	if j.person.Phone != "" {
		list = append(list, listrak.Whom{Phone: j.dialled(j.person.Phone)})
	}
	for _, other := range j.person.Others {
		list = append(list, listrak.Whom{Email: other})
	}
	for _, other := range j.person.Phones {
		list = append(list, listrak.Whom{Phone: j.dialled(other)})
	}
	return list
}

// dialled is a phone number in E.164, or as it stands when it is none.
func (j *job) dialled(raw string) string {
	if phone, err := consent.NormalisePhone(raw, j.country); err == nil {
		return phone
	}
	return raw
}

// ask makes what requests are missing and follows the others. Each is kept as soon as it is made, so that Listrak is rarely asked twice.
func (j *job) ask(ctx context.Context, whom []listrak.Whom) error {
	client, err := j.Listrak(ctx, j.merchant)
	if errors.Is(err, ledger.ErrUnknownMerchant) {
		// It was removed, and its credentials with it.
		return ErrNoAccess
	}
	if err != nil {
		return err
	}
	var failed error
	for i, w := range whom {
		f := &j.progress.Forgets[i]
		if f.Done {
			continue
		}
		if f.Request == "" {
			f.Request, err = client.Forget(ctx, w)
			if failure.As(err) != nil && failure.ClassOf(err) == failure.Refused {
				f.Done, f.Refused, err = true, true, nil
			}
			if err == nil {
				err = j.save(ctx)
			}
		}
		if err == nil && !f.Done {
			f.Done, err = client.Forgotten(ctx, f.Request)
			if errors.Is(err, listrak.ErrNoForgetRequest) {
				f.Request = ""
			}
		}
		if err != nil {
			failed = errors.Join(failed, err)
			if failure.ClassOf(err) == failure.PersonMustAct {
				return err
			}
		}
	}
	return failed
}

// Close ends a request because a person says that it was done by hand; what the ledger has to forget it forgets first. It returns
// ledger.ErrNoPrivacyRequest when there is none, and a *Busy while a delivery to the person is under way.
func (o *Office) Close(ctx context.Context, merchant, id string) (ledger.PrivacyRequest, error) {
	j, err := o.open(ctx, merchant, id)
	if err != nil {
		return ledger.PrivacyRequest{}, err
	}
	if j.request.Open() {
		if err := j.eraseLeft(ctx); err != nil {
			return ledger.PrivacyRequest{}, err
		}
		if _, err := j.finish(ctx, "A person has recorded that it was done by hand."); err != nil {
			return ledger.PrivacyRequest{}, err
		}
	}
	return o.Engine.Ledger.PrivacyRequest(ctx, merchant, id)
}

// eraseLeft does what is left of an erasure in the ledger.
func (j *job) eraseLeft(ctx context.Context) error {
	switch {
	case j.request.Kind != ledger.Redact:
		return nil
	case j.progress.Erased == 0:
		return j.eraseAll(ctx)
	default:
		return j.eraseAgain(ctx)
	}
}
