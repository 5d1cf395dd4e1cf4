// Package listrak is the client of Listrak's Email API for one merchant: it reads contacts and their dates of consent, subscribes and
// unsubscribes, reads messages and what people did with them, and reports every failure as a *failure.Error. Facts about Listrak come from contracts/listrak.md and the
// official document beside it. The API describes no route for unsubscribing: a contact is unsubscribed by the same
// POST Contact that creates and updates, with subscriptionState Unsubscribed.
package listrak

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/concordsync/concord/internal/failure"
	"github.com/concordsync/concord/internal/listrak/email"
)

// Listrak's own addresses and the defaults of Config.
const (
	DefaultBaseURL       = "https://api.listrak.com/email"
	DefaultAuthURL       = "https://auth.listrak.com/OAuth2/Token"
	DefaultRatePerSecond = 10
)

const (
	// pageSize is Listrak's maximum (official document, GET Contact, count).
	pageSize = "5000"
	// firstPage is the cursor of the first page.
	firstPage = "Start"
	// listSeenFor is how long the list counts as existing after an answer from it.
	listSeenFor = time.Minute
)

// ErrCursorLost is in the chain of an error of Contacts when Listrak does not take the query's cursor: begin again without one.
var ErrCursorLost = errors.New("the cursor is not taken any more")

// Config is what a client needs to know of a merchant.
type Config struct {
	// BaseURL and AuthURL are Listrak's by default.
	BaseURL, AuthURL       string
	ClientID, ClientSecret string
	// List is the merchant's list. Zero is enough for Lists, and for VerifyAccess to say that it is missing.
	List int
	// Zone is the time zone in which Listrak writes its dates for this merchant; required, since Listrak does not say.
	Zone *time.Location
	// RatePerSecond is how many calls are made in a second at most, 10 when zero. Listrak publishes no limit.
	RatePerSecond float64
	// HTTP makes the requests; nil for a client of its own with a time-out of 60 s. Redirects are never followed.
	HTTP *http.Client
	// Now is the clock, nil for time.Now.
	Now func() time.Time
}

// Client calls Listrak for one merchant. It is safe for concurrent use, and must be shared by all who call for that merchant:
// it holds their request rate and token.
type Client struct {
	transport
	list int32
	zone *time.Location
	// spare spaces the calls that may wait, below the merchant's own rate.
	spare *requestRate

	listSeen atomic.Int64 // when the list last answered, Unix nanoseconds
}

// New makes a client; it calls nobody. An error names the setting that is missing or wrong.
func New(config Config) (*Client, error) {
	if config.BaseURL == "" {
		config.BaseURL = DefaultBaseURL
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
		return nil, setting("the Listrak URL is no http or https address without query; leave it empty for " + DefaultBaseURL)
	case !absoluteURL(config.AuthURL):
		return nil, setting("the Listrak auth URL is no http or https address without query; leave it empty for " + DefaultAuthURL)
	case config.ClientID == "" || config.ClientSecret == "":
		return nil, setting("the Listrak client id or secret is missing; both come from Integrations → Integration Management in Listrak")
	case config.Zone == nil:
		return nil, setting("the Listrak time zone is missing; set the one in which Listrak shows dates for this merchant, such as America/New_York")
	case config.List < 0 || config.List > math.MaxInt32:
		return nil, setting("the Listrak list is no list id; see `merchant lists`")
	case !(config.RatePerSecond > 0) || math.IsInf(config.RatePerSecond, 0):
		return nil, setting("the Listrak request rate must be more than 0 calls a second")
	}
	c := &Client{list: int32(config.List), zone: config.Zone, spare: newRequestRate(spareRate*config.RatePerSecond, config.Now)}
	c.open(connection{
		baseURL: config.BaseURL, authURL: config.AuthURL, clientID: config.ClientID, clientSecret: config.ClientSecret,
		advice: adviceCredentials, rate: newRequestRate(config.RatePerSecond, config.Now), http: config.HTTP, now: config.Now,
	})
	return c, nil
}

func setting(what string) error {
	return &failure.Error{Class: failure.PersonMustAct, Op: "set up the Listrak client", Code: codeSettings, Err: errors.New(what)}
}

func absoluteURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.RawQuery == "" && u.Fragment == "" && u.User == nil
}

// Contacts reads one page of the list's contacts, up to 5000. Begin with an empty cursor and go on with ContactPage.Next. A contact
// that changes while the pages are read may come twice or not at all: read again over an overlapping span.
func (c *Client) Contacts(ctx context.Context, query ContactQuery) (ContactPage, error) {
	call := call{op: "read contacts (GET /v1/List/{listId}/Contact)", area: "Contact"}
	if err := query.Check(call.op); err != nil {
		return ContactPage{}, err
	}
	cursor := query.Cursor
	if cursor == "" {
		cursor = firstPage
	}
	parameters := &email.GetContactsParams{
		SubscriptionState: ptr(string(query.State)),
		Cursor:            &cursor,
		Count:             ptr(pageSize),
		// The default, true, compares the first subscription and so misses everybody who came back (contracts/listrak.md).
		UseOriginalSubscribeDate: ptr(false),
	}
	if !query.Since.IsZero() {
		parameters.StartDate = ptr(FormatSince(query.Since, c.zone))
	}
	answer, err := c.callList(ctx, call, func() (*http.Request, error) {
		return email.NewGetContactsRequest(c.baseURL, c.list, parameters)
	})
	if err != nil {
		if f := failure.As(err); f != nil && f.Code == codeInvalidParameter && query.Cursor != "" {
			return ContactPage{}, LostCursor(f.Op)
		}
		return ContactPage{}, err
	}
	var page email.ContactCollectionPaged
	if err := c.decode(call, answer, &page); err != nil {
		return ContactPage{}, err
	}
	if page.Data == nil {
		return ContactPage{}, call.unreadable("the page has no data", c.trouble())
	}
	result := ContactPage{Contacts: make([]Contact, len(*page.Data)), Next: nextCursor(text(page.NextPageCursor)), ServerTime: answer.date}
	if result.Next == cursor {
		return ContactPage{}, call.unreadable("the cursor of the next page is that of this one", c.trouble())
	}
	for i, raw := range *page.Data {
		if result.Contacts[i], err = ContactOf(raw, c.zone); err != nil {
			return ContactPage{}, call.unreadable(err.Error(), c.trouble())
		}
	}
	return result, nil
}

// nextCursor takes nextPageCursor as the cursor itself (contracts/listrak.md), or out of the URI that the official document calls it.
func nextCursor(next string) string {
	if u, err := url.Parse(next); err == nil && u.Query().Has("cursor") {
		return u.Query().Get("cursor")
	}
	return next
}

// Contact reads one contact by its exact address or Listrak's email key; false means that the list has no such contact. Compare
// the address that came back before writing (design/consent-rules.md 14).
func (c *Client) Contact(ctx context.Context, addressOrKey string) (Contact, bool, error) {
	call := call{op: "read contact (GET /v1/List/{listId}/Contact/{contactIdentifier})", area: "Contact", person: true}
	if !Readable(addressOrKey) {
		return Contact{}, false, inexpressible(call)
	}
	answer, err := c.callList(ctx, call, func() (*http.Request, error) {
		request, err := email.NewGetContactRequest(c.baseURL, c.list, addressOrKey, nil)
		if err == nil {
			// Listrak takes no "&" in a route (ERROR_UNSAFE_ROUTE), and RFC 3986 leaves it as it is; escaped it has a chance.
			request.URL.RawPath = strings.ReplaceAll(request.URL.EscapedPath(), "&", "%26")
		}
		return request, err
	})
	if err != nil {
		return Contact{}, false, c.whyNoContact(ctx, call, err)
	}
	var resource email.ContactResource
	if err := c.decode(call, answer, &resource); err != nil {
		return Contact{}, false, err
	}
	if resource.Data == nil {
		return Contact{}, false, call.unreadable("the answer has no contact", c.trouble())
	}
	contact, err := ContactOf(*resource.Data, c.zone)
	if err != nil {
		return Contact{}, false, call.unreadable(err.Error(), c.trouble())
	}
	contact.ServerTime = answer.date
	return contact, true, nil
}

// whyNoContact tells apart what one contact's failed read has in common with a wrong list or address of the API. It returns nil
// when there is no such contact.
func (c *Client) whyNoContact(ctx context.Context, call call, err error) error {
	f := failure.As(err)
	if f == nil {
		return err
	}
	switch f.Code {
	case codeNotFound:
		// The same code says that the list is gone, which must not make all its people look deleted.
		if c.now().UnixNano()-c.listSeen.Load() <= int64(listSeenFor) {
			return nil
		}
		return c.touchList(ctx)
	case codeUnknownRoute, codeUnsupportedMethod, httpCode(http.StatusNotFound):
		// An address such as "a/b@example.com" may never reach the route it was sent to. Only if the list cannot be read
		// either is the merchant's URL wrong.
		if wrong := c.touchList(ctx); wrong != nil {
			return wrong
		}
		return &failure.Error{Class: failure.Refused, Op: call.op, Code: f.Code, Advice: adviceRoute}
	default:
		return err
	}
}

// touchList makes sure that the list exists and that its contacts can be read, by asking for one.
func (c *Client) touchList(ctx context.Context) error {
	_, err := c.callList(ctx, call{op: "read contacts (GET /v1/List/{listId}/Contact)", area: "Contact"}, func() (*http.Request, error) {
		return email.NewGetContactsRequest(c.baseURL, c.list, &email.GetContactsParams{Count: ptr("1")})
	})
	return err
}

// Reserve waits until the request rate allows one more call and keeps that slot for the next write of this client, for two minutes
// at most; it also sees to it that there is a token. So reserve, claim the delivery, then write at once. A write without a
// reserved slot waits for one.
func (c *Client) Reserve(ctx context.Context) error { return c.reserve(ctx) }

// Subscribe creates or updates the contact as subscribed and raises the events. A contact that is unsubscribed stays so without
// Override, and Listrak may then answer as if all went well: read the contact afterwards. Listrak dates the subscription itself.
func (c *Client) Subscribe(ctx context.Context, address string, options SubscribeOptions) (WriteResult, error) {
	call := call{op: "subscribe contact (POST /v1/List/{listId}/Contact)", area: "Contact", write: true, person: true}
	parameters := &email.PostContactParams{}
	if len(options.EventIDs) > 0 {
		ids := make([]string, len(options.EventIDs))
		for i, id := range options.EventIDs {
			ids[i] = strconv.Itoa(id)
		}
		parameters.EventIds = ptr(strings.Join(ids, ","))
	}
	if options.Override {
		parameters.OverrideUnsubscribe = ptr(true)
	}
	body := email.Contact{SubscriptionState: ptr(string(Subscribed))}
	if options.ExternalID != "" {
		body.ExternalContactID = &options.ExternalID
	}
	result, err := c.post(ctx, call, address, parameters, body, Subscribed)
	if f := failure.As(err); f != nil && f.Code == codeInvalidParameter && len(options.EventIDs) > 0 {
		// The code does not say which parameter. A wrong event concerns every contact, a wrong address only this one.
		if wrong := c.checkEvents(ctx, call, options.EventIDs); wrong != nil {
			return WriteResult{}, wrong
		}
	}
	return result, err
}

// checkEvents returns a failure when one of the events cannot be raised.
func (c *Client) checkEvents(ctx context.Context, call call, ids []int) error {
	events, err := c.Events(ctx)
	if err != nil {
		return err
	}
	return WrongEvent(call.op, events, ids)
}

// WrongEvent returns a failure when one of ids is no event that can be raised.
func WrongEvent(op string, events []Event, ids []int) error {
	for _, id := range ids {
		if !slices.ContainsFunc(events, func(e Event) bool { return e.ID == id && e.Active }) {
			return &failure.Error{Class: failure.PersonMustAct, Op: op, Code: codeInvalidParameter, Advice: adviceEvents,
				Err: fmt.Errorf("event %d does not exist on the list, or is blocked", id)}
		}
	}
	return nil
}

// Unsubscribe unsubscribes the contact. It is sent with neither events nor profile fields, which Listrak would refuse
// (ERROR_UNSUBSCRIBE_WITH_EVENTS, ERROR_UNSUBSCRIBE_WITH_SEGMENTATION_DATA), and without an external id.
func (c *Client) Unsubscribe(ctx context.Context, address string) (WriteResult, error) {
	call := call{op: "unsubscribe contact (POST /v1/List/{listId}/Contact)", area: "Contact", write: true, person: true}
	body := email.Contact{SubscriptionState: ptr(string(Unsubscribed))}
	return c.post(ctx, call, address, &email.PostContactParams{}, body, Unsubscribed)
}

// post sends contact, which asks for a state.
func (c *Client) post(ctx context.Context, call call, address string, parameters *email.PostContactParams, contact email.Contact,
	asked State) (WriteResult, error) {
	if !Expressible(address) {
		return WriteResult{}, inexpressible(call)
	}
	contact.EmailAddress = address
	// Listrak requires the property; an empty list is no profile data.
	contact.SegmentationFieldValues = []email.SegmentationFieldValue{}
	answer, err := c.callList(ctx, call, func() (*http.Request, error) {
		return email.NewPostContactRequest(c.baseURL, c.list, parameters, contact)
	})
	if err != nil {
		return refusedWrite(err, asked, answer.date)
	}
	var created email.ResourceCreated
	if err := c.decode(call, answer, &created); err != nil {
		return WriteResult{}, err
	}
	return WriteResult{ServerTime: answer.date}, nil
}

// Lists reads the lists that the integration can see.
func (c *Client) Lists(ctx context.Context) ([]List, error) {
	call := call{op: "read lists (GET /v1/List)", area: "List"}
	answer, err := c.call(ctx, call, func() (*http.Request, error) { return email.NewGetListsRequest(c.baseURL) })
	if err != nil {
		return nil, err
	}
	var collection email.ListCollection
	if err := c.decode(call, answer, &collection); err != nil {
		return nil, err
	}
	if collection.Data == nil {
		return nil, call.unreadable("the answer has no lists", c.trouble())
	}
	lists := make([]List, len(*collection.Data))
	for i, l := range *collection.Data {
		lists[i] = listOf(l)
	}
	return lists, nil
}

// readList reads the merchant's own list.
func (c *Client) readList(ctx context.Context) (List, error) {
	call := call{op: "read list (GET /v1/List/{listId})", area: "List"}
	answer, err := c.callList(ctx, call, func() (*http.Request, error) { return email.NewGetListRequest(c.baseURL, c.list) })
	if err != nil {
		return List{}, err
	}
	var resource email.ListResource
	if err := c.decode(call, answer, &resource); err != nil {
		return List{}, err
	}
	if resource.Data == nil {
		return List{}, call.unreadable("the answer has no list", c.trouble())
	}
	return listOf(*resource.Data), nil
}

func listOf(l email.List) List {
	list := List{Name: l.ListName}
	if l.ListId != nil {
		list.ID = int(*l.ListId)
	}
	if l.EnableDoubleOptIn != nil {
		list.DoubleOptIn = *l.EnableDoubleOptIn
	}
	return list
}

// Events reads the external events of the merchant's list.
func (c *Client) Events(ctx context.Context) ([]Event, error) {
	call := call{op: "read events (GET /v1/List/{listId}/Event)", area: "Event"}
	answer, err := c.callList(ctx, call, func() (*http.Request, error) { return email.NewGetEventsRequest(c.baseURL, c.list) })
	if err != nil {
		return nil, err
	}
	var collection email.EventCollection
	if err := c.decode(call, answer, &collection); err != nil {
		return nil, err
	}
	if collection.Data == nil {
		return nil, call.unreadable("the answer has no events", c.trouble())
	}
	events := make([]Event, len(*collection.Data))
	for i, e := range *collection.Data {
		events[i] = Event{Name: e.EventName, Active: e.Status == "Active"}
		if e.EventId != nil {
			events[i].ID = int(*e.EventId)
		}
	}
	return events, nil
}

// callList makes a call to a route of the merchant's list.
func (c *Client) callList(ctx context.Context, call call, build func() (*http.Request, error)) (answer, error) {
	if c.list == 0 {
		return answer{}, &failure.Error{Class: failure.PersonMustAct, Op: call.op, Code: codeSettings,
			Advice: "The merchant has no Listrak list: see `merchant lists` and set one with `merchant set`"}
	}
	a, err := c.call(ctx, call, build)
	if err == nil {
		c.listSeen.Store(c.now().UnixNano())
	}
	return a, err
}

// Expressible tells whether an address can be sent: none at all would name the whole list, and JSON would replace broken text silently,
// and so write to another address.
func Expressible(address string) bool { return address != "" && utf8.ValidString(address) }

// Readable tells whether an address or key can stand in a route: "." and ".." would be taken for steps in the path.
func Readable(addressOrKey string) bool {
	return addressOrKey != "." && addressOrKey != ".." && Expressible(addressOrKey)
}

func inexpressible(call call) error { return Inexpressible(call.op) }

// Inexpressible is the failure of a call about an address that is not Expressible.
func Inexpressible(op string) error {
	return &failure.Error{Class: failure.Refused, Op: op, Code: codeAddress, Advice: "This address cannot be sent to Listrak"}
}

// Check refuses a query for contacts that cannot be listed.
func (q ContactQuery) Check(op string) error {
	if q.State == Subscribed || q.State == Unsubscribed {
		return nil
	}
	return &failure.Error{Class: failure.Refused, Op: op, Code: codeUsage, Advice: adviceDefect,
		Err: errors.New("contacts can be listed by the states Subscribed and Unsubscribed only")}
}

func ptr[T any](value T) *T { return &value }
