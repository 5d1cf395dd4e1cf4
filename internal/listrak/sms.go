package listrak

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/listrak/sms"
)

// DefaultSMSBaseURL is Listrak's own address of the SMS API.
const DefaultSMSBaseURL = "https://api.listrak.com/sms"

// SMSConfig is what an SMSClient needs to know of a merchant. SMS is another integration than the Email API's, with credentials of its own.
type SMSConfig struct {
	// BaseURL and AuthURL are Listrak's by default.
	BaseURL, AuthURL       string
	ClientID, ClientSecret string
	// SenderCode and List are the merchant's. Without them SenderCodes and Lists work, and VerifyAccess says that they are missing.
	SenderCode, List int
	// Zone is the time zone in which Listrak writes its dates for this merchant; required, since Listrak does not say.
	Zone *time.Location
	// Spelling is how phone numbers are sent. What Listrak spells comes back as it is.
	Spelling PhoneSpelling
	// RatePerSecond is how many calls are made in a second at most, 10 when zero. Listrak publishes no limit.
	RatePerSecond float64
	// HTTP makes the requests; nil for a client of its own with a time-out of 60 s. Redirects are never followed.
	HTTP *http.Client
	// Now is the clock, nil for time.Now.
	Now func() time.Time
}

// SMSClient calls Listrak's SMS API for one merchant. It is safe for concurrent use, and must be shared by all who call for that merchant:
// it holds their request rate and token.
type SMSClient struct {
	transport
	code, list int32
	zone       *time.Location
	spelling   PhoneSpelling

	listSeen atomic.Int64 // when the list last answered, Unix nanoseconds
}

// NewSMS makes a client; it calls nobody. An error names the setting that is missing or wrong.
func NewSMS(config SMSConfig) (*SMSClient, error) {
	if config.BaseURL == "" {
		config.BaseURL = DefaultSMSBaseURL
	}
	if config.AuthURL == "" {
		config.AuthURL = DefaultAuthURL
	}
	if config.RatePerSecond == 0 {
		config.RatePerSecond = DefaultRatePerSecond
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	switch {
	case !absoluteURL(config.BaseURL):
		return nil, setting("the Listrak SMS URL is no http or https address without query; leave it empty for " + DefaultSMSBaseURL)
	case !absoluteURL(config.AuthURL):
		return nil, setting("the Listrak auth URL is no http or https address without query; leave it empty for " + DefaultAuthURL)
	case config.ClientID == "" || config.ClientSecret == "":
		return nil, setting("the Listrak SMS client id or secret is missing; both come from Integrations → Integration Management in Listrak")
	case config.Zone == nil:
		return nil, setting("the Listrak time zone is missing; set the one in which Listrak shows dates for this merchant, such as America/New_York")
	case config.SenderCode < 0 || config.SenderCode > math.MaxInt32:
		return nil, setting("the Listrak sender code is no sender code id")
	case config.List < 0 || config.List > math.MaxInt32:
		return nil, setting("the Listrak phone list is no list id")
	case !slices.Contains([]PhoneSpelling{PlusDigits, OnlyDigits, NationalDigits}, config.Spelling):
		return nil, setting(`the spelling of phone numbers is none of "", "digits" and "national"`)
	case !(config.RatePerSecond > 0) || math.IsInf(config.RatePerSecond, 0):
		return nil, setting("the Listrak SMS request rate must be more than 0 calls a second")
	}
	c := &SMSClient{code: int32(config.SenderCode), list: int32(config.List), zone: config.Zone, spelling: config.Spelling}
	c.open(connection{
		baseURL: config.BaseURL, authURL: config.AuthURL, clientID: config.ClientID, clientSecret: config.ClientSecret,
		advice: adviceSMSCredentials, sms: true, rate: newRequestRate(config.RatePerSecond, config.Now), http: config.HTTP, now: config.Now,
	})
	return c, nil
}

// Reserve is Client.Reserve, of this client's writes.
func (c *SMSClient) Reserve(ctx context.Context) error { return c.reserve(ctx) }

// Subscribers reads one page of the list's contacts who are not opted out of the sender code, up to 5000, by the date of their
// subscription, which does not come with them: read each with Contact. Whether those are among them who left the list or are pending is
// not published, so Contact decides. Begin with an empty cursor and go on with PhonePage.Next. ErrCursorLost as in Client.Contacts.
func (c *SMSClient) Subscribers(ctx context.Context, query SMSQuery) (PhonePage, error) {
	call := smsCall("read SMS contacts (GET /v1/ShortCode/{senderCodeId}/PhoneList/{phoneListId}/Contact)")
	parameters := &sms.GetContactsParams{OptedOut: ptr(false), Cursor: ptr(orFirst(query.Cursor)), Count: ptr(pageSize)}
	if !query.Since.IsZero() {
		parameters.StartSubscribeDate = ptr(FormatSince(query.Since, c.zone))
	}
	answer, err := c.callList(ctx, call, c.list, func() (*http.Request, error) {
		return sms.NewGetContactsRequest(c.baseURL, c.code, c.list, parameters)
	})
	if err != nil {
		return PhonePage{}, lostCursor(err, query.Cursor)
	}
	var page sms.ContactCollectionPaged
	if err := c.decode(call, answer, &page); err != nil {
		return PhonePage{}, err
	}
	if page.Data == nil {
		return PhonePage{}, call.unreadable("the page has no data", c.trouble())
	}
	result := PhonePage{Phones: make([]string, 0, len(*page.Data)), ServerTime: answer.date}
	if result.Next, err = c.next(call, page.NextPageCursor, query.Cursor); err != nil {
		return PhonePage{}, err
	}
	for _, contact := range *page.Data {
		// Whoever has no number cannot be asked about, and whoever is opted out was not asked for.
		if phone := text(contact.PhoneNumber); phone != "" && !isTrue(contact.OptedOut) {
			result.Phones = append(result.Phones, phone)
		}
	}
	return result, nil
}

// OptOuts reads one page of those who are opted out of the sender code, up to 5000, by the date of the opt-out. Cursors are as in
// Subscribers. The official document types the answer without a cursor while the route takes one, so both are read: a full page that
// does not even name the next one is an error, because more opt-outs could be behind it.
func (c *SMSClient) OptOuts(ctx context.Context, query SMSQuery) (OptOutPage, error) {
	call := smsCall("read SMS opt-outs (GET /v1/ShortCode/{senderCodeId}/OptOut)")
	parameters := &sms.GetOptOutsParams{Cursor: ptr(orFirst(query.Cursor)), Count: ptr(pageSize)}
	if !query.Since.IsZero() {
		parameters.StartDate = ptr(FormatSince(query.Since, c.zone))
	}
	answer, err := c.callCode(ctx, call, func() (*http.Request, error) {
		return sms.NewGetOptOutsRequest(c.baseURL, c.code, parameters)
	})
	if err != nil {
		return OptOutPage{}, lostCursor(err, query.Cursor)
	}
	var page sms.OptOutCollectionPaged
	if err := c.decode(call, answer, &page); err != nil {
		return OptOutPage{}, err
	}
	if page.Data == nil {
		return OptOutPage{}, call.unreadable("the page has no data", c.trouble())
	}
	result := OptOutPage{OptOuts: make([]OptOut, 0, len(*page.Data)), ServerTime: answer.date}
	if result.Next, err = c.next(call, page.NextPageCursor, query.Cursor); err != nil {
		return OptOutPage{}, err
	}
	if len(*page.Data) == fullPage && !c.namesNextPage(call, answer) {
		return OptOutPage{}, call.unreadable("the page is full and does not say whether another follows", c.trouble())
	}
	for _, raw := range *page.Data {
		optOut, err := OptOutOf(raw, c.zone)
		if err != nil {
			return OptOutPage{}, call.unreadable(err.Error(), c.trouble())
		}
		if optOut.Phone != "" {
			result.OptOuts = append(result.OptOuts, optOut)
		}
	}
	return result, nil
}

// fullPage is pageSize as a number.
const fullPage = 5000

// namesNextPage tells a cursor of null, which is the end, from none at all.
func (c *SMSClient) namesNextPage(call call, a answer) bool {
	var page struct {
		NextPageCursor json.RawMessage `json:"nextPageCursor"`
	}
	return c.decode(call, a, &page) == nil && page.NextPageCursor != nil
}

// next is the cursor after the page that current brought.
func (c *SMSClient) next(call call, next *string, current string) (string, error) {
	cursor := nextCursor(text(next))
	if cursor == orFirst(current) {
		return "", call.unreadable("the cursor of the next page is that of this one", c.trouble())
	}
	return cursor, nil
}

func orFirst(cursor string) string {
	if cursor == "" {
		return firstPage
	}
	return cursor
}

// lostCursor says so when the failure of a page that was asked for by cursor is that the cursor is not taken.
func lostCursor(err error, cursor string) error {
	if f := failure.As(err); f != nil && f.Code == codeInvalidParameter && cursor != "" {
		return LostCursor(f.Op)
	}
	return err
}

// Contact reads one phone number's subscription to the client's list, which takes two calls. False: the sender code does not know the
// number, or (then Known) it was never on this list. Whoever is opted out of the sender code is found even if the list never had them.
// Compare the phone number that came back before writing.
func (c *SMSClient) Contact(ctx context.Context, phone string) (SMSContact, bool, error) {
	call := phoneCall("read SMS contact (GET /v1/ShortCode/{senderCodeId}/Contact/{phoneNumber})", false)
	answer, err := c.callPhone(ctx, call, c.list, phone, func(phone string) (*http.Request, error) {
		return sms.NewGetContactRequest(c.baseURL, c.code, phone)
	})
	if isUnknownPhone(err) {
		return SMSContact{}, false, nil
	}
	if err != nil {
		return SMSContact{}, false, err
	}
	var resource sms.ContactResource
	if err := c.decode(call, answer, &resource); err != nil {
		return SMSContact{}, false, err
	}
	if resource.Data == nil {
		return SMSContact{}, false, call.unreadable("the answer has no contact", c.trouble())
	}
	subscriptions, date, err := c.subscriptions(ctx, phone)
	if err != nil {
		return SMSContact{}, false, err
	}
	contact, found, err := SMSContactOf(*resource.Data, subscriptions, int(c.list), c.zone)
	if err != nil {
		return SMSContact{}, false, call.unreadable(err.Error(), c.trouble())
	}
	contact.ServerTime = date
	return contact, found, nil
}

// subscriptions reads the lists that a phone number is or was on, and the Date header that came with the last of them.
func (c *SMSClient) subscriptions(ctx context.Context, phone string) ([]sms.ContactListSubscription, time.Time, error) {
	call := phoneCall("read SMS subscriptions (GET /v1/ShortCode/{senderCodeId}/Contact/{phoneNumber}/PhoneList)", false)
	var all []sms.ContactListSubscription
	for cursors := []string{""}; ; {
		cursor := cursors[len(cursors)-1]
		answer, err := c.callPhone(ctx, call, c.list, phone, func(phone string) (*http.Request, error) {
			return sms.NewGetSubscriptionsRequest(c.baseURL, c.code, phone,
				&sms.GetSubscriptionsParams{Cursor: ptr(orFirst(cursor)), Count: ptr(pageSize)})
		})
		if isUnknownPhone(err) {
			return all, answer.date, nil
		}
		if err != nil {
			return nil, time.Time{}, err
		}
		var page sms.SubscriptionCollectionPaged
		if err := c.decode(call, answer, &page); err != nil {
			return nil, time.Time{}, err
		}
		if page.Data == nil {
			return nil, time.Time{}, call.unreadable("the answer has no lists", c.trouble())
		}
		all = append(all, *page.Data...)
		next := nextCursor(text(page.NextPageCursor))
		if next == "" {
			return all, answer.date, nil
		}
		if next == firstPage || slices.Contains(cursors, next) {
			return nil, time.Time{}, call.unreadable("the cursor of the next page is one of an earlier page", c.trouble())
		}
		cursors = append(cursors, next)
	}
}

// Subscribe subscribes the phone number to the list, and makes it known to the sender code if it is not. Listrak dates the subscription
// itself, leaves it pending on a list with double opt-in or age gate, and cannot opt anybody in again by its API (official document,
// Update Contact): read the contact afterwards.
func (c *SMSClient) Subscribe(ctx context.Context, phone string, options SMSSubscribeOptions) (WriteResult, error) {
	list, err := c.listOr(options.List)
	if err != nil {
		return WriteResult{}, err
	}
	var date time.Time
	if options.Known {
		if date, err = c.subscribeKnown(ctx, phone, list); isUnknownPhone(err) {
			date, err = c.create(ctx, phone, list)
		}
	} else {
		if date, err = c.create(ctx, phone, list); hasCode(err, codePhoneFound) {
			date, err = c.subscribeKnown(ctx, phone, list)
		}
	}
	if err != nil {
		return smsRefusedWrite(err, Subscribed, date)
	}
	return WriteResult{ServerTime: date}, nil
}

// create makes the phone number known to the sender code and subscribes it.
func (c *SMSClient) create(ctx context.Context, phone string, list int32) (time.Time, error) {
	call := phoneCall("create SMS contact (POST /v1/ShortCode/{senderCodeId}/PhoneList/{phoneListId}/Contact)", true)
	if !Dialable(phone) {
		return time.Time{}, inexpressible(call)
	}
	answer, err := c.callList(ctx, call, list, func() (*http.Request, error) {
		return sms.NewPostContactRequest(c.baseURL, c.code, list, sms.Contact{PhoneNumber: ptr(c.spelling.spell(phone))})
	})
	if err == nil {
		err = c.decode(call, answer, &sms.ResourceCreated{})
	}
	return answer.date, err
}

// subscribeKnown subscribes a phone number that the sender code knows.
func (c *SMSClient) subscribeKnown(ctx context.Context, phone string, list int32) (time.Time, error) {
	call := phoneCall("subscribe SMS contact (POST /v1/ShortCode/{senderCodeId}/Contact/{phoneNumber}/PhoneList/{phoneListId})", true)
	answer, err := c.callPhone(ctx, call, list, phone, func(phone string) (*http.Request, error) {
		return sms.NewPostSubscriptionRequest(c.baseURL, c.code, phone, list)
	})
	if err == nil {
		err = c.decode(call, answer, &sms.ResourceCreated{})
	}
	return answer.date, err
}

// listOr is the list of that id, or for zero the client's own.
func (c *SMSClient) listOr(id int) (int32, error) {
	switch {
	case id < 0 || id > math.MaxInt32:
		return 0, setting("the Listrak phone list is no list id")
	case id == 0:
		return c.list, nil
	}
	return int32(id), nil
}

// Unsubscribe takes the phone number off a list, zero for the client's own; other lists of the sender code keep it.
func (c *SMSClient) Unsubscribe(ctx context.Context, phone string, list int) (WriteResult, error) {
	call := phoneCall("unsubscribe SMS contact (DELETE /v1/ShortCode/{senderCodeId}/ContactUnsubscribe/{phoneNumber}/PhoneList/{phoneListId})", true)
	on, err := c.listOr(list)
	if err != nil {
		return WriteResult{}, err
	}
	answer, err := c.callPhone(ctx, call, on, phone, func(phone string) (*http.Request, error) {
		return sms.NewDeleteSubscriptionRequest(c.baseURL, c.code, phone, on)
	})
	if err == nil {
		err = c.decode(call, answer, &sms.ResourceDeleted{})
	}
	if err != nil {
		return smsRefusedWrite(err, Unsubscribed, answer.date)
	}
	return WriteResult{ServerTime: answer.date}, nil
}

// OptOut opts the phone number out of the sender code, and so of all its lists. It cannot be taken back by the API. A phone number that
// the sender code does not know cannot be opted out: that comes to a retry after a fresh read. Nothing but the number and the opt-out is
// sent; whether Listrak then keeps the contact's name and profile fields is not published.
func (c *SMSClient) OptOut(ctx context.Context, phone string) (WriteResult, error) {
	call := phoneCall("opt SMS contact out (PUT /v1/ShortCode/{senderCodeId}/Contact)", true)
	if !Dialable(phone) {
		return WriteResult{}, inexpressible(call)
	}
	answer, err := c.callCode(ctx, call, func() (*http.Request, error) {
		return sms.NewPutContactRequest(c.baseURL, c.code, sms.Contact{PhoneNumber: ptr(c.spelling.spell(phone)), OptedOut: ptr(true)})
	})
	if hasCode(err, codeNotFound) {
		// It may mean the sender code or the phone number.
		if err = c.touchOptOuts(ctx); err == nil {
			err = unknownPhone(call)
		}
		return WriteResult{}, err
	}
	if err == nil {
		err = c.decode(call, answer, &sms.ResourceUpdated{})
	}
	if err != nil {
		return WriteResult{}, err
	}
	return WriteResult{ServerTime: answer.date}, nil
}

// SenderCodes reads the sender codes that the integration can see.
func (c *SMSClient) SenderCodes(ctx context.Context) ([]SenderCode, error) {
	call := smsCall("read sender codes (GET /v1/ShortCode)")
	answer, err := c.call(ctx, call, func() (*http.Request, error) { return sms.NewGetSenderCodesRequest(c.baseURL) })
	if err != nil {
		return nil, err
	}
	var collection sms.SenderCodeCollection
	if err := c.decode(call, answer, &collection); err != nil {
		return nil, err
	}
	if collection.Data == nil {
		return nil, call.unreadable("the answer has no sender codes", c.trouble())
	}
	codes := make([]SenderCode, len(*collection.Data))
	for i, raw := range *collection.Data {
		codes[i] = SenderCode{Number: text(raw.Code), Name: text(raw.MerchantName), Country: text(raw.Country)}
		if raw.ShortCodeId != nil {
			codes[i].ID = int(*raw.ShortCodeId)
		}
	}
	return codes, nil
}

// Lists reads the phone lists of a sender code, the active ones first.
func (c *SMSClient) Lists(ctx context.Context, senderCode int) ([]SMSList, error) {
	if senderCode < 0 || senderCode > math.MaxInt32 {
		return nil, setting("the Listrak sender code is no sender code id")
	}
	lists, err := c.readLists(ctx, int32(senderCode), true, nil)
	if err != nil {
		return nil, err
	}
	return c.readLists(ctx, int32(senderCode), false, lists)
}

// readLists appends the active or the inactive lists to those that were read before.
func (c *SMSClient) readLists(ctx context.Context, code int32, active bool, lists []SMSList) ([]SMSList, error) {
	call := smsCall("read phone lists (GET /v1/ShortCode/{senderCodeId}/PhoneList)")
	status := "inactive"
	if active {
		status = "active"
	}
	for cursors := []string{""}; ; {
		cursor := cursors[len(cursors)-1]
		answer, err := c.call(ctx, call, func() (*http.Request, error) {
			return sms.NewGetPhoneListsRequest(c.baseURL, code,
				&sms.GetPhoneListsParams{Status: &status, Cursor: ptr(orFirst(cursor)), Count: ptr(pageSize)})
		})
		if err != nil {
			return nil, err
		}
		var page sms.PhoneListCollectionPaged
		if err := c.decode(call, answer, &page); err != nil {
			return nil, err
		}
		if page.Data == nil {
			return nil, call.unreadable("the answer has no phone lists", c.trouble())
		}
		for _, raw := range *page.Data {
			list := SMSList{Name: text(raw.PhoneListName), DoubleOptIn: isTrue(raw.RequireDoubleOptIn), AgeGate: isTrue(raw.RequireAgeGate),
				Active: active && !strings.EqualFold(text(raw.Status), "inactive")}
			if raw.PhoneListId != nil {
				list.ID = int(*raw.PhoneListId)
			}
			// A server that gives all lists whatever status is asked for would give each twice.
			if !slices.ContainsFunc(lists, func(l SMSList) bool { return l.ID == list.ID }) {
				lists = append(lists, list)
			}
		}
		next := nextCursor(text(page.NextPageCursor))
		if next == "" {
			return lists, nil
		}
		if next == firstPage || slices.Contains(cursors, next) {
			return nil, call.unreadable("the cursor of the next page is one of an earlier page", c.trouble())
		}
		cursors = append(cursors, next)
	}
}

func smsCall(op string) call { return call{op: op, sms: true} }

func phoneCall(op string, write bool) call {
	return call{op: op, write: write, person: true, sms: true}
}

// callCode makes a call to a route of the merchant's sender code.
func (c *SMSClient) callCode(ctx context.Context, call call, build func() (*http.Request, error)) (answer, error) {
	if c.code == 0 {
		return answer{}, &failure.Error{Class: failure.PersonMustAct, Op: call.op, Code: codeSettings, SMS: true,
			Advice: "The merchant has no Listrak sender code: set one with `merchant set`"}
	}
	return c.call(ctx, call, func() (*http.Request, error) {
		request, err := build()
		if err == nil && call.write {
			// Not every write has a body, and Listrak refuses what names no content type (ERROR_UNSUPPORTED_CONTENT_TYPE).
			request.Header.Set("Content-Type", "application/json")
		}
		return request, err
	})
}

// callList makes a call to a route of a phone list.
func (c *SMSClient) callList(ctx context.Context, call call, list int32, build func() (*http.Request, error)) (answer, error) {
	if list == 0 {
		return answer{}, &failure.Error{Class: failure.PersonMustAct, Op: call.op, Code: codeSettings, SMS: true,
			Advice: "The merchant has no Listrak phone list: set one with `merchant set`"}
	}
	a, err := c.callCode(ctx, call, build)
	if err == nil && list == c.list {
		c.listSeen.Store(c.now().UnixNano())
	}
	return a, err
}

// callPhone makes a call to a route that names a phone number and is about list. What it cannot say by its answer alone, whether the number
// or the list is missing, it finds out: isUnknownPhone tells that the list is there.
func (c *SMSClient) callPhone(ctx context.Context, call call, list int32, phone string,
	build func(phone string) (*http.Request, error)) (answer, error) {
	if !Dialable(phone) {
		return answer{}, inexpressible(call)
	}
	a, err := c.callList(ctx, call, list, func() (*http.Request, error) {
		request, err := build(c.spelling.spell(phone))
		if err == nil {
			// RFC 3986 leaves a plus as it is; some servers take it for a space, so it goes escaped.
			request.URL.RawPath = strings.ReplaceAll(request.URL.EscapedPath(), "+", "%2B")
		}
		return request, err
	})
	f := failure.As(err)
	if f == nil {
		return a, err
	}
	switch f.Code {
	case codeNotFound:
		// The same code says that the sender code or the list is gone, which must not make all its people look deleted.
		if list != c.list || c.now().UnixNano()-c.listSeen.Load() > int64(listSeenFor) {
			if wrong := c.touchList(ctx, list); wrong != nil {
				return a, wrong
			}
		}
		return a, unknownPhone(call)
	case codeUnknownRoute, codeUnsupportedMethod, codeUnsafeRoute, httpCode(http.StatusNotFound), httpCode(http.StatusBadRequest):
		// What stands before Listrak's program may reject a path for its plus. As all phone numbers are spelt alike this concerns them
		// all, so it is not refused for one person; but if the list cannot be read either, the URL is wrong.
		if wrong := c.touchList(ctx, list); wrong != nil {
			return a, wrong
		}
		return a, &failure.Error{Class: failure.PersonMustAct, Op: call.op, Code: f.Code, SMS: true, Advice: adviceSMSForm}
	default:
		return a, err
	}
}

// touchList makes sure that the sender code and the list exist and that its contacts can be read, by asking for one.
func (c *SMSClient) touchList(ctx context.Context, list int32) error {
	_, err := c.callList(ctx, smsCall("read SMS contacts (GET /v1/ShortCode/{senderCodeId}/PhoneList/{phoneListId}/Contact)"), list,
		func() (*http.Request, error) {
			return sms.NewGetContactsRequest(c.baseURL, c.code, list, &sms.GetContactsParams{Count: ptr("1")})
		})
	return err
}

func hasCode(err error, code string) bool {
	f := failure.As(err)
	return f != nil && f.Code == code
}

// unknownPhone is the failure of a call about a phone number that the sender code does not know.
func unknownPhone(call call) error {
	return &failure.Error{Class: failure.Retry, Op: call.op, Code: codePhoneNotFound, Advice: adviceOtherState}
}

// isUnknownPhone tells whether a call failed because the sender code does not know the phone number.
func isUnknownPhone(err error) bool { return hasCode(err, codePhoneNotFound) }

// VerifyAccess makes harmless calls and says in plain words what the merchant's settings allow: the credentials, the sender code, the
// phone list, and whether contacts and opt-outs can be read. Nothing is written.
func (c *SMSClient) VerifyAccess(ctx context.Context) []Finding {
	if _, err := c.tokens.get(ctx); err != nil {
		return []Finding{failed("Listrak gives no access token for the SMS client id and secret", err)}
	}
	findings := []Finding{{OK: true, What: "Listrak gives an access token for the SMS client id and secret"}}
	denied := 0
	codes, err := c.SenderCodes(ctx)
	if err != nil {
		findings = append(findings, failed("the sender codes cannot be read", err))
		denied += deniedBy(err)
	} else {
		findings = append(findings, c.codeFinding(codes))
	}
	if c.code == 0 {
		return findings
	}
	lists, err := c.Lists(ctx, int(c.code))
	if err != nil {
		findings = append(findings, failed(fmt.Sprintf("the phone lists of sender code %d cannot be read", c.code), err))
		denied += deniedBy(err)
	} else {
		findings = append(findings, c.listFinding(lists))
	}
	if c.list == 0 {
		return findings
	}
	if err := c.touchList(ctx, c.list); err != nil {
		findings = append(findings, failed("the contacts of the phone list cannot be read", err))
		denied += deniedBy(err)
	} else {
		findings = append(findings, Finding{OK: true, What: "the contacts of the phone list can be read"})
	}
	if err := c.touchOptOuts(ctx); err != nil {
		findings = append(findings, failed("the opt-outs of the sender code cannot be read", err))
		denied += deniedBy(err)
	} else {
		findings = append(findings, Finding{OK: true, What: "the opt-outs of the sender code can be read"})
	}
	if denied == 4 {
		findings = append(findings, Finding{What: "Listrak gives a token but denies every call",
			Advice: "Most likely the IP address of this worker is not allowed, or the integration was paused just now: " +
				"see Integrations → Integration Management in Listrak"})
	}
	return findings
}

func (c *SMSClient) touchOptOuts(ctx context.Context) error {
	_, err := c.callCode(ctx, smsCall("read SMS opt-outs (GET /v1/ShortCode/{senderCodeId}/OptOut)"), func() (*http.Request, error) {
		return sms.NewGetOptOutsRequest(c.baseURL, c.code, &sms.GetOptOutsParams{Count: ptr("1")})
	})
	return err
}

func (c *SMSClient) codeFinding(codes []SenderCode) Finding {
	if c.code == 0 {
		return Finding{What: fmt.Sprintf("no sender code is set; the integration can see %d", len(codes)), Advice: "Set one with `merchant set`"}
	}
	for _, code := range codes {
		if code.ID == int(c.code) {
			return Finding{OK: true, What: fmt.Sprintf("sender code %d is %s of %q", code.ID, code.Number, code.Name)}
		}
	}
	return Finding{What: fmt.Sprintf("sender code %d does not exist, or this integration may not see it", c.code), Advice: adviceSMSList}
}

func (c *SMSClient) listFinding(lists []SMSList) Finding {
	if c.list == 0 {
		return Finding{What: fmt.Sprintf("no phone list is set; the sender code has %d", len(lists)), Advice: "Set one with `merchant set`"}
	}
	at := slices.IndexFunc(lists, func(l SMSList) bool { return l.ID == int(c.list) })
	if at < 0 {
		return Finding{What: fmt.Sprintf("phone list %d does not exist on sender code %d", c.list, c.code), Advice: adviceSMSList}
	}
	list := lists[at]
	finding := Finding{OK: list.Active, What: fmt.Sprintf("phone list %d is %q", list.ID, list.Name)}
	switch {
	case !list.Active:
		finding.What += " and inactive"
		finding.Advice = verdicts["ERROR_LIST_INACTIVE"].advice
	case list.DoubleOptIn || list.AgeGate:
		var gates []string
		if list.DoubleOptIn {
			gates = append(gates, "double opt-in")
		}
		if list.AgeGate {
			gates = append(gates, "age gate")
		}
		finding.What += ", with " + strings.Join(gates, " and ")
		finding.Advice = "New contacts stay pending until they answer, and a pending one does not count as subscribed"
	}
	return finding
}
