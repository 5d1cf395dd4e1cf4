package shop

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSMSConsentUpdateAnswers goes through contracts/shopify.md 3.3 case by case, where SMS differs from email.
func TestSMSConsentUpdateAnswers(t *testing.T) {
	t.Parallel()
	const past = "2026-04-25T01:05:00Z"
	const level, date = `["input","smsMarketingConsent","marketingOptInLevel"]`, `["input","smsMarketingConsent","consentUpdatedAt"]`
	sms := func(state, level, date string) string {
		return `{"phoneNumber":"` + aPhone + `","smsMarketingConsent":{"state":"` + state + `","optInLevel":"` + level + `","updatedAt":"` + date + `"}}`
	}
	for _, row := range []struct {
		name     string
		noPhone  bool
		id       CustomerID
		state    State
		level    OptInLevel
		date     string
		switches Switches
		shown    string // the phone object of the payload's customer; "" means that the customer is null
		errors   string
	}{
		{name: "subscribed with a past date is kept exactly", state: Subscribed, level: SingleOptIn, date: past,
			shown: sms("SUBSCRIBED", "SINGLE_OPT_IN", past)},
		{name: "subscribed at an unknown level", state: Subscribed, level: UnknownOptIn, date: past, shown: sms("SUBSCRIBED", "UNKNOWN", past)},
		{name: "unsubscribed with a past date is kept exactly", state: Unsubscribed, level: SingleOptIn, date: past,
			shown: sms("UNSUBSCRIBED", "SINGLE_OPT_IN", past)},
		{name: "a date left out is the time of the request", state: Subscribed, level: SingleOptIn,
			shown: sms("SUBSCRIBED", "SINGLE_OPT_IN", "2026-11-22T10:00:00Z")},
		{name: "pending confirmed is stored", state: Pending, level: ConfirmedOptIn, date: past, shown: sms("PENDING", "CONFIRMED_OPT_IN", past)},
		{name: "pending with another level is refused", state: Pending, level: SingleOptIn, date: past,
			errors: `{"field":` + level + `,"message":"Marketing opt in level must be confirmed opt-in for pending consent state","code":"INVALID"}`},
		{name: "subscribed without a level is refused", state: Subscribed, date: past,
			errors: `{"field":` + level + `,"message":"Marketing opt in level must exist","code":"MISSING_ARGUMENT"}`},
		{name: "unsubscribed without a level is accepted", state: Unsubscribed, date: past, shown: sms("UNSUBSCRIBED", "SINGLE_OPT_IN", past)},
		{name: "unsubscribed without a level is refused by switch", state: Unsubscribed, date: past, switches: Switches{UnsubscribedNeedsLevel: true},
			errors: `{"field":` + level + `,"message":"Marketing opt in level must exist","code":"MISSING_ARGUMENT"}`},
		{name: "a date in the future is refused", state: Subscribed, level: SingleOptIn, date: "2026-11-22T10:00:01Z",
			errors: `{"field":` + date + `,"message":"Consent updated at must not be in the future","code":"INVALID"}`},
		{name: "a date a little in the future is taken by switch", state: Subscribed, level: SingleOptIn, date: "2026-11-22T10:00:01Z",
			switches: Switches{FutureTolerance: 2 * time.Second}, shown: sms("SUBSCRIBED", "SINGLE_OPT_IN", "2026-11-22T10:00:01Z")},
		{name: "an unknown customer is a userError without field and code", id: "gid://shopify/Customer/99", state: Subscribed, level: SingleOptIn,
			date: past, errors: `{"field":null,"message":"Customer not found","code":null}`},
		{name: "without a phone number it is refused", noPhone: true, state: Subscribed, level: SingleOptIn, date: past,
			errors: `{"field":["input","smsMarketingConsent"],"message":"A phone number is required to set the SMS consent state.","code":"INVALID"}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(c *Config) { c.Switches = row.switches })
			id, phone := b.customer("a@example.com", Consent{}), ""
			if !row.noPhone {
				phone = aPhone
				id = b.reachable(phone, Consent{})
			}
			if row.id != "" {
				id, phone = row.id, ""
			}
			answer := b.graphQL(strings.Replace(smsMutation, "updatedAt ", "", 1), smsVariables(id, row.state, row.level, row.date))
			customer := "null"
			if row.shown != "" {
				customer = `{"id":"` + string(id) + `","defaultPhoneNumber":` + row.shown + `}`
			}
			require.JSONEq(t, `{"customerSmsMarketingConsentUpdate":{"customer":`+customer+`,"userErrors":[`+row.errors+`]}}`, string(answer.Data), answer.raw)
			require.Empty(t, answer.Errors, answer.raw)
			want := Write{At: startTime, Operation: "customerSmsMarketingConsentUpdate", Customer: id, Phone: phone, State: row.state,
				Effective: row.errors == ""}
			if row.date != "" {
				want.Date = at(t, row.date)
			}
			require.Equal(t, []Write{want}, b.store.Writes())
		})
	}
}

// TestUnwritableSMSStates: contracts/shopify.md 3.3: a top-level error for 10 points, and no variable for a state that SMS has not.
func TestUnwritableSMSStates(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	id := b.reachable(aPhone, Consent{})
	for _, state := range []State{NotSubscribed, Redacted} {
		answer := b.graphQL(smsMutation, smsVariables(id, state, SingleOptIn, ""))
		require.JSONEq(t, `[{"message":"Cannot specify `+string(state)+` as a marketing state input","locations":[{"line":2,"column":3}],
			"extensions":{"code":"INVALID"},"path":["customerSmsMarketingConsentUpdate"]}]`, string(answer.Errors))
		require.JSONEq(t, `{"customerSmsMarketingConsentUpdate":null}`, string(answer.Data))
		require.Equal(t, 12, answer.Extensions.Cost.Requested)
		require.Equal(t, 10, *answer.Extensions.Cost.Actual)
	}
	for _, wrong := range []string{smsVariables(id, Invalid, SingleOptIn, ""), smsVariables(id, "NEVER_SUBSCRIBED", SingleOptIn, ""),
		`{"input":{"customerId":"` + string(id) + `"}}`} {
		answer := b.graphQL(smsMutation, wrong)
		require.Contains(t, string(answer.Errors), "INVALID_VARIABLE", answer.raw)
		require.Nil(t, answer.Data, answer.raw)
	}
	answer := b.graphQL(`mutation($c: CustomerSmsMarketingConsentInput = {marketingState: UNSUBSCRIBED}) { customerSmsMarketingConsentUpdate(
		input: {customerId: "gid://shopify/Customer/1", smsMarketingConsent: $c}) { userErrors { message } } }`, `{"c":null}`)
	require.Contains(t, string(answer.Errors), "smsMarketingConsent must not be null", answer.raw)
	got, _ := b.store.CustomerByID(id)
	require.Equal(t, neverAsked(), got.SMSConsent)
}

// TestPhoneNumbersByAPI goes through contracts/shopify.md 3.1, 3.5 and 3.6.
func TestPhoneNumbersByAPI(t *testing.T) {
	t.Parallel()
	const create = `mutation C($input: CustomerInput!) { customerCreate(input: $input) { customer {
		defaultEmailAddress { marketingState } defaultPhoneNumber { phoneNumber smsMarketingConsent { state optInLevel updatedAt } } } userErrors { field message } } }`
	const subscribed = `"smsMarketingConsent":{"marketingState":"SUBSCRIBED","marketingOptInLevel":"SINGLE_OPT_IN","consentUpdatedAt":"2026-01-02T03:04:05Z"}`
	const shown = `{"defaultEmailAddress":null,"defaultPhoneNumber":{"phoneNumber":"+14155552797","smsMarketingConsent":{"state":"SUBSCRIBED","optInLevel":"SINGLE_OPT_IN","updatedAt":"2026-01-02T03:04:05Z"}}}`
	const invalid, required = `{"field":["phone"],"message":"Phone is invalid"}`, `{"field":["smsMarketingConsent"],"message":"A phone number is required to set the SMS consent state."}`
	for _, row := range []struct{ name, input, shown, errors string }{
		{"without consent", `{"phone":"+14155552797"}`, `{"defaultEmailAddress":null,"defaultPhoneNumber":{"phoneNumber":"+14155552797",
			"smsMarketingConsent":{"state":"NEVER_SUBSCRIBED","optInLevel":"SINGLE_OPT_IN","updatedAt":null}}}`, ""},
		{"consent inline, past date kept", `{"phone":"+14155552797",` + subscribed + `}`, shown, ""},
		{"spelled otherwise", `{"phone":" +1 (415) 555-2797",` + subscribed + `}`, shown, ""},
		{"both channels", `{"email":"new@example.com","phone":"+1.415.555.2797","emailMarketingConsent":{"marketingState":"UNSUBSCRIBED"},` + subscribed + `}`,
			strings.Replace(shown, "null", `{"marketingState":"UNSUBSCRIBED"}`, 1), ""},
		{"taken", `{"phone":"` + aPhone + `"}`, "", `{"field":["phone"],"message":"Phone has already been taken"}`},
		{"taken, spelled otherwise", `{"phone":"+1 (613) 450-5293"}`, "", `{"field":["phone"],"message":"Phone has already been taken"}`},
		{"without the country", `{"phone":"4155552797"}`, "", invalid},
		{"letters", `{"phone":"+1234abcd"}`, "", invalid},
		{"too short", `{"phone":"+1415555"}`, "", invalid},
		{"too long for E.164", `{"phone":"+1415555279712345"}`, "", invalid},
		{"far too long", `{"phone":"+` + strings.Repeat("1", 255) + `"}`, "", `{"field":["phone"],"message":"Phone is too long (maximum is 255 characters)"},` + invalid},
		{"consent without a number", `{"email":"new@example.com",` + subscribed + `}`, "", required},
		{"consent and nobody", `{` + subscribed + `}`, "", required + `,{"field":null,"message":"A name, phone number, or email address must be present"}`},
		{"consent in the future", `{"phone":"+14155552797","smsMarketingConsent":{"marketingState":"SUBSCRIBED","marketingOptInLevel":"SINGLE_OPT_IN","consentUpdatedAt":"2027-01-01T00:00:00Z"}}`,
			"", `{"field":["smsMarketingConsent","consentUpdatedAt"],"message":"Consent updated at must not be in the future"}`},
		{"email consent of a number", `{"phone":"+14155552797","emailMarketingConsent":{"marketingState":"UNSUBSCRIBED"}}`, "",
			`{"field":["emailMarketingConsent"],"message":"An email address is required to set the email marketing consent state."}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			b.reachable(aPhone, Consent{})
			answer := b.graphQL(create, `{"input":`+row.input+`}`)
			customer := "null"
			if row.shown != "" {
				customer = row.shown
			}
			require.JSONEq(t, `{"customerCreate":{"customer":`+customer+`,"userErrors":[`+row.errors+`]}}`, string(answer.Data), answer.raw)
			writes := b.store.Writes()
			require.Len(t, writes, 1)
			require.Equal(t, row.errors == "", writes[0].Effective)
			if row.errors == "" {
				require.Equal(t, "+14155552797", writes[0].Phone)
			}
			require.Equal(t, row.shown != "", len(b.store.Customers()) == 2)
		})
	}
	b := newBench(t, nil)
	answer := b.graphQL(create, `{"input":{"phone":"+14155552797","smsMarketingConsent":{"marketingState":"REDACTED"}}}`)
	require.Contains(t, string(answer.Errors), "Cannot specify REDACTED as a marketing state input")
	require.Empty(t, b.store.Customers())
}

func TestCustomerByIdentifierByPhone(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.SearchLag = time.Hour })
	id := b.reachable(aPhone, Consent{State: Redacted, UpdatedAt: startTime})
	const query = `query Q($n: String!) { customerByIdentifier(identifier: {phoneNumber: $n}) { id defaultEmailAddress { emailAddress }
		defaultPhoneNumber { phoneNumber smsMarketingConsent { state } } } }`
	for number, found := range map[string]bool{aPhone: true, "+1 (613) 450-5293": false, "6134505293": false, "+14155552797": false, "": false} {
		want := "null"
		if found {
			want = `{"id":"` + string(id) + `","defaultEmailAddress":null,"defaultPhoneNumber":{"phoneNumber":"` + aPhone + `","smsMarketingConsent":{"state":"REDACTED"}}}`
		}
		answer := b.graphQL(query, `{"n":"`+number+`"}`)
		require.JSONEq(t, `{"customerByIdentifier":`+want+`}`, string(answer.Data), "%q: %s", number, answer.raw)
	}
	page, answer := b.list("customers", `first:10,query:"phone:`+aPhone+`"`)
	require.Empty(t, page.Nodes, "search lags, and knows no phone numbers: %s", answer.raw)
}

// TestPhoneNumbersOfPeople: what people do in Go, and what they are refused.
func TestPhoneNumbersOfPeople(t *testing.T) {
	t.Parallel()
	past, whole := at(t, "2026-01-02T03:04:05Z"), startTime.Truncate(time.Second)
	store, clock := newModel(Switches{})
	ann := mustCreate(t, store, NewCustomer{Email: "ann@example.com", Phone: "+1 613-450-5293", SMSConsent: Consent{State: Pending}, At: past})
	got, found := store.CustomerByPhone(aPhone)
	require.True(t, found)
	require.Equal(t, Customer{ID: ann, Email: "ann@example.com", Consent: neverAsked(), Phone: aPhone, SMSConsent: Consent{Pending, ConfirmedOptIn, past},
		SMSCollectedFrom: CollectedByOthers, CreatedAt: past, UpdatedAt: past}, got)

	for name, c := range map[string]struct {
		newcomer NewCustomer
		want     error
	}{
		"taken":                    {NewCustomer{Phone: aPhone}, ErrPhoneTaken},
		"invalid":                  {NewCustomer{Phone: "613-450-5293"}, ErrPhoneInvalid},
		"consent without a number": {NewCustomer{Email: "b@example.com", SMSConsent: Consent{State: Subscribed}}, ErrNoPhone},
		"a state that SMS has not": {NewCustomer{Phone: "+14155552797", SMSConsent: Consent{State: Invalid}}, ErrState},
	} {
		_, err := store.CreateCustomer(c.newcomer)
		require.ErrorIs(t, err, c.want, name)
	}
	require.Len(t, store.Customers(), 1, "those refused left nothing")

	clock.advance(time.Minute)
	require.NoError(t, store.SetSMSConsent(ann, Subscribed, past.Add(-time.Hour)), "the person wins over dates")
	require.NoError(t, store.SetEmailConsent(ann, Unsubscribed, past))
	got, _ = store.CustomerByID(ann)
	require.Equal(t, Consent{Subscribed, SingleOptIn, past.Add(-time.Hour)}, got.SMSConsent)
	require.Equal(t, Consent{Unsubscribed, SingleOptIn, past}, got.Consent, "each channel for itself")
	require.Equal(t, whole.Add(time.Minute), got.UpdatedAt)
	require.NoError(t, store.SetSMSConsent(ann, Redacted, time.Time{}))
	got, _ = store.CustomerByID(ann)
	require.Equal(t, Consent{Redacted, SingleOptIn, whole.Add(time.Minute)}, got.SMSConsent)
	require.ErrorIs(t, store.SetSMSConsent(ann, Invalid, past), ErrState)
	require.ErrorIs(t, store.SetEmailConsent(ann, Redacted, past), ErrState)
	require.ErrorIs(t, store.SetSMSConsent("gid://shopify/Customer/9", Subscribed, past), ErrNoCustomer)
	require.ErrorIs(t, store.SetSMSConsent(mustCreate(t, store, NewCustomer{}), Subscribed, past), ErrNoPhone)
	_, found = store.CustomerByPhone("")
	require.False(t, found, "who has no number is not found by none")
	require.NoError(t, store.DeleteCustomer(ann))
	mustCreate(t, store, NewCustomer{Phone: aPhone})
	store.Empty()
	mustCreate(t, store, NewCustomer{Phone: aPhone})
}

func TestChangePhone(t *testing.T) {
	t.Parallel()
	for _, resets := range []bool{false, true} {
		store, _ := newModel(Switches{PhoneChangeResetsConsent: resets})
		consent, mail := Consent{Subscribed, SingleOptIn, at(t, "2026-11-22T09:00:00Z")}, Consent{Unsubscribed, SingleOptIn, at(t, "2026-11-22T08:00:00Z")}
		id := mustCreate(t, store, NewCustomer{Email: "a@example.com", Consent: mail, Phone: aPhone, SMSConsent: consent})
		mustCreate(t, store, NewCustomer{Phone: "+14155552797"})

		require.ErrorIs(t, store.ChangePhone(id, "+1 (415) 555-2797"), ErrPhoneTaken)
		require.ErrorIs(t, store.ChangePhone(id, "nobody"), ErrPhoneInvalid)
		require.ErrorIs(t, store.ChangePhone("gid://shopify/Customer/9", "+14155550000"), ErrNoCustomer)
		require.NoError(t, store.ChangePhone(id, "+1 613 450 5293"), "one's own number, written otherwise")
		got, _ := store.CustomerByID(id)
		require.Equal(t, consent, got.SMSConsent, "the number is the same")

		require.NoError(t, store.ChangePhone(id, "+14155550000"))
		_, found := store.CustomerByPhone(aPhone)
		require.False(t, found)
		got, _ = store.CustomerByPhone("+14155550000")
		want := consent
		if resets {
			want = neverAsked()
		}
		require.Equal(t, want, got.SMSConsent)
		require.Equal(t, resets, got.SMSCollectedFrom == "")
		mustCreate(t, store, NewCustomer{Phone: aPhone})

		require.NoError(t, store.ChangePhone(id, ""))
		got, _ = store.CustomerByID(id)
		require.Equal(t, neverAsked(), got.SMSConsent)
		require.Equal(t, mail, got.Consent, "the other channel")
		require.NoError(t, store.ChangeEmail(id, ""))
		mustCreate(t, store, NewCustomer{Email: "a@example.com", Phone: "+14155550000"})
	}
}

// TestMergeWithPhoneNumbers: the number that would be lost moves, with its consent, and by switches it does not.
func TestMergeWithPhoneNumbers(t *testing.T) {
	t.Parallel()
	old, recent := Consent{Subscribed, SingleOptIn, at(t, "2026-01-01T00:00:00Z")}, Consent{Unsubscribed, SingleOptIn, at(t, "2026-02-01T00:00:00Z")}
	const other = "+14155552797"
	for name, row := range map[string]struct {
		drop, keep NewCustomer
		switches   Switches
		phone      string
		consent    Consent
	}{
		"only the other has a number": {NewCustomer{Phone: other, SMSConsent: old}, NewCustomer{Email: "a@example.com"}, Switches{}, other, old},
		"which goes by switch":        {NewCustomer{Phone: other, SMSConsent: old}, NewCustomer{Email: "a@example.com"}, Switches{MergeDropsPhone: true}, "", neverAsked()},
		"both have one":               {NewCustomer{Phone: other, SMSConsent: recent}, NewCustomer{Email: "a@example.com", Phone: aPhone, SMSConsent: old}, Switches{}, aPhone, old},
		"the newest consent by switch": {NewCustomer{Phone: other, SMSConsent: recent}, NewCustomer{Email: "a@example.com", Phone: aPhone, SMSConsent: old},
			Switches{MergeKeepsNewestConsent: true}, aPhone, recent},
		"the newest consent is its own": {NewCustomer{Phone: other, SMSConsent: old}, NewCustomer{Email: "a@example.com", Phone: aPhone, SMSConsent: recent},
			Switches{MergeKeepsNewestConsent: true}, aPhone, recent},
	} {
		store, _ := newModel(row.switches)
		drop, keep := mustCreate(t, store, row.drop), mustCreate(t, store, row.keep)
		told := 0
		store.OnEvent(func(e Event) {
			if e.Topic == TopicSMSConsent {
				told++
			}
		})
		kept, err := store.MergeCustomers(drop, keep)
		require.NoError(t, err, name)
		require.Equal(t, keep, kept, name)
		got, _ := store.CustomerByID(keep)
		require.Equal(t, row.phone, got.Phone, name)
		require.Equal(t, row.consent, got.SMSConsent, name)
		for _, number := range []string{aPhone, other} {
			found, known := store.CustomerByPhone(number)
			require.Equal(t, number == row.phone, known, "%s: who is found by a number", name)
			require.Equal(t, known, found.ID == keep, name)
		}
		before := row.keep.SMSConsent
		if before.State == "" {
			before = neverAsked()
		}
		require.Equal(t, before != row.consent, told == 1, "%s: told %d times", name, told)
	}
}

// TestCheckOut: a buyer who ticks boxes.
func TestCheckOut(t *testing.T) {
	t.Parallel()
	ordered := at(t, "2026-11-22T09:59:00Z")
	yes := Consent{Subscribed, SingleOptIn, ordered}
	no := Consent{Unsubscribed, SingleOptIn, at(t, "2026-11-22T09:00:00Z")}
	known := NewCustomer{Email: "a@example.com", Consent: no, Phone: aPhone, SMSConsent: no}
	for name, row := range map[string]struct {
		there  NewCustomer
		order  Order
		ticked Ticked
		want   Customer // without id and times; zero: a guest
		told   []Topic
		err    error
	}{
		"nothing, and a guest": {order: Order{Email: "new@example.com", Phone: "+14155552797"}, told: []Topic{TopicOrderCreate}},
		"both, and a guest": {order: Order{Email: "new@example.com", Phone: "+1 415 555 2797"}, ticked: Ticked{true, true},
			want: Customer{Email: "new@example.com", Consent: yes, Phone: "+14155552797", SMSConsent: yes, SMSCollectedFrom: CollectedByShopify},
			told: []Topic{TopicEmailConsent, TopicSMSConsent, TopicCustomerCreate, TopicOrderCreate}},
		"SMS, and a guest with a number only": {order: Order{Phone: "+14155552797"}, ticked: Ticked{SMS: true},
			want: Customer{Consent: neverAsked(), Phone: "+14155552797", SMSConsent: yes, SMSCollectedFrom: CollectedByShopify},
			told: []Topic{TopicSMSConsent, TopicCustomerCreate, TopicOrderCreate}},
		"nothing, by the number of a customer": {there: known, order: Order{Phone: aPhone}, told: []Topic{TopicOrderCreate},
			want: Customer{Email: "a@example.com", Consent: no, Phone: aPhone, SMSConsent: no, SMSCollectedFrom: CollectedByOthers}},
		"SMS, by the address of a customer": {there: known, order: Order{Email: "A@example.com"}, ticked: Ticked{SMS: true},
			want: Customer{Email: "a@example.com", Consent: no, Phone: aPhone, SMSConsent: yes, SMSCollectedFrom: CollectedByShopify},
			told: []Topic{TopicSMSConsent, TopicCustomerUpdate, TopicOrderCreate}},
		"email, with another number": {there: known, order: Order{Email: "a@example.com", Phone: "+14155552797"}, ticked: Ticked{Email: true},
			want: Customer{Email: "a@example.com", Consent: yes, Phone: aPhone, SMSConsent: no, SMSCollectedFrom: CollectedByOthers},
			told: []Topic{TopicEmailConsent, TopicCustomerUpdate, TopicOrderCreate}},
		"SMS, and a customer without a number": {there: NewCustomer{Email: "a@example.com"}, order: Order{Email: "a@example.com", Phone: aPhone},
			ticked: Ticked{SMS: true},
			want:   Customer{Email: "a@example.com", Consent: neverAsked(), Phone: aPhone, SMSConsent: yes, SMSCollectedFrom: CollectedByShopify},
			told:   []Topic{TopicSMSConsent, TopicCustomerUpdate, TopicOrderCreate}},
		"SMS without any number": {there: NewCustomer{Email: "a@example.com"}, order: Order{Email: "a@example.com"}, ticked: Ticked{SMS: true}, err: ErrNoPhone},
		"email without one":      {order: Order{Phone: aPhone}, ticked: Ticked{Email: true}, err: ErrNoEmail},
		"SMS by a bad number":    {order: Order{Phone: "613"}, ticked: Ticked{SMS: true}, err: ErrPhoneInvalid},
		"a guest with a customer's number and another address": {there: known, order: Order{Email: "new@example.com", Phone: aPhone}, ticked: Ticked{SMS: true},
			want: Customer{Email: "a@example.com", Consent: no, Phone: aPhone, SMSConsent: yes, SMSCollectedFrom: CollectedByShopify},
			told: []Topic{TopicSMSConsent, TopicCustomerUpdate, TopicOrderCreate}},
		"a customer of another id": {order: Order{CustomerID: "gid://shopify/Customer/9"}, ticked: Ticked{SMS: true}, err: ErrNoCustomer},
	} {
		store, _ := newModel(Switches{})
		if row.there.Email != "" {
			mustCreate(t, store, row.there)
		}
		var told []Topic
		acts := map[uint64]bool{}
		var placed Event
		store.OnEvent(func(e Event) {
			told, acts[e.Act] = append(told, e.Topic), true
			if e.Topic == TopicOrderCreate {
				placed = e
			}
		})
		row.order.CreatedAt = ordered
		id, err := store.CheckOut(row.order, row.ticked)
		require.ErrorIs(t, err, row.err, name)
		require.ElementsMatch(t, row.told, told, name)
		if row.err != nil {
			require.Empty(t, store.Orders(), name)
			continue
		}
		require.Len(t, acts, 1, "%s: one act", name)
		order := store.Orders()[0]
		require.Equal(t, id, order.ID, name)
		got, known := store.CustomerByID(order.CustomerID)
		require.Equal(t, row.want != Customer{}, known, name)
		require.Equal(t, got, placed.Customer, name)
		row.want.ID, row.want.CreatedAt, row.want.UpdatedAt = got.ID, got.CreatedAt, got.UpdatedAt
		require.Equal(t, row.want, got, name)
		require.Equal(t, cleanPhone(row.order.Phone), order.Phone, name)
	}
}

// TestWhatSMSActsTell: the SMS topic alone tells of SMS consents, of people's acts and apps' writes alike.
func TestWhatSMSActsTell(t *testing.T) {
	t.Parallel()
	past := startTime.Add(-time.Hour)
	write := func(state State, at time.Time) func(*Store, CustomerID) error {
		return func(s *Store, id CustomerID) error {
			_, err := s.UpdateSMSConsent(id, ConsentInput{State: state, Level: SingleOptIn, At: at})
			return err
		}
	}
	for name, c := range map[string]struct {
		switches Switches
		act      func(*Store, CustomerID) error
		told     []Topic
	}{
		"a person decides": {act: func(s *Store, id CustomerID) error { return s.SetSMSConsent(id, Unsubscribed, time.Time{}) },
			told: []Topic{TopicSMSConsent, TopicCustomerUpdate}},
		"an app writes":               {act: write(Unsubscribed, startTime), told: []Topic{TopicSMSConsent, TopicCustomerUpdate}},
		"an app writes what is held":  {act: write(Subscribed, startTime), told: []Topic{TopicCustomerUpdate}},
		"an app writes an older date": {act: write(Unsubscribed, past.Add(-time.Hour))},
		"an app is refused":           {act: write(Unsubscribed, startTime.Add(time.Hour))},
		"an app writes an older date, and the switch": {switches: Switches{ConsentWebhookWithoutChange: true},
			act: write(Unsubscribed, past.Add(-time.Hour)), told: []Topic{TopicSMSConsent}},
		"an app creates": {act: func(s *Store, _ CustomerID) error {
			_, err := s.CreateCustomerByAPI(CustomerInput{Phone: "+14155552797", SMSConsent: &ConsentInput{State: Subscribed, Level: SingleOptIn}})
			return err
		}, told: []Topic{TopicSMSConsent, TopicCustomerCreate}},
		"the number changes": {act: func(s *Store, id CustomerID) error { return s.ChangePhone(id, "+14155552797") },
			told: []Topic{TopicCustomerUpdate}},
		"the number changes, and the consent goes": {switches: Switches{PhoneChangeResetsConsent: true},
			act: func(s *Store, id CustomerID) error { return s.ChangePhone(id, "+14155552797") }, told: []Topic{TopicSMSConsent, TopicCustomerUpdate}},
		"the number goes": {act: func(s *Store, id CustomerID) error { return s.ChangePhone(id, "") }, told: []Topic{TopicSMSConsent, TopicCustomerUpdate}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, _ := newModel(c.switches)
			id := mustCreate(t, store, NewCustomer{Phone: aPhone, SMSConsent: Consent{State: Subscribed, UpdatedAt: past}, At: past})
			var told []Topic
			store.OnEvent(func(e Event) { told = append(told, e.Topic) })
			require.NoError(t, c.act(store, id))
			require.ElementsMatch(t, c.told, told)
		})
	}
}

// TestSMSPayloadsAreThoseOfTheContract: the bodies of 5.3 with a phone number in them.
func TestSMSPayloadsAreThoseOfTheContract(t *testing.T) {
	t.Parallel()
	store, _ := newModel(Switches{})
	bodies := map[Topic][]string{}
	store.OnEvent(func(e Event) { bodies[e.Topic] = append(bodies[e.Topic], string(store.payload(e))) })
	id := mustCreate(t, store, NewCustomer{Email: "ann@example.com", Phone: aPhone})
	require.NoError(t, store.SetSMSConsent(id, NotSubscribed, at(t, "2026-11-01T09:00:00Z")))
	_, err := store.CheckOut(Order{CustomerID: id, Phone: aPhone, CreatedAt: at(t, "2026-11-01T10:00:00Z")}, Ticked{SMS: true})
	require.NoError(t, err)
	_, err = store.UpdateSMSConsent(id, ConsentInput{State: Unsubscribed, At: at(t, "2026-11-01T11:00:00Z")})
	require.NoError(t, err)
	require.NoError(t, store.AskForData(id))
	require.NoError(t, store.AskToRedact(id))
	require.NoError(t, store.ChangePhone(id, ""))

	sms := func(phone, state, level, date, collected string) string {
		return `{"id":1,"phone":` + phone + `,"sms_marketing_consent":{"state":"` + state + `","opt_in_level":"` + level + `","consent_updated_at":` + date +
			`,"consent_collected_from":` + collected + `}}`
	}
	const number = `"` + aPhone + `"`
	require.Equal(t, []string{
		sms(number, "not_subscribed", "single_opt_in", `"2026-11-01T09:00:00Z"`, `"other"`),
		sms(number, "subscribed", "single_opt_in", `"2026-11-01T10:00:00Z"`, `"shopify"`),
		sms(number, "unsubscribed", "single_opt_in", `"2026-11-01T11:00:00Z"`, `"other"`),
		sms("null", "not_subscribed", "single_opt_in", "null", "null"),
	}, bodies[TopicSMSConsent])
	require.Contains(t, bodies[TopicCustomerCreate][0], `"email":"ann@example.com","phone":`+number+`,`)
	updates := bodies[TopicCustomerUpdate]
	require.Contains(t, updates[0], `"phone":`+number+`,`)
	require.Contains(t, updates[len(updates)-1], `"phone":null,`)
	require.NotContains(t, strings.Join(updates, ""), "marketing")
	var order struct {
		Phone    string
		Customer struct{ Phone string }
	}
	require.NoError(t, json.Unmarshal([]byte(bodies[TopicOrderCreate][0]), &order))
	require.Equal(t, aPhone, order.Phone)
	require.Equal(t, aPhone, order.Customer.Phone)
	for _, topic := range []Topic{TopicDataRequest, TopicCustomerRedact} {
		require.Contains(t, bodies[topic][0], `"customer":{"id":1,"email":"ann@example.com","phone":`+number+`}`)
	}
}

// TestSMSAccess: contracts/shopify.md 1: the same scopes as for email, and the number of level 2.
func TestSMSAccess(t *testing.T) {
	t.Parallel()
	denied := newBench(t, func(c *Config) { c.Scopes = []string{"read_customers"} })
	id := denied.reachable(aPhone, Consent{})
	answer := denied.graphQL(smsMutation, smsVariables(id, Subscribed, SingleOptIn, ""))
	require.Contains(t, string(answer.Errors), "`write_customers` access scope", answer.raw)
	require.Empty(t, denied.store.Writes())

	unread := newBench(t, func(c *Config) { c.Scopes = []string{"write_customers"} })
	id = unread.reachable(aPhone, Consent{})
	answer = unread.graphQL(smsMutation, smsVariables(id, Subscribed, SingleOptIn, ""))
	require.Contains(t, string(answer.Errors), "`read_customers` access scope", answer.raw)

	const query = `{ customers(first: 1) { nodes { defaultPhoneNumber { phoneNumber } } }
		state: customers(first: 1) { nodes { defaultPhoneNumber { smsMarketingConsent { state } } } } }`
	for level, want := range map[ProtectedDataLevel]string{
		ProtectedDataAll: `{"customers":{"nodes":[{"defaultPhoneNumber":{"phoneNumber":"` + aPhone + `"}}]},
			"state":{"nodes":[{"defaultPhoneNumber":{"smsMarketingConsent":{"state":"NEVER_SUBSCRIBED"}}}]}}`,
		ProtectedDataLevel1: `{"customers":{"nodes":[{"defaultPhoneNumber":null}]},
			"state":{"nodes":[{"defaultPhoneNumber":{"smsMarketingConsent":{"state":"NEVER_SUBSCRIBED"}}}]}}`,
		ProtectedDataNone: `{"customers":null,"state":null}`,
	} {
		b := newBench(t, func(c *Config) { c.ProtectedData = level })
		b.reachable(aPhone, Consent{})
		answer := b.graphQL(query, "")
		require.JSONEq(t, want, string(answer.Data), "%s: %s", level, answer.raw)
		require.Equal(t, level == ProtectedDataLevel1, strings.Contains(string(answer.Errors), "use the phoneNumber field"), answer.raw)
	}
}
